// SPDX-License-Identifier: Apache-2.0

/** Which thresholds are met, for how long, and what of it is new. Pure. kubelet: eviction/helpers.go. */
import { PRESSURE_CONDITIONS, signalFacts } from "./signals.ts";
import type { PressureConditionType, Signal } from "./signals.ts";
import { thresholdAmount, thresholdKey } from "./threshold.ts";
import type { SignalObservation, SignalObservations, Threshold } from "./threshold.ts";

/** How {@link thresholdsMet} compares. */
export interface MetOptions {
  /** Count `minReclaim` in: what was met is not over until so much more is there. */
  readonly enforceMinReclaim: boolean;
}

/** Thresholds below which something has fallen, whatever their grace. One whose signal was not seen is not met. kubelet: thresholdsMet. */
export function thresholdsMet(
  thresholds: readonly Threshold[],
  observations: SignalObservations,
  { enforceMinReclaim }: MetOptions,
): readonly Threshold[] {
  return thresholds.filter(({ signal, value, minReclaim }) => {
    const observation = observations.get(signal);
    if (observation === undefined) return false;
    const { available, capacity } = observation;
    const extra = enforceMinReclaim && minReclaim !== undefined ? thresholdAmount(minReclaim, capacity) : 0;
    return thresholdAmount(value, capacity) + extra > available;
  });
}

/** Both lists, each threshold once. kubelet: mergeThresholds. */
export function mergeThresholds(a: readonly Threshold[], b: readonly Threshold[]): readonly Threshold[] {
  const known = new Set(a.map(thresholdKey));
  return [...a, ...b.filter((threshold) => !known.has(thresholdKey(threshold)))];
}

/** Since when each is met, by {@link thresholdKey}; monotonic milliseconds. */
export type FirstObserved = ReadonlyMap<string, number>;

/** What is met goes on from when it began. kubelet: thresholdsFirstObservedAt. */
export function thresholdsFirstObservedAt(
  met: readonly Threshold[],
  before: FirstObserved,
  now: number,
): FirstObserved {
  return new Map(met.map(thresholdKey).map((key) => [key, before.get(key) ?? now] as const));
}

/** Those that are met for as long as their grace. kubelet: thresholdsMetGracePeriod. */
export function thresholdsMetGracePeriod(
  met: readonly Threshold[],
  observedAt: FirstObserved,
  now: number,
): readonly Threshold[] {
  return met.filter(
    (threshold) => now - (observedAt.get(thresholdKey(threshold)) ?? now) >= threshold.gracePeriodMs,
  );
}

/** Those whose figures are newer than before: on the same ones nothing more is done. kubelet: thresholdsUpdatedStats. */
export function thresholdsUpdatedStats(
  thresholds: readonly Threshold[],
  observations: SignalObservations,
  before: ReadonlyMap<Signal, SignalObservation>,
): readonly Threshold[] {
  return thresholds.filter(({ signal }) => {
    const [now, then] = [observations.get(signal)?.at, before.get(signal)?.at];
    // Nothing to compare with counts as new.
    return now === undefined || then === undefined || now > then;
  });
}

/** What the node is short of, grace or not. kubelet: nodeConditions. */
export function conditionsOf(met: readonly Threshold[]): readonly PressureConditionType[] {
  const types = new Set(met.map(({ signal }) => signalFacts(signal)?.condition));
  return PRESSURE_CONDITIONS.filter((type) => types.has(type));
}

/** When each condition was seen last; monotonic milliseconds. */
export type LastObserved = ReadonlyMap<PressureConditionType, number>;

/** kubelet: nodeConditionsLastObservedAt. */
export function conditionsLastObservedAt(
  conditions: readonly PressureConditionType[],
  before: LastObserved,
  now: number,
): LastObserved {
  return new Map([...before, ...conditions.map((type) => [type, now] as const)]);
}

/** Those that were seen within the transition period: a condition that comes and goes stays. kubelet: nodeConditionsObservedSince. */
export function conditionsObservedSince(
  observedAt: LastObserved,
  periodMs: number,
  now: number,
): readonly PressureConditionType[] {
  return PRESSURE_CONDITIONS.filter((type) => {
    const at = observedAt.get(type);
    return at !== undefined && now - at < periodMs;
  });
}

/** Memory first: it runs out faster than anything. kubelet: byEvictionPriority. */
export function sortByEvictionPriority(thresholds: readonly Threshold[]): readonly Threshold[] {
  return thresholds
    .map((threshold) => ({ threshold, order: orderOf(threshold) }))
    .sort((a, b) => a.order - b.order)
    .map(({ threshold }) => threshold);
}

function orderOf({ signal }: Threshold): number {
  const facts = signalFacts(signal);
  if (facts === undefined) return 2;
  return facts.condition === "MemoryPressure" ? 0 : 1;
}
