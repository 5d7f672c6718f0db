// SPDX-License-Identifier: Apache-2.0

/** RFC 3339 in UTC, cut to whole seconds, as `metav1.Time` is written. What is no time becomes the epoch. */
export { rfc3339Seconds as formatTime } from "@holdfast/core/rfc3339";

/** Milliseconds since the epoch, or undefined when `text` is no time. */
export function parseTime(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const wallMs = Date.parse(text);
  return Number.isNaN(wallMs) ? undefined : wallMs;
}
