// SPDX-License-Identifier: Apache-2.0

import { HoldfastError } from "./errors.ts";

const SUFFIX: Readonly<Record<string, number>> = {
  "": 1,
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};
const PATTERN = /^([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E))?$/;

/**
 * Parses a Kubernetes quantity ("500m", "64Mi", "1e3", 2) into its number.
 * Doubles are exact for every memory size below 8 PiB. Throws `bad-input` (CORE_QUANTITY). kubelet: resource.ParseQuantity.
 */
export function parseQuantity(value: string | number, fieldPath?: string): number {
  const match = PATTERN.exec(String(value).trim());
  if (match === null) {
    const where = fieldPath === undefined ? {} : { fieldPath };
    throw new HoldfastError(
      "CORE_QUANTITY",
      "bad-input",
      `"${String(value).slice(0, 40)}" is no quantity; write it like 500m, 64Mi or 2`,
      where,
    );
  }
  return match[2] === undefined
    ? Number(match[1]) * (SUFFIX[match[3] ?? ""] ?? 1)
    : Number(`${match[1]}${match[2]}`);
}

/** Thousandths, rounded up: how CPU is counted. kubelet: Quantity.MilliValue. */
export function milliValue(value: string | number): number {
  return Math.ceil(Number((parseQuantity(value) * 1000).toPrecision(15)));
}

/** Whole units, rounded up: how bytes are counted. kubelet: Quantity.Value. */
export function wholeValue(value: string | number): number {
  const parsed = parseQuantity(value);
  return Number.isInteger(parsed) ? parsed : Math.ceil(Number(parsed.toPrecision(15)));
}

/** Thousandths as Kubernetes prints them: `1500m`, `2`. */
export function formatMilli(milli: number): string {
  return milli % 1000 === 0 ? String(milli / 1000) : `${milli}m`;
}

const BINARY = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/** Whole bytes as Kubernetes prints them, with the largest binary suffix that leaves a whole number: `64Mi`, `100000001`. */
export function formatBytes(bytes: number): string {
  let [rest, index] = [bytes, 0];
  while (rest >= 1024 && rest % 1024 === 0 && index < BINARY.length - 1) {
    rest /= 1024;
    index += 1;
  }
  return `${rest}${BINARY[index]}`;
}
