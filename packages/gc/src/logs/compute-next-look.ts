// SPDX-License-Identifier: Apache-2.0

/** Pure: when to look at a log again, so that it is found when it reaches its size and not much later. */

/** Between two looks at one log. Milliseconds. */
export interface LookLimits {
  readonly fastestMs: number;
  readonly slowestMs: number;
}

/** Bytes per millisecond between two looks; undefined when there was no look before. One that is smaller than before was rotated or cut: all of it is new. */
export function growthRate(
  bytes: number,
  previousBytes: number | undefined,
  elapsedMs: number,
): number | undefined {
  if (previousBytes === undefined || elapsedMs <= 0) return undefined;
  return (bytes >= previousBytes ? bytes - previousBytes : bytes) / elapsedMs;
}

/** Milliseconds from now, for a log of `bytes` that grows by `bytesPerMs` as far as is known. */
export function computeNextLookMs(
  bytes: number,
  bytesPerMs: number | undefined,
  maxSizeBytes: number,
  { fastestMs, slowestMs }: LookLimits,
): number {
  if (bytesPerMs === 0) return slowestMs;
  // A log that was only just met may grow at any speed: the second look tells.
  const wait = bytesPerMs === undefined ? fastestMs : (maxSizeBytes - bytes) / bytesPerMs;
  return Math.min(Math.max(wait, fastestMs), slowestMs);
}
