// SPDX-License-Identifier: Apache-2.0

import type { Pod } from "@holdfast/core/pod-types";

/** kubelet: the API's default of terminationGracePeriodSeconds. */
const DEFAULT_GRACE_SECONDS = 30;

/** A pod's grace after a wish to end it. */
export interface EffectiveGrace {
  readonly seconds: number;
  /** It was set before and is less now: what waits for the old one has to wait less. */
  readonly shortened: boolean;
}

/**
 * Seconds that a pod's containers get to end by themselves: once set it only decreases, and is never below 1. Pure.
 * `stored` is what was decided before, `override` what is wished now. kubelet: calculateEffectiveGracePeriod.
 */
export function computeGrace(
  pod: Pod,
  stored: number | undefined,
  override: number | undefined,
): EffectiveGrace {
  const before = stored ?? 0;
  let seconds = before;
  for (const wish of [pod.metadata.deletionGracePeriodSeconds, override])
    if (wish !== undefined && (seconds === 0 || wish < seconds)) seconds = wish;
  if (seconds === 0 && override === undefined && pod.metadata.deletionGracePeriodSeconds === undefined)
    seconds = pod.spec.terminationGracePeriodSeconds ?? DEFAULT_GRACE_SECONDS;
  seconds = Math.max(seconds, 1);
  return { seconds, shortened: before !== 0 && seconds !== before };
}
