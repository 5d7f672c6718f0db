// SPDX-License-Identifier: Apache-2.0

/** The settings of eviction, by the names that they have in `KubeletConfiguration`. */

/** Signal -> amount (`100Mi`) or percentage (`10%`). */
export type SignalSettings = Readonly<Record<string, string>>;

/** As they are written; nothing is parsed yet. */
export interface EvictionSettings {
  /** Undefined: {@link DEFAULT_EVICTION_HARD}. An empty one: no hard thresholds. */
  readonly evictionHard?: SignalSettings | undefined;
  /** Each needs its `evictionSoftGracePeriod`. */
  readonly evictionSoft?: SignalSettings | undefined;
  readonly evictionSoftGracePeriod?: SignalSettings | undefined;
  readonly evictionMinimumReclaim?: SignalSettings | undefined;
  /** What `evictionHard` does not name keeps its default. Default false: naming one drops all others. */
  readonly mergeDefaultEvictionSettings?: boolean | undefined;
  /** Pods as a whole have a limit: thresholds on memory hold for it too. Default true. kubelet: enforceNodeAllocatable has `pods`. */
  readonly allocatableMemory?: boolean | undefined;
  /** Not the kubelet's: pressure signal -> percent of time lost (`40%`). They act at once. Default none. */
  readonly evictionPressure?: SignalSettings | undefined;
}

/** kubelet: eviction.DefaultEvictionHard on Linux. */
export const DEFAULT_EVICTION_HARD: SignalSettings = {
  "memory.available": "100Mi",
  "nodefs.available": "10%",
  "nodefs.inodesFree": "5%",
  "imagefs.available": "15%",
  "imagefs.inodesFree": "5%",
};
/** kubelet: evictionPressureTransitionPeriod. */
export const DEFAULT_TRANSITION_PERIOD_MS: number = 300_000;
