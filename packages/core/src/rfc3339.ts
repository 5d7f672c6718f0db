// SPDX-License-Identifier: Apache-2.0

/** What `Date` can say; a runtime may give anything, and has been seen to give nanoseconds for milliseconds. */
const LAST_MS = 8.64e15;

/**
 * Wall milliseconds as RFC 3339 in UTC, with milliseconds: `2026-11-21T10:00:00.123Z`. What is no moment is the epoch. By hand, because V8's own
 * `toISOString` reads the time zones out of ICU's data first, which stay in the process: 0.5 MB of its resident memory.
 */
export function rfc3339(wallMs: number): string {
  const date = dateOf(wallMs);
  const year = date.getUTCFullYear();
  if (year < 0 || year > 9999) return date.toISOString();
  return `${upToSeconds(date, year)}.${padded(date.getUTCMilliseconds(), 3)}Z`;
}

/** The same cut to whole seconds, as `metav1.Time` is written: `2026-11-21T10:00:00Z`. */
export function rfc3339Seconds(wallMs: number): string {
  const date = dateOf(Math.floor(wallMs / 1000) * 1000);
  const year = date.getUTCFullYear();
  if (year < 0 || year > 9999) return date.toISOString().replace(".000Z", "Z");
  return `${upToSeconds(date, year)}Z`;
}

function dateOf(wallMs: number): Date {
  return new Date(Math.abs(wallMs) <= LAST_MS ? wallMs : 0);
}

function upToSeconds(date: Date, year: number): string {
  const day = `${padded(year, 4)}-${padded(date.getUTCMonth() + 1, 2)}-${padded(date.getUTCDate(), 2)}`;
  const hours = padded(date.getUTCHours(), 2);
  return `${day}T${hours}:${padded(date.getUTCMinutes(), 2)}:${padded(date.getUTCSeconds(), 2)}`;
}

function padded(value: number, digits: number): string {
  return String(value).padStart(digits, "0");
}
