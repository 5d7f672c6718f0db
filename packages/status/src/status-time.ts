// SPDX-License-Identifier: Apache-2.0

/** Beyond this `Date` has no text. Runtimes have been seen to give nanoseconds where milliseconds were meant. */
const MAX_DATE_MS = 8.64e15;

/** RFC 3339 in UTC, cut to whole seconds, as `metav1.Time` is written. What is no time becomes the epoch. */
export function formatTime(wallMs: number): string {
  const valid = Number.isFinite(wallMs) && Math.abs(wallMs) <= MAX_DATE_MS;
  return new Date(valid ? Math.floor(wallMs / 1000) * 1000 : 0).toISOString().replace(".000Z", "Z");
}

/** Milliseconds since the epoch, or undefined when `text` is no time. */
export function parseTime(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const wallMs = Date.parse(text);
  return Number.isNaN(wallMs) ? undefined : wallMs;
}
