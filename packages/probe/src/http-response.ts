// SPDX-License-Identifier: Apache-2.0

/**
 * Reads an HTTP/1.x response from chunks, as far as a probe needs it: status, Location, and at most 10 KiB of the body. Pure.
 *
 * Invariants: a chunk is used before `push` returns and never kept; what is kept is bounded: 64 KiB of header, 10 KiB of body.
 */
import { MAX_OUTPUT_BYTES } from "./outcome.ts";

/** What is wrong with a response, and where. */
export interface ResponseProblem {
  readonly stage: "head" | "body";
  readonly text: string;
  /** The part of `text` that is in the server's own words. */
  readonly quotes?: string | undefined;
}

const MAX_HEAD_BYTES = 64 * 1024;
const MAX_CHUNK_LINE = 1024;
const NEWLINE = 10;
const RETURN = 13;
const VERSION = "HTTP/1.";

type Phase = "head" | "length" | "chunk-size" | "chunk-data" | "chunk-end" | "close" | "done";

/** One response. Small ones in one chunk, which most are, are read without a copy of their bytes. */
export class HttpResponseReader {
  #phase: Phase = "head";
  #head = "";
  #line = "";
  /** Of the body, or of the chunk. */
  #left = 0;
  #kept: Buffer[] | undefined;
  #keptBytes = 0;
  /** The whole body, when it came at once. */
  #text: string | undefined;
  #status = 0;
  #location: string | undefined;
  #problem: ResponseProblem | undefined;

  get status(): number {
    return this.#status;
  }
  /** Only of a redirect. */
  get location(): string | undefined {
    return this.#location;
  }
  /** Nothing more is needed. */
  get done(): boolean {
    return this.#phase === "done";
  }
  /** The header is read whole. */
  get hasHead(): boolean {
    return this.#phase !== "head";
  }
  get problem(): ResponseProblem | undefined {
    return this.#problem;
  }

