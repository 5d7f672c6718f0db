// SPDX-License-Identifier: Apache-2.0
//
// A protobuf reader that gives the same string object for the same bytes. Lists repeat the same labels, ids and image names in every
// answer, so that most of what a poll decodes already exists; less garbage is what keeps the heap small (TOOLCHAIN.md, 4).
// Owns a StringTable, bounded; losing it costs one poll's garbage. Invariant: the text is what BinaryReader would have read.

import { BinaryReader } from "@bufbuild/protobuf/wire";

/** Longer values are rarely repeated, and hashing them costs more than it saves. */
const MAX_INTERNED_BYTES = 96;
const ASCII_LIMIT = 0x80;
const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/** A generation ends after so many look-ups per place, full or not: ids of containers long gone must not stay for weeks. */
const LOOKUPS_PER_PLACE = 16;

/**
 * Short ASCII strings by hash, in two generations: at its end the young one becomes the old one, and what is used again
 * moves back. Holds at most twice `capacity` strings, and no more than the strings seen lately.
 */
export class StringTable {
  readonly #capacity: number;
  #young = new Map<number, string>();
  #old = new Map<number, string>();
  #lookups = 0;

  /** `capacity`: strings per generation. */
  constructor(capacity: number) {
    this.#capacity = Math.max(1, capacity);
  }

  /** How many strings are held. */
  get size(): number {
    return this.#young.size + this.#old.size;
  }

  /** The string that `bytes` hold from `start` to `end`; all of it ASCII, as the caller has seen while hashing. */
  get(hash: number, bytes: Buffer, start: number, end: number): string {
    if (++this.#lookups > this.#capacity * LOOKUPS_PER_PLACE) this.#turn();
    const young = this.#young.get(hash);
    if (young !== undefined && sameText(young, bytes, start, end)) return young;
    const old = this.#old.get(hash);
    const text =
      old !== undefined && sameText(old, bytes, start, end) ? old : bytes.toString("latin1", start, end);
    if (this.#young.size >= this.#capacity) this.#turn();
    this.#young.set(hash, text);
    return text;
  }

  #turn(): void {
    this.#old = this.#young;
    this.#young = new Map();
    this.#lookups = 0;
  }
}

function sameText(text: string, bytes: Buffer, start: number, end: number): boolean {
  if (text.length !== end - start) return false;
  for (let index = 0; index < text.length; index++) {
    if (text.charCodeAt(index) !== bytes[start + index]) return false;
  }
  return true;
}

/** Plugs into any generated `decode`: `ListContainersResponse.decode(new InterningReader(bytes, table))`. */
export class InterningReader extends BinaryReader {
  readonly #bytes: Buffer;
  readonly #strings: StringTable;

  constructor(bytes: Buffer, strings: StringTable) {
    super(bytes);
    this.#bytes = bytes;
    this.#strings = strings;
  }

  override string(strict?: boolean): string {
    const before = this.pos;
    const length = this.uint32();
    if (length === 0) return "";
    const start = this.pos;
    const end = start + length;
    if (length <= MAX_INTERNED_BYTES && end <= this.len) {
      const hash = asciiHash(this.#bytes, start, end);
      if (hash >= 0) {
        this.pos = end;
        return this.#strings.get(hash, this.#bytes, start, end);
      }
    }
    // Long, not ASCII or cut off: the base class knows what to do.
    this.pos = before;
    return super.string(strict);
  }
}

/** FNV-1a in 30 bits, which V8 keeps as a small integer; -1 when a byte is not ASCII. */
function asciiHash(bytes: Uint8Array, start: number, end: number): number {
  let hash = FNV_OFFSET;
  for (let index = start; index < end; index++) {
    const byte = bytes[index] as number;
    if (byte >= ASCII_LIMIT) return -1;
    hash = Math.imul(hash ^ byte, FNV_PRIME);
  }
  return hash >>> 2;
}
