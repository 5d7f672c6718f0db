// SPDX-License-Identifier: Apache-2.0

/**
 * Keeps a pod that never settles (a sandbox that is found wrong each time it was made new) from keeping the runtime busy. Pure. The kubelet is slowed
 * down by its relist period; here events come at once.
 */

/** Syncs that acted on the runtime, since a moment (monotonic). */
export interface ActWindow {
  readonly since: number;
  readonly count: number;
}

const WINDOW_MS = 10_000;
/** More than a row of short init containers needs. */
const MAX_ACTS = 20;

/** The window after one more sync that acted. */
export function countAct(window: ActWindow, now: number): ActWindow {
  return now - window.since >= WINDOW_MS || window.count === 0
    ? { since: now, count: 1 }
    : { since: window.since, count: window.count + 1 };
}

/** Milliseconds for which the pod has to keep still; 0 as a rule. */
export function computeThrottle(window: ActWindow, now: number): number {
  return window.count < MAX_ACTS ? 0 : Math.max(window.since + WINDOW_MS - now, 0);
}
