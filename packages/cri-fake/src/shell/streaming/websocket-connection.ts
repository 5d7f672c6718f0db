// SPDX-License-Identifier: Apache-2.0
//
// The server's side of a WebSocket (RFC 6455) on which Kubernetes' channels run: the first byte of each message is its channel. Owns the socket.
// In base64 it is the channel's digit, and text follows.

import { createHash } from "node:crypto";
import type { Duplex } from "node:stream";

/** What a connection tells. */
export interface ChannelEvents {
  readonly onMessage: (channel: number, bytes: Uint8Array) => void;
  /** Once, when the client is gone or talks nonsense. */
  readonly onClose: () => void;
}

/** How a channel and its bytes are written in a message. */
export type ChannelCodec = "binary" | "base64";

const [TEXT, BINARY, CLOSE, PING, PONG] = [1, 2, 8, 9, 10];
const FIN = 0x80;
const MASKED = 0x80;
const MASK = 4;
const SHORT = 126;
const LONG = 127;
const MAX_MESSAGE = 1_048_576;
const NORMAL = 1000;
const DIGIT_0 = 48;
const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** The answer to a client's key. */
export function acceptKey(key: string): string {
  return createHash("sha1").update(`${key}${GUID}`).digest("base64");
}

/** See the top of the file. */
export class ChannelConnection {
  readonly #socket: Duplex;
  readonly #codec: ChannelCodec;
  readonly #events: ChannelEvents;
  #closed = false;

  constructor(socket: Duplex, head: Buffer, codec: ChannelCodec, events: ChannelEvents) {
    this.#socket = socket;
    this.#codec = codec;
    this.#events = events;
    if (head.length > 0) socket.unshift(head);
    socket.on("error", () => this.close());
    socket.on("close", () => this.close());
    void this.#read().finally(() => this.close());
  }

  send(channel: number, bytes: Uint8Array): void {
    if (this.#codec === "binary") this.#frame(BINARY, Buffer.concat([Buffer.from([channel]), bytes]));
    else
      this.#frame(
        TEXT,
        Buffer.from(String.fromCharCode(DIGIT_0 + channel) + Buffer.from(bytes).toString("base64")),
      );
  }

  /** Says that everything has been said, and lets the client close. */
  finish(): void {
    const code = Buffer.alloc(2);
    code.writeUInt16BE(NORMAL);
    this.#frame(CLOSE, code);
    if (!this.#closed) this.#socket.end();
  }

  /** At once. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.destroy();
    this.#events.onClose();
  }

  async #read(): Promise<void> {
    let buffer: Buffer = Buffer.alloc(0);
    let message: Buffer = Buffer.alloc(0);
    try {
      for await (const chunk of this.#socket as AsyncIterable<Buffer>) {
        buffer = Buffer.concat([buffer, chunk]);
        for (let frame = readFrame(buffer); frame !== undefined; frame = readFrame(buffer)) {
          buffer = buffer.subarray(frame.size);
          if (frame.code === CLOSE) return;
          if (frame.code === PING) this.#frame(PONG, frame.body);
          // Code 0 goes on with the message before.
          if (frame.code > BINARY) continue;
          message =
            frame.code === TEXT || frame.code === BINARY ? frame.body : Buffer.concat([message, frame.body]);
          if (message.length > MAX_MESSAGE) return;
          const [channel] = message;
          if (frame.isLast && channel !== undefined) this.#take(channel, message.subarray(1));
        }
      }
    } catch {
      // Whoever sends what is no WebSocket is left.
    }
  }

  #take(channel: number, body: Buffer): void {
    if (this.#codec === "binary") this.#events.onMessage(channel, Uint8Array.from(body));
    else this.#events.onMessage(channel - DIGIT_0, Buffer.from(body.toString("latin1"), "base64"));
  }

  #frame(code: number, body: Uint8Array): void {
    if (this.#closed) return;
    const isLong = body.length > 0xffff;
    const head = Buffer.alloc(body.length < SHORT ? 2 : isLong ? 10 : 4);
    head[0] = FIN | code;
    head[1] = body.length < SHORT ? body.length : isLong ? LONG : SHORT;
    if (isLong) head.writeBigUInt64BE(BigInt(body.length), 2);
    else if (body.length >= SHORT) head.writeUInt16BE(body.length, 2);
    this.#socket.write(Buffer.concat([head, body]));
  }
}

interface Frame {
  readonly code: number;
  readonly isLast: boolean;
  readonly body: Buffer;
  /** Of the frame, in bytes. */
  readonly size: number;
}

/** The first frame, if all of it is there. Throws a `RangeError` on one that is not masked or too long. */
function readFrame(buffer: Buffer): Frame | undefined {
  const [first, second] = buffer;
  if (first === undefined || second === undefined) return undefined;
  if ((second & MASKED) === 0) throw new RangeError("a client's frame is masked");
  const short = second & LONG;
  const at = 2 + (short === LONG ? 8 : short === SHORT ? 2 : 0);
  if (buffer.length < at + MASK) return undefined;
  const length =
    short === LONG ? Number(buffer.readBigUInt64BE(2)) : short === SHORT ? buffer.readUInt16BE(2) : short;
  if (length > MAX_MESSAGE) throw new RangeError("a frame is too long");
  const size = at + MASK + length;
  if (buffer.length < size) return undefined;
  const mask = buffer.subarray(at, at + MASK);
  const body = Buffer.from(buffer.subarray(at + MASK, size));
  for (let index = 0; index < body.length; index++)
    body[index] = (body[index] ?? 0) ^ (mask[index % MASK] ?? 0);
  return { code: first & 0x0f, isLast: (first & FIN) !== 0, body, size };
}
