// SPDX-License-Identifier: Apache-2.0

/** The bytes of one unary call over HTTP/2, and the frames of its answer. Pure. RFC 9113. */

/** Frame types. */
export const FRAME = {
  data: 0,
  headers: 1,
  resetStream: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  continuation: 9,
} as const;
/** Flags; their meaning depends on the type. */
export const FLAG = { ack: 1, endStream: 1, endHeaders: 4, padded: 8, priority: 32 } as const;

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADER_BYTES = 9;
/** SETTINGS_MAX_FRAME_SIZE is left at its default: longer frames are an error of the other side. */
const MAX_FRAME_BYTES = 16_384;
/** No dynamic table for headers, no pushes. */
const SETTINGS = [0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0];
const STREAM = 1;

/** One frame. `payload` is good until the next bytes come. */
export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** The bytes of a frame on `stream`. */
export function encodeFrame(type: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const frame = Buffer.alloc(HEADER_BYTES + payload.length);
  frame.writeUIntBE(payload.length, 0, 3);
  frame[3] = type;
  frame[4] = flags;
  frame.writeUInt32BE(stream, 5);
  frame.set(payload, HEADER_BYTES);
  return frame;
}

/** What is said again to the other side's settings. */
export const SETTINGS_ACK: Buffer = encodeFrame(FRAME.settings, FLAG.ack, 0, new Uint8Array(0));

/** A POST of `message` with everything that goes before it on a new connection. */
export function encodeCall(call: {
  readonly authority: string;
  readonly path: string;
  /** Beside content type and `te`; lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  readonly message: Uint8Array;
}): Buffer {
  const block = Buffer.concat([
    // :method POST and :scheme http stand in the static table, as do the names of path and authority.
    Buffer.from([0x83, 0x86, 0x04]),
    encodeString(call.path),
    Buffer.from([0x01]),
    encodeString(call.authority),
    ...Object.entries({ "content-type": "application/grpc", te: "trailers", ...call.headers }).flatMap(
      ([name, value]) => [Buffer.from([0x00]), encodeString(name), encodeString(value)],
    ),
  ]);
  return Buffer.concat([
    Buffer.from(PREFACE, "latin1"),
    encodeFrame(FRAME.settings, 0, 0, Uint8Array.from(SETTINGS)),
    encodeFrame(FRAME.headers, FLAG.endHeaders, STREAM, block),
    encodeFrame(FRAME.data, FLAG.endStream, STREAM, call.message),
  ]);
}

/** As it is, with its length before it. */
function encodeString(text: string): Buffer {
  const bytes = Buffer.from(text, "latin1");
  const length: number[] = [];
  if (bytes.length < 127) length.push(bytes.length);
  else {
    length.push(127);
    let left = bytes.length - 127;
    for (; left >= 128; left = Math.floor(left / 128)) length.push((left % 128) + 128);
    length.push(left);
  }
  return Buffer.concat([Buffer.from(length), bytes]);
}

/** Cuts what comes into frames. At most one frame is kept. */
export class FrameReader {
  #kept: Buffer = Buffer.alloc(0);
  #isBroken = false;

  /** A frame was too long: this is no HTTP/2. */
  get isBroken(): boolean {
    return this.#isBroken;
  }

  /** Calls `onFrame` for each whole frame, until it returns false. */
  push(bytes: Buffer, onFrame: (frame: Frame) => boolean): void {
    const all = this.#kept.length === 0 ? bytes : Buffer.concat([this.#kept, bytes]);
    let at = 0;
    while (all.length - at >= HEADER_BYTES) {
      const length = all.readUIntBE(at, 3);
      if (length > MAX_FRAME_BYTES) {
        this.#isBroken = true;
        return;
      }
      const end = at + HEADER_BYTES + length;
      if (end > all.length) break;
      const payload = all.subarray(at + HEADER_BYTES, end);
      const stream = all.readUInt32BE(at + 5) & 0x7fff_ffff;
      const goesOn = onFrame({ type: all[at + 3] ?? 0, flags: all[at + 4] ?? 0, stream, payload });
      if (!goesOn) return;
      at = end;
    }
    // A copy: the caller reuses its buffer.
    this.#kept = at === all.length ? Buffer.alloc(0) : Buffer.from(all.subarray(at));
  }
}

/** A payload without padding and priority; undefined when they do not fit into it. */
export function contentOf({ type, flags, payload }: Frame): Buffer | undefined {
  const hasPadding = (flags & FLAG.padded) !== 0;
  const padding = hasPadding ? (payload[0] ?? 0) : 0;
  const from = (hasPadding ? 1 : 0) + (type === FRAME.headers && (flags & FLAG.priority) !== 0 ? 5 : 0);
  return from + padding > payload.length ? undefined : payload.subarray(from, payload.length - padding);
}
