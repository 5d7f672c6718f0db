// SPDX-License-Identifier: Apache-2.0
//
// The server's side of a SPDY/3.1 connection, as Kubernetes' clients speak it: they make the streams, nobody controls the flow. Owns the socket.

import type { Duplex } from "node:stream";

import { HeaderReader, HeaderWriter } from "./spdy-headers.ts";

/** A stream that the client made. */
export interface SpdyStream {
  readonly id: number;
  readonly headers: ReadonlyMap<string, string>;
  /** Set once: what the client sends, undefined at its end. What came before is kept for it. */
  onData(take: (bytes: Uint8Array | undefined) => void): void;
  write(bytes: Uint8Array): void;
  /** Nothing more comes from here. */
  end(): void;
}

/** What a connection tells. */
export interface SpdyEvents {
  readonly onStream: (stream: SpdyStream) => void;
  /** Once, when the client is gone or talks nonsense. */
  readonly onClose: () => void;
}

const VERSION = 0x8003;
const [SYN_STREAM, SYN_REPLY, RST_STREAM, PING, GOAWAY] = [1, 2, 3, 6, 7];
const FIN = 1;
const HEAD = 8;
const ID = 4;
/** Stream, associated stream, priority and slot come before a SYN_STREAM's headers. */
const SYN_STREAM_FIELDS = 10;
const MAX_FRAME = 1_048_576;
const MAX_STREAMS = 1024;
const MAX_KEPT_BYTES = 1_048_576;
/** Of a DATA frame. */
const MAX_DATA = 65_536;
const STREAM_ID = 0x7fffffff;

interface OwnStream extends SpdyStream {
  take: ((bytes: Uint8Array | undefined) => void) | undefined;
  readonly kept: (Uint8Array | undefined)[];
  keptBytes: number;
}

/** See the top of the file. */
export class SpdyConnection {
  readonly #socket: Duplex;
  readonly #events: SpdyEvents;
  readonly #streams = new Map<number, OwnStream>();
  readonly #reader = new HeaderReader();
  readonly #writer = new HeaderWriter();
  #closed = false;

  constructor(socket: Duplex, head: Buffer, events: SpdyEvents) {
    this.#socket = socket;
    this.#events = events;
    if (head.length > 0) socket.unshift(head);
    socket.on("error", () => this.close());
    socket.on("close", () => this.close());
    void this.#read().finally(() => this.close());
  }

  /** Says that everything has been said, and lets the client close. */
  finish(): void {
    if (this.#closed) return;
    this.#control(GOAWAY, Buffer.alloc(2 * ID));
    this.#socket.end();
  }

  /** At once. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const stream of this.#streams.values()) this.#give(stream, undefined);
    this.#streams.clear();
    this.#reader.close();
    this.#writer.close();
    this.#socket.destroy();
    this.#events.onClose();
  }

  async #read(): Promise<void> {
    let buffer: Buffer = Buffer.alloc(0);
    try {
      for await (const chunk of this.#socket as AsyncIterable<Buffer>) {
        buffer = buffer.length === 0 ? chunk : Buffer.concat([buffer, chunk]);
        for (;;) {
          if (buffer.length < HEAD) break;
          const length = buffer.readUIntBE(5, 3);
          if (length > MAX_FRAME) return;
          if (buffer.length < HEAD + length) break;
          await this.#take(buffer.subarray(0, HEAD), buffer.subarray(HEAD, HEAD + length));
          buffer = buffer.subarray(HEAD + length);
        }
      }
    } catch {
      // Whoever sends what is not SPDY is left.
    }
  }

  async #take(head: Buffer, body: Buffer): Promise<void> {
    const isLast = ((head[ID] ?? 0) & FIN) !== 0;
    if (((head[0] ?? 0) & 0x80) === 0) {
      const stream = this.#streams.get(head.readUInt32BE(0) & STREAM_ID);
      if (stream === undefined) return;
      if (body.length > 0) this.#give(stream, Uint8Array.from(body));
      if (isLast) this.#give(stream, undefined);
      return;
    }
    const type = head.readUInt16BE(2);
    if (type === SYN_STREAM) await this.#opened(body, isLast);
    else if (type === PING) this.#control(PING, body);
    else if (type === RST_STREAM) {
      const stream = this.#streams.get(body.readUInt32BE(0) & STREAM_ID);
      if (stream !== undefined) this.#give(stream, undefined);
    }
    // GOAWAY is followed by the end of the connection; SETTINGS, HEADERS and WINDOW_UPDATE change nothing here.
  }

  async #opened(body: Buffer, isLast: boolean): Promise<void> {
    const id = body.readUInt32BE(0) & STREAM_ID;
    // The compression goes on, also for a stream that is refused.
    const headers = await this.#reader.read(body.subarray(SYN_STREAM_FIELDS));
    if (this.#closed || this.#streams.size >= MAX_STREAMS) return;
    const stream = this.#make(id, headers);
    this.#streams.set(id, stream);
    const reply = await this.#writer.write(new Map());
    this.#control(SYN_REPLY, Buffer.concat([idOf(id), reply]));
    if (isLast) this.#give(stream, undefined);
    this.#events.onStream(stream);
  }

  #make(id: number, headers: ReadonlyMap<string, string>): OwnStream {
    let ended = false;
    const stream: OwnStream = {
      id,
      headers,
      take: undefined,
      kept: [],
      keptBytes: 0,
      onData: (take) => {
        stream.take = take;
        for (const bytes of stream.kept.splice(0)) take(bytes);
      },
      write: (bytes) => {
        if (ended) return;
        for (let at = 0; at < bytes.length; at += MAX_DATA)
          this.#data(id, bytes.subarray(at, at + MAX_DATA), 0);
      },
      end: () => {
        if (!ended) this.#data(id, new Uint8Array(), FIN);
        ended = true;
      },
    };
    return stream;
  }

  #give(stream: OwnStream, bytes: Uint8Array | undefined): void {
    if (stream.take !== undefined) stream.take(bytes);
    else if (stream.keptBytes < MAX_KEPT_BYTES) {
      stream.keptBytes += bytes?.length ?? 0;
      stream.kept.push(bytes);
    }
  }

  #data(id: number, bytes: Uint8Array, flags: number): void {
    if (!this.#closed) this.#socket.write(Buffer.concat([idOf(id), tail(flags, bytes.length), bytes]));
  }

  #control(type: number, body: Buffer): void {
    if (this.#closed) return;
    const head = Buffer.alloc(ID);
    head.writeUInt16BE(VERSION, 0);
    head.writeUInt16BE(type, 2);
    this.#socket.write(Buffer.concat([head, tail(0, body.length), body]));
  }
}

function idOf(id: number): Buffer {
  const bytes = Buffer.alloc(ID);
  bytes.writeUInt32BE(id);
  return bytes;
}

/** Flags and length, of every frame. */
function tail(flags: number, length: number): Buffer {
  const bytes = Buffer.alloc(ID);
  bytes.writeUInt32BE(length);
  bytes[0] = flags;
  return bytes;
}
