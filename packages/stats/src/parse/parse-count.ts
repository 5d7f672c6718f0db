// SPDX-License-Identifier: Apache-2.0

/** Pure: numbers in the kernel's files, by themselves or after a key. All other parsers stand on it. */
import { HoldfastError } from "@holdfast/core/errors";

/** What the kernel prints: at most 64 bits, unsigned. */
const COUNT = /^\d{1,20}$/;
/** How much of a file that is not as it should be is shown. */
const SHOWN = 40;

/** The error of every parser here: `STATS_FORMAT`. */
export function badFormat(file: string, text: string): HoldfastError {
  return new HoldfastError(
    "STATS_FORMAT",
    "permanent",
    `${file} has an unexpected form: ${JSON.stringify(text.slice(0, SHOWN))}`,
  );
}

const NEWLINE = 10;
const ZERO = 48;
const NINE = 57;
/** So many digits are surely below 2^53. */
const EXACT_DIGITS = 15;

/** A file, or a field, that is one unsigned number. Above 2^53 it is rounded to the next double. */
export function parseCount(text: string, file: string): number {
  const exact = plainCount(text);
  if (exact !== undefined) return exact;
  const trimmed = text.trim();
  if (!COUNT.test(trimmed)) throw badFormat(file, text);
  return Number(trimmed);
}

/** The common case by hand, digits and a newline: thousands of them are read in a sample. */
function plainCount(text: string): number | undefined {
  const end = text.charCodeAt(text.length - 1) === NEWLINE ? text.length - 1 : text.length;
  if (end === 0 || end > EXACT_DIGITS) return undefined;
  let value = 0;
  for (let at = 0; at < end; at++) {
    const code = text.charCodeAt(at);
    if (code < ZERO || code > NINE) return undefined;
    value = value * 10 + code - ZERO;
  }
  return value;
}

/** A limit: a number, or `max` for none. */
export function parseLimit(text: string, file: string): number | undefined {
  return text.trim() === "max" ? undefined : parseCount(text, file);
}

/**
 * The number that stands after `key` in a file of lines `key number`, or undefined when the key is not there. Looks for the one key instead of splitting fifty
 * lines: memory.stat is read for every container.
 */
export function countAfter(text: string, key: string, file: string): number | undefined {
  let start = text.startsWith(`${key} `) ? 0 : text.indexOf(`\n${key} `) + 1;
  if (start === 0 && !text.startsWith(`${key} `)) return undefined;
  start += key.length + 1;
  const end = text.indexOf("\n", start);
  return parseCount(text.slice(start, end < 0 ? undefined : end), file);
}
