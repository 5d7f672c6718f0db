// SPDX-License-Identifier: Apache-2.0

/**
 * The UID of a static pod. The kubelet hashes the *defaulted* object as Go prints it, so an upgrade may restart every static pod.
 * Here it is a hash of the document as it was written: golden tests pin it, and no new default can change it.
 */
import type { Json, JsonObject } from "./read-node.ts";

/** 16 bits per limb, lowest first. */
const LIMBS = 8;
/** FNV-1a's 128-bit offset basis: 0x6c62272e07bb014262b821756295c58d. */
const OFFSET_BASIS = [0xc58d, 0x6295, 0x2175, 0x62b8, 0x0142, 0x07bb, 0x272e, 0x6c62];
/** The prime is 2^88 + 0x13b. */
const PRIME_LOW = 0x13b;

/** 128-bit FNV-1a, as 32 hexadecimal digits. kubelet: the hash of static pods' UIDs. */
export function fnv128a(bytes: Uint8Array): string {
  const hash = OFFSET_BASIS.slice();
  const next = Array.from({ length: LIMBS }, () => 0);
  for (const byte of bytes) {
    hash[0] = (hash[0] ?? 0) ^ byte;
    let carry = 0;
    for (let limb = 0; limb < LIMBS; limb++) {
      // Times 2^88 is five limbs and eight bits up.
      const shifted =
        limb < 5 ? 0 : (((hash[limb - 5] ?? 0) << 8) & 0xffff) | (limb > 5 ? (hash[limb - 6] ?? 0) >> 8 : 0);
      const sum = (hash[limb] ?? 0) * PRIME_LOW + shifted + carry;
      next[limb] = sum & 0xffff;
      carry = Math.floor(sum / 0x1_0000);
    }
    for (let limb = 0; limb < LIMBS; limb++) hash[limb] = next[limb] ?? 0;
  }
  return hash
    .toReversed()
    .map((limb) => limb.toString(16).padStart(4, "0"))
    .join("");
}

/** JSON with sorted keys, without spaces, and without members that are null: a null field is an absent one. */
export function canonicalJson(value: Json): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = Object.keys(value)
    .filter((key) => value[key] !== null)
    .toSorted(compareCodeUnits)
    .map((key) => `${JSON.stringify(key)}:${canonicalJson(value[key] ?? null)}`);
  return `{${members.join(",")}}`;
}

/** The order of code units: the same in every locale. */
function compareCodeUnits(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** The UID of a static pod: of its document before defaulting, its node and its file's path. */
export function staticPodUid(document: JsonObject, nodeName: string, path: string): string {
  return fnv128a(new TextEncoder().encode(`${canonicalJson(document)}\nhost:${nodeName}\nfile:${path}`));
}
