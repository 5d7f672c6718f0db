// SPDX-License-Identifier: Apache-2.0

/** One round without its actions: from what was seen to what has to be done. Pure. kubelet: the first half of synchronize. */
import {
  conditionsLastObservedAt,
  conditionsObservedSince,
  conditionsOf,
  mergeThresholds,
  sortByEvictionPriority,
  thresholdsFirstObservedAt,
  thresholdsMet,
  thresholdsMetGracePeriod,
  thresholdsUpdatedStats,
} from "./compute-thresholds.ts";
import type { FirstObserved, LastObserved } from "./compute-thresholds.ts";
import type { PressureConditionType } from "./signals.ts";
import type { SignalObservations, Threshold } from "./threshold.ts";

/** What one round leaves for the next. */
export interface RoundState {
  readonly firstObserved: FirstObserved;
  readonly lastObserved: LastObserved;
  /** Met beyond their grace: they stay until `minReclaim` is reached too. */
  readonly met: readonly Threshold[];
  readonly observations: SignalObservations;
  /** What the node is said to be short of. */
  readonly conditions: readonly PressureConditionType[];
}

/** Before the first round. */
export const FIRST_ROUND: RoundState = {
  firstObserved: new Map(),
  lastObserved: new Map(),
  met: [],
  observations: new Map(),
  conditions: [],
};

/** What a round is computed from. */
export interface RoundInput {
  readonly thresholds: readonly Threshold[];
  readonly observations: SignalObservations;
  /** Monotonic milliseconds. */
  readonly now: number;
  readonly transitionPeriodMs: number;
}

/** What comes of it. */
export interface Round {
  readonly state: RoundState;
  /** All that is met, grace or not. */
  readonly met: readonly Threshold[];
  /** What has to be acted on, most urgent first; empty for nothing. */
  readonly toAct: readonly Threshold[];
}

/** kubelet: synchronize, up to the choice of the threshold. */
export function computeRound(before: RoundState, input: RoundInput): Round {
  const { thresholds, observations, now, transitionPeriodMs } = input;
  const unresolved = thresholdsMet(before.met, observations, { enforceMinReclaim: true });
  const met = mergeThresholds(
    thresholdsMet(thresholds, observations, { enforceMinReclaim: false }),
    unresolved,
  );
  const firstObserved = thresholdsFirstObservedAt(met, before.firstObserved, now);
  const lastObserved = conditionsLastObservedAt(conditionsOf(met), before.lastObserved, now);
  const conditions = conditionsObservedSince(lastObserved, transitionPeriodMs, now);
  const graceOver = thresholdsMetGracePeriod(met, firstObserved, now);
  const toAct = sortByEvictionPriority(thresholdsUpdatedStats(graceOver, observations, before.observations));
  return {
    // A transition period of 0 shows a condition for as long as it is there.
    state: {
      firstObserved,
      lastObserved,
      met: graceOver,
      observations,
      conditions: transitionPeriodMs > 0 ? conditions : conditionsOf(met),
    },
    met,
    toAct,
  };
}
