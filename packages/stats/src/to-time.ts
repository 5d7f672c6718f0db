// SPDX-License-Identifier: Apache-2.0

import type { Time } from "./summary.ts";

/** What Date can say; a runtime may give anything. */
const LAST_MS = 8.64e15;

/** Wall milliseconds as the Summary has them. What is no moment is the epoch. */
export function toTime(wallMs: number): Time {
  const ms = Number.isFinite(wallMs) && Math.abs(wallMs) <= LAST_MS ? wallMs : 0;
  return new Date(ms).toISOString();
}
