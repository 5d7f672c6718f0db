// SPDX-License-Identifier: Apache-2.0

/** When a pod's worker runs again without being woken. Pure. kubelet: podWorkers.completeWork. */
import { jitter } from "@holdfast/core/random";
import type { Random } from "@holdfast/core/random";

/** What came of a step. */
export interface StepOutcome {
  /** It failed. A container's back-off is no failure. */
  readonly failed: boolean;
  /**
   * What the pod waits for: `network` is worth a look each second, as in the kubelet; of a `neighbour` (a port, a name, room) the worker is woken,
   * so that the look is only for safety.
   */
  readonly waitsFor: "network" | "neighbour" | undefined;
  /** Monotonic: when the earliest back-off or the pod's deadline ends. */
  readonly comeBackAt: number | undefined;
}

/** kubelet: workerBackOffPeriod. */
export const WORKER_BACKOFF_MS = 10_000;
/** kubelet: backOffOnTransientErrorPeriod. */
export const TRANSIENT_BACKOFF_MS = 1000;
/** kubelet: workerResyncIntervalJitterFactor, workerBackOffPeriodJitterFactor. */
const JITTER = 0.5;

/**
 * Milliseconds from `now` (monotonic). Jitter keeps 100 pods from coming back at one moment; a back-off's end gets none, unlike in the
 * kubelet: being late is what people see.
 */
export function computeRequeue(outcome: StepOutcome, now: number, resyncMs: number, random: Random): number {
  const usual = jitter(period(outcome, resyncMs), JITTER, random);
  if (outcome.comeBackAt === undefined) return usual;
  return Math.min(Math.max(outcome.comeBackAt - now, 0), usual);
}

function period({ failed, waitsFor }: StepOutcome, resyncMs: number): number {
  if (waitsFor === "network") return TRANSIENT_BACKOFF_MS;
  return failed || waitsFor === "neighbour" ? WORKER_BACKOFF_MS : resyncMs;
}