  /** The body so far, at most 10 KiB of it. */
  body(): string {
    if (this.#text !== undefined) return this.#text;
    return this.#kept === undefined ? "" : Buffer.concat(this.#kept).toString("utf8");
  }

  /** Takes the first `length` bytes. */
  push(bytes: Buffer, length: number = bytes.length): void {
    let at = 0;
    while (at < length && this.#phase !== "done" && this.#problem === undefined)
      at = this.#phase === "head" ? this.#takeHead(bytes, at, length) : this.#takeBody(bytes, at, length);
  }

  /** The other side has ended the connection. */
  end(): void {
    if (this.done || this.#problem !== undefined) return;
    if (this.#phase === "head") this.#fail("head", this.#head === "" ? "EOF" : "unexpected EOF");
    else if (this.#phase === "close") this.#phase = "done";
    else this.#fail("body", "unexpected EOF");
  }

  /** `quotes` is what the server said, and comes last. */
  #fail(stage: ResponseProblem["stage"], text: string, quotes?: string): void {
    this.#problem = quotes === undefined ? { stage, text } : { stage, text: `${text} ${quotes}`, quotes };
  }

  /** Returns where the rest begins. */
  #takeHead(bytes: Buffer, at: number, length: number): number {
    const before = this.#head.length;
    const came = bytes.toString("latin1", at, Math.min(length, at + MAX_HEAD_BYTES));
    const head = before === 0 ? came : this.#head + came;
    const end = headEnd(head, Math.max(before - 3, 0));
    if (end === -1) {
      this.#head = head;
      if (!VERSION.startsWith(head.slice(0, VERSION.length)))
        this.#fail("head", "malformed HTTP response", quoted(head));
      else if (head.length >= MAX_HEAD_BYTES)
        this.#fail("head", `net/http: server response headers exceeded ${MAX_HEAD_BYTES} bytes; aborted`);
      return length;
    }
    this.#head = "";
    this.#readHead(head, end);
    return at + end - before;
  }

  #readHead(head: string, end: number): void {
    const status = statusOf(head);
    if (status === undefined) {
      this.#fail("head", "malformed HTTP response", quoted(head));
      return;
    }
    this.#status = status;
    // Informational: the answer itself is still to come.
    if (status < 200 && status !== 101) return;
    const encoding = headerValue(head, end, "transfer-encoding");
    if (status >= 300 && status < 400) this.#location = headerValue(head, end, "location");
    if (encoding !== undefined && encoding.toLowerCase() !== "chunked") {
      this.#fail("head", "unsupported transfer encoding:", `"${encoding}"`);
      return;
    }
    if (status === 204 || status === 304 || status === 101) this.#phase = "done";
    else if (encoding !== undefined) this.#phase = "chunk-size";
    else this.#readLength(headerValue(head, end, "content-length"));
  }

  #readLength(length: string | undefined): void {
    if (length === undefined) this.#phase = "close";
    else if (!/^\d+$/.test(length)) this.#fail("head", "bad Content-Length", `"${length}"`);
    else {
      this.#left = Number(length);
      this.#phase = this.#left === 0 ? "done" : "length";
    }
  }

  #takeBody(bytes: Buffer, at: number, length: number): number {
    if (this.#phase === "close") {
      this.#keep(bytes, at, length);
      return length;
    }
    if (this.#phase !== "length" && this.#phase !== "chunk-data") return this.#takeLine(bytes, at, length);
    const end = Math.min(length, at + this.#left);
    this.#left -= end - at;
    if (this.#left > 0) this.#keep(bytes, at, end);
    else if (this.#phase === "chunk-data") {
      this.#phase = "chunk-end";
      this.#keep(bytes, at, end);
    } else {
      this.#phase = "done";
      if (this.#kept === undefined)
        this.#text = bytes.toString("utf8", at, Math.min(end, at + MAX_OUTPUT_BYTES));
      else this.#keep(bytes, at, end);
    }
    return end;
  }

  /** A chunk's size, or the empty line behind it. */
  #takeLine(bytes: Buffer, at: number, length: number): number {
    const found = bytes.indexOf(NEWLINE, at);
    const newline = found === -1 || found >= length ? -1 : found;
    this.#line += bytes.toString("latin1", at, newline === -1 ? length : newline);
    if (this.#line.length > MAX_CHUNK_LINE) this.#fail("body", "header line too long");
    if (newline === -1 || this.#problem !== undefined) return length;
    const line = this.#line.replace(/\r$/, "");
    this.#line = "";
    if (this.#phase === "chunk-end") {
      if (line === "") this.#phase = "chunk-size";
      else this.#fail("body", "malformed chunked encoding");
      return newline + 1;
    }
    const size = /^[0-9a-fA-F]{1,13}/.exec(line)?.[0];
    if (size === undefined) this.#fail("body", "invalid byte in chunk length");
    else {
      this.#left = Number.parseInt(size, 16);
      // Trailers may follow; a probe does not need them.
      this.#phase = this.#left === 0 ? "done" : "chunk-data";
    }
    return newline + 1;
  }

  #keep(bytes: Buffer, at: number, end: number): void {
    const stop = Math.min(end, at + MAX_OUTPUT_BYTES - this.#keptBytes);
    this.#kept ??= [];
    // A copy: the caller reuses its buffer.
    this.#kept.push(Buffer.from(bytes.subarray(at, stop)));
    this.#keptBytes += stop - at;
    if (this.#keptBytes >= MAX_OUTPUT_BYTES) this.#phase = "done";
  }
}

/** Where the body begins, behind an empty line; -1 when that has not come. */
function headEnd(head: string, from: number): number {
  for (let at = head.indexOf("\n", from); at !== -1; at = head.indexOf("\n", at + 1)) {
    const next = head.charCodeAt(at + 1);
    if (next === NEWLINE) return at + 2;
    if (next === RETURN && head.charCodeAt(at + 2) === NEWLINE) return at + 3;
  }
  return -1;
}

/** Of `HTTP/1.1 200 OK`; undefined when the line is no such. */
function statusOf(head: string): number | undefined {
  const digit = (at: number): number => {
    const value = head.charCodeAt(at) - 48;
    return value >= 0 && value <= 9 ? value : Number.NaN;
  };
  if (!head.startsWith(VERSION) || head.charCodeAt(8) !== 32 || Number.isNaN(digit(7))) return undefined;
  const status = digit(9) * 100 + digit(10) * 10 + digit(11);
  const after = head.charCodeAt(12);
  const ends = after === 32 || after === RETURN || after === NEWLINE || Number.isNaN(after);
  return ends && !Number.isNaN(status) ? status : undefined;
}

/** The first value of a header, trimmed. */
function headerValue(head: string, end: number, lowerName: string): string | undefined {
  for (let at = head.indexOf("\n") + 1; at > 0 && at < end; at = head.indexOf("\n", at) + 1) {
    if (head.charCodeAt(at + lowerName.length) !== 58 || !isNamed(head, at, lowerName)) continue;
    const stop = head.indexOf("\n", at);
    return head.slice(at + lowerName.length + 1, stop === -1 ? end : stop).trim();
  }
  return undefined;
}

function isNamed(head: string, at: number, lowerName: string): boolean {
  for (let offset = 0; offset < lowerName.length; offset++) {
    const code = head.charCodeAt(at + offset);
    if ((code >= 65 && code <= 90 ? code + 32 : code) !== lowerName.charCodeAt(offset)) return false;
  }
  return true;
}

function quoted(text: string): string {
  const [line = ""] = text.split(/\r?\n/, 1);
  return JSON.stringify(line.slice(0, 64));
}
