// SPDX-License-Identifier: Apache-2.0

/**
 * Reads the header block of an HTTP/2 response as far as a health probe needs it: status, content type and what gRPC says. Pure. RFC 7541.
 *
 * Invariants: a block that cannot be read is `undefined`, never half read; the dynamic table, which our settings forbid, holds 128 entries at most.
 */

/** What came, by lower-case name; names that nobody asks for may be missing. */
export type HeaderFields = Map<string, string>;

/** Entries of the static table whose values are of use. */
const STATIC_FIELDS: Readonly<Record<number, readonly [name: string, value: string]>> = {
  8: [":status", "200"],
  9: [":status", "204"],
  10: [":status", "206"],
  11: [":status", "304"],
  12: [":status", "400"],
  13: [":status", "404"],
  14: [":status", "500"],
  31: ["content-type", ""],
};
const STATIC_SIZE = 61;
const MAX_DYNAMIC = 128;
const UNKNOWN = ["", ""] as const;

/** Decodes the blocks of one connection, in their order. */
export class HpackReader {
  readonly #dynamic: (readonly [string, string])[] = [];
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;

  /** Adds the fields of a whole block to `fields`. False: it cannot be read. */
  read(block: Buffer, fields: HeaderFields): boolean {
    this.#bytes = block;
    this.#at = 0;
    while (this.#at < block.length) {
      const first = block[this.#at] ?? 0;
      if (first >= 0x20 && first < 0x40) {
        // A new size of the dynamic table: ours has its own bound.
        if (this.#integer(5) === undefined) return false;
        continue;
      }
      const field = first >= 0x80 ? this.#entry(this.#integer(7)) : this.#literal(first >= 0x40);
      if (field === undefined) return false;
      if (field[0] !== "") fields.set(field[0], field[1]);
    }
    return true;
  }

  #entry(index: number | undefined): readonly [string, string] | undefined {
    if (index === undefined || index === 0) return undefined;
    if (index <= STATIC_SIZE) return STATIC_FIELDS[index] ?? UNKNOWN;
    return this.#dynamic[index - STATIC_SIZE - 1];
  }

  #literal(isKept: boolean): readonly [string, string] | undefined {
    const index = this.#integer(isKept ? 6 : 4);
    if (index === undefined) return undefined;
    const name = index === 0 ? this.#string() : this.#entry(index)?.[0];
    const value = this.#string();
    if (name === undefined || value === undefined) return undefined;
    const field = [name, value] as const;
    if (isKept && this.#dynamic.unshift(field) > MAX_DYNAMIC) this.#dynamic.pop();
    return field;
  }

  /** Behind a prefix of so many bits. */
  #integer(prefixBits: number): number | undefined {
    const mask = 2 ** prefixBits - 1;
    let value = (this.#bytes[this.#at++] ?? 0) & mask;
    if (value < mask) return value;
    for (let shift = 0; shift <= 21; shift += 7) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) return undefined;
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
    return undefined;
  }

  #string(): string | undefined {
    const isHuffman = ((this.#bytes[this.#at] ?? 0) & 0x80) !== 0;
    const length = this.#integer(7);
    const from = this.#at;
    if (length === undefined || from + length > this.#bytes.length) return undefined;
    this.#at += length;
    return isHuffman
      ? decodeHuffman(this.#bytes, from, this.#at)
      : this.#bytes.toString("latin1", from, this.#at);
  }
}

/**
 * The symbols of RFC 7541's code by the length of their codes, in the order of their codes: the code is canonical, so no more is needed. What has
 * longer codes stands in no header that a probe reads.
 */
const SYMBOLS: readonly (readonly [bits: number, symbols: string])[] = [
  [5, "012aceiost"],
  [6, " %-./3456789=A_bdfghlmnpru"],
  [7, ":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"],
  [8, "&*,;XZ"],
  [10, '!"()?'],
  [11, "'+|"],
  [12, "#>"],
  [13, "\0$@[]~"],
  [14, "^}"],
  [15, "<`{"],
  [19, "\\\u00c3\u00d0"],
];
/** Two places for each inner node: where a 0 and where a 1 leads; below 0 the symbol, less 1; 0 leads nowhere. */
const TREE: Int16Array = buildTree();

function buildTree(): Int16Array {
  const tree = new Int16Array(4096);
  let nodes = 1;
  let next = 0;
  let before = 0;
  for (const [bits, symbols] of SYMBOLS) {
    next *= 2 ** (bits - before);
    before = bits;
    for (const symbol of symbols) {
      let node = 0;
      for (let bit = bits - 1; bit > 0; bit--) {
        const at = 2 * node + ((next >> bit) & 1);
        if (tree[at] === 0) tree[at] = nodes++;
        node = tree[at] ?? 0;
      }
      tree[2 * node + (next & 1)] = -symbol.charCodeAt(0) - 1;
      next += 1;
    }
  }
  return tree.slice(0, 2 * nodes);
}

/** The shortest code has five bits. */
const MOST_SYMBOLS_A_BYTE = 8 / 5;

/** Undefined: no text in this code, or in symbols that no header of a probe has. */
export function decodeHuffman(bytes: Buffer, from: number, to: number): string | undefined {
  const text = Buffer.allocUnsafe(Math.ceil((to - from) * MOST_SYMBOLS_A_BYTE));
  let length = 0;
  let node = 0;
  let bits = 0;
  let isAllOnes = true;
  for (let at = from; at < to; at++) {
    const byte = bytes[at] ?? 0;
    for (let shift = 7; shift >= 0; shift--) {
      const bit = (byte >> shift) & 1;
      const child = TREE[2 * node + bit] ?? 0;
      // A longer code than those above.
      if (child === 0) return undefined;
      bits += 1;
      isAllOnes &&= bit === 1;
      if (child > 0) node = child;
      else {
        text[length++] = -child - 1;
        node = 0;
        bits = 0;
        isAllOnes = true;
      }
    }
  }
  // Filled up with ones, less than a byte of them.
  return bits < 8 && isAllOnes ? text.toString("latin1", 0, length) : undefined;
}
