// SPDX-License-Identifier: Apache-2.0

/** Pure: causes as text: distances back from the event, since numbers are long and neighbours are near. */

/** `12 3` for seq 100 and causes 88 and 97; "" for none. */
export function encodeCauses(seq: number, causes: readonly number[]): string {
  return causes.map((cause) => String(seq - cause)).join(" ");
}

/** The other way. What cannot be read is left out. */
export function decodeCauses(seq: number, text: string): readonly number[] {
  if (text === "") return [];
  return text
    .split(" ")
    .map((distance) => seq - Number(distance))
    .filter((cause) => Number.isSafeInteger(cause));
}
