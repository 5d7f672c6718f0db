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
const HEAD_END = /\r?\n\r?\n/g;
const STATUS_LINE = /^HTTP\/1\.\d (\d{3})(?:[ \r\n]|$)/;

type Phase = "head" | "length" | "chunk-size" | "chunk-data" | "chunk-end" | "close" | "done";

/** One response. */
export class HttpResponseReader {
  #phase: Phase = "head";
  #head = "";
  #searched = 0;
  #line = "";
  /** Of the body, or of the chunk. */
  #left = 0;
  #kept: Buffer[] = [];
  #keptBytes = 0;
  #status = 0;
  #location: string | undefined;
  #problem: ResponseProblem | undefined;

  get status(): number {
    return this.#status;
  }
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
    const [only] = this.#kept;
    const bytes = this.#kept.length === 1 && only !== undefined ? only : Buffer.concat(this.#kept);
    return bytes.toString("utf8");
  }

  /** Takes what came. */
  push(bytes: Buffer): void {
    let rest: Buffer = bytes;
    while (rest.length > 0 && !this.done && this.#problem === undefined)
      rest = this.#phase === "head" ? this.#takeHead(rest) : this.#takeBody(rest);
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

  /** Returns what is left behind the header. */
  #takeHead(bytes: Buffer): Buffer {
    const before = this.#head.length;
    this.#head += bytes.toString("latin1", 0, MAX_HEAD_BYTES);
    HEAD_END.lastIndex = Math.max(this.#searched - 3, 0);
    this.#searched = this.#head.length;
    const end = HEAD_END.exec(this.#head);
    if (end === null) {
      const firstLine = this.#head.slice(0, 9);
      if (!"HTTP/1.".startsWith(firstLine.slice(0, 7)))
        this.#fail("head", "malformed HTTP response", quoted(this.#head));
      else if (this.#head.length >= MAX_HEAD_BYTES)
        this.#fail("head", `net/http: server response headers exceeded ${MAX_HEAD_BYTES} bytes; aborted`);
      return bytes.subarray(bytes.length);
    }
    const head = this.#head.slice(0, end.index);
    const used = end.index + end[0].length - before;
    this.#head = "";
    this.#searched = 0;
    this.#readHead(head);
    return bytes.subarray(used);
  }

  #readHead(head: string): void {
    const status = STATUS_LINE.exec(head)?.[1];
    if (status === undefined) {
      this.#fail("head", "malformed HTTP response", quoted(head));
      return;
    }
    this.#status = Number(status);
    // Informational: the answer itself is still to come.
    if (this.#status < 200 && this.#status !== 101) return;
    const length = headerValue(head, "content-length");
    const encoding = headerValue(head, "transfer-encoding");
    this.#location = headerValue(head, "location");
    if (encoding !== undefined && encoding.toLowerCase() !== "chunked")
      this.#fail("head", "unsupported transfer encoding:", `"${encoding}"`);
    else if (this.#status === 204 || this.#status === 304 || this.#status === 101) this.#phase = "done";
    else if (encoding !== undefined) this.#phase = "chunk-size";
    else if (length === undefined) this.#phase = "close";
    else if (!/^\d+$/.test(length)) this.#fail("head", "bad Content-Length", `"${length}"`);
    else {
      this.#left = Number(length);
      this.#phase = this.#left === 0 ? "done" : "length";
    }
  }

  #takeBody(bytes: Buffer): Buffer {
    switch (this.#phase) {
      case "close":
        this.#keep(bytes);
        return bytes.subarray(bytes.length);
      case "length":
      case "chunk-data": {
        const part = bytes.subarray(0, Math.min(bytes.length, this.#left));
        this.#left -= part.length;
        const ended = this.#left === 0;
        if (ended) this.#phase = this.#phase === "length" ? "done" : "chunk-end";
        this.#keep(part);
        return bytes.subarray(part.length);
      }
      default:
        return this.#takeLine(bytes);
    }
  }

  /** A chunk's size, or the empty line behind it. */
  #takeLine(bytes: Buffer): Buffer {
    const newline = bytes.indexOf(10);
    this.#line += bytes.toString("latin1", 0, newline === -1 ? bytes.length : newline);
    if (this.#line.length > MAX_CHUNK_LINE) this.#fail("body", "header line too long");
    if (newline === -1 || this.#problem !== undefined) return bytes.subarray(bytes.length);
    const line = this.#line.replace(/\r$/, "");
    this.#line = "";
    if (this.#phase === "chunk-end") {
      if (line === "") this.#phase = "chunk-size";
      else this.#fail("body", "malformed chunked encoding");
      return bytes.subarray(newline + 1);
    }
    const size = /^[0-9a-fA-F]{1,13}/.exec(line)?.[0];
    if (size === undefined) this.#fail("body", "invalid byte in chunk length");
    else {
      this.#left = Number.parseInt(size, 16);
      // Trailers may follow; a probe does not need them.
      this.#phase = this.#left === 0 ? "done" : "chunk-data";
    }
    return bytes.subarray(newline + 1);
  }

  #keep(bytes: Buffer): void {
    const room = MAX_OUTPUT_BYTES - this.#keptBytes;
    const part = bytes.length > room ? bytes.subarray(0, room) : bytes;
    // The caller reuses its buffer.
    this.#kept.push(Buffer.from(part));
    this.#keptBytes += part.length;
    if (this.#keptBytes >= MAX_OUTPUT_BYTES) this.#phase = "done";
  }
}

/** The first value of a header, trimmed. */
function headerValue(head: string, lowerName: string): string | undefined {
  let at = head.indexOf("\n") + 1;
  while (at > 0) {
    const end = head.indexOf("\n", at);
    const line = end === -1 ? head.slice(at) : head.slice(at, end);
    if (
      line.charCodeAt(lowerName.length) === 58 &&
      line.slice(0, lowerName.length).toLowerCase() === lowerName
    )
      return line.slice(lowerName.length + 1).trim();
    at = end + 1;
  }
  return undefined;
}

function quoted(text: string): string {
  const [line = ""] = text.split(/\r?\n/, 1);
  return JSON.stringify(line.slice(0, 64));
}
