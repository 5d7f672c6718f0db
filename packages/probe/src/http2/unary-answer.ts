// SPDX-License-Identifier: Apache-2.0

/** Reads the answer to one unary call from bytes as they come. Pure: what is to be said back is handed out. */
import { contentOf, encodeFrame, FLAG, FRAME, FrameReader, SETTINGS_ACK } from "./frames.ts";
import type { Frame } from "./frames.ts";
import { HpackReader } from "./hpack.ts";
import type { HeaderFields } from "./hpack.ts";

/** `answered`: all has come; `broken`: the connection is of no use any more, see `problem`. */
export type AnswerState = "open" | "answered" | "broken";

/** Why there is no answer. `code`: of gRPC. */
export interface AnswerProblem {
  readonly code: number;
  readonly text: string;
}

const MAX_BLOCK_BYTES = 64 * 1024;
const INTERNAL = 13;
const UNAVAILABLE = 14;
/** Codes of HTTP/2's errors as gRPC has them; what is not here is Internal. */
const RESET_CODES: Readonly<Record<number, number>> = { 3: 8, 7: UNAVAILABLE, 8: 1, 11: 8, 12: 7 };
const ERROR_NAMES: readonly string[] = [
  "NO_ERROR",
  "PROTOCOL_ERROR",
  "INTERNAL_ERROR",
  "FLOW_CONTROL_ERROR",
  "SETTINGS_TIMEOUT",
  "STREAM_CLOSED",
  "FRAME_SIZE_ERROR",
  "REFUSED_STREAM",
  "CANCEL",
  "COMPRESSION_ERROR",
  "CONNECT_ERROR",
  "ENHANCE_YOUR_CALM",
  "INADEQUATE_SECURITY",
  "HTTP_1_1_REQUIRED",
];

/** One answer. */
export class UnaryAnswer {
  readonly fields: HeaderFields = new Map();
  readonly #frames = new FrameReader();
  readonly #hpack = new HpackReader();
  readonly #maxBodyBytes: number;
  readonly #reply: (bytes: Buffer) => void;
  #state: AnswerState = "open";
  #isHttp2 = false;
  #block: Buffer | undefined;
  #endsWithBlock = false;
  #chunks: Buffer[] = [];
  #bodyBytes = 0;
  #problem: AnswerProblem | undefined;

  /** More than `maxBodyBytes` of a body ends the answer. `reply` takes what has to be said to the other side. */
  constructor(maxBodyBytes: number, reply: (bytes: Buffer) => void) {
    this.#maxBodyBytes = maxBodyBytes;
    this.#reply = reply;
  }

  get state(): AnswerState {
    return this.#state;
  }
  /** The other side has sent its settings: it speaks HTTP/2. */
  get isHttp2(): boolean {
    return this.#isHttp2;
  }
  get problem(): AnswerProblem | undefined {
    return this.#problem;
  }
  /** All bytes of the body that came, kept or not. */
  get bodyBytes(): number {
    return this.#bodyBytes;
  }

  body(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  /** `bytes` is used before this returns. */
  push(bytes: Buffer): void {
    if (this.#state !== "open") return;
    this.#frames.push(bytes, (frame) => {
      this.#take(frame);
      return this.#state === "open";
    });
    if (this.#frames.isBroken && this.#state === "open") this.#break(INTERNAL, "frame too large");
  }

  #break(code: number, text: string): void {
    this.#state = "broken";
    this.#problem = { code, text };
  }

  #take(frame: Frame): void {
    const { type, flags, payload } = frame;
    // Settings come first: anything else is no HTTP/2.
    if (!this.#isHttp2 && (type !== FRAME.settings || (flags & FLAG.ack) !== 0 || frame.stream !== 0))
      return this.#break(UNAVAILABLE, "error reading server preface: http2: frame too large");
    if (this.#block !== undefined && type !== FRAME.continuation)
      return this.#break(INTERNAL, "a header block that does not end");
    switch (type) {
      case FRAME.settings:
        this.#isHttp2 = true;
        if ((flags & FLAG.ack) === 0) this.#reply(SETTINGS_ACK);
        return;
      case FRAME.ping:
        if ((flags & FLAG.ack) === 0 && payload.length === 8)
          this.#reply(encodeFrame(FRAME.ping, FLAG.ack, 0, payload));
        return;
      case FRAME.goAway:
        return this.#goneAway(payload);
      case FRAME.resetStream: {
        const code = payload.length === 4 ? payload.readUInt32BE(0) : 1;
        const name = ERROR_NAMES[code] ?? String(code);
        return this.#break(
          RESET_CODES[code] ?? INTERNAL,
          `stream terminated by RST_STREAM with error code: ${name}`,
        );
      }
      case FRAME.headers:
      case FRAME.continuation:
        return this.#takeBlock(frame);
      case FRAME.data:
        return this.#takeData(frame);
      default:
        // Others, known or not, say nothing about the answer.
        return;
    }
  }

  /** One that still answers our call is no end. */
  #goneAway(payload: Buffer): void {
    const last = payload.length >= 8 ? payload.readUInt32BE(0) & 0x7fff_ffff : 0;
    const code = payload.length >= 8 ? payload.readUInt32BE(4) : 1;
    if (last >= 1 && code === 0) return;
    this.#break(UNAVAILABLE, `the connection is draining: GOAWAY ${ERROR_NAMES[code] ?? code}`);
  }

  #takeBlock(frame: Frame): void {
    const isFirst = frame.type === FRAME.headers;
    const part = isFirst ? contentOf(frame) : frame.payload;
    if (part === undefined || isFirst === (this.#block !== undefined))
      return this.#break(INTERNAL, "a header block that cannot be read");
    if (isFirst) this.#endsWithBlock = (frame.flags & FLAG.endStream) !== 0;
    const ends = (frame.flags & FLAG.endHeaders) !== 0;
    const block = this.#block === undefined ? part : Buffer.concat([this.#block, part]);
    if (!ends && block.length <= MAX_BLOCK_BYTES) {
      this.#block = Buffer.from(block);
      return;
    }
    this.#block = undefined;
    if (!ends || !this.#hpack.read(block, this.fields))
      return this.#break(INTERNAL, "a header block that cannot be read");
    if (this.#endsWithBlock) this.#state = "answered";
  }

  #takeData(frame: Frame): void {
    const part = contentOf(frame);
    if (part === undefined) return this.#break(INTERNAL, "a frame that cannot be read");
    this.#bodyBytes += part.length;
    if (this.#bodyBytes > this.#maxBodyBytes) this.#state = "answered";
    else if (part.length > 0) this.#chunks.push(Buffer.from(part));
    if ((frame.flags & FLAG.endStream) !== 0) this.#state = "answered";
  }
}
