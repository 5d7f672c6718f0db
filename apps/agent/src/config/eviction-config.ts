// SPDX-License-Identifier: Apache-2.0

/** Keys about eviction. Pure: what does not fit is refused here, with the key that is wrong. */
import { errorText, HoldfastError } from "@holdfast/core/errors";
import { DEFAULT_TRANSITION_PERIOD_MS, parseThresholdConfig } from "@holdfast/eviction";
import type { SignalSettings, Threshold } from "@holdfast/eviction";
import type { Field } from "./fields.ts";

/** What the eviction side runs with. */
export interface EvictionConfig {
  readonly thresholds: readonly Threshold[];
  readonly transitionPeriodMs: number;
  readonly maxPodGraceSeconds: number;
  readonly evictStaticPods: boolean;
  /** Memory is looked at between rounds, too. */
  readonly watchMemory: boolean;
  /** Whether limits on local storage are enforced. */
  readonly localStorageCapacityIsolation: boolean;
}

/** Keys of `KubeletConfiguration`, for the table of all. */
export const EVICTION_FIELDS: readonly Field[] = [
  {
    key: "evictionHard",
    type: "stringMap",
    fallback: "",
    help: "a pod goes at once when less is available: memory.available, nodefs.available, nodefs.inodesFree, imagefs.*, pid.available; default as the kubelet's, {} for none",
  },
  {
    key: "evictionSoft",
    type: "stringMap",
    fallback: "",
    help: "the same, after evictionSoftGracePeriod, which each of them needs",
  },
  { key: "evictionSoftGracePeriod", type: "stringMap", fallback: "", help: "by signal" },
  {
    key: "evictionMinimumReclaim",
    type: "stringMap",
    fallback: "",
    help: "by signal: once short, so much more than the threshold must be available",
  },
  {
    key: "evictionPressureTransitionPeriod",
    type: "duration",
    fallback: DEFAULT_TRANSITION_PERIOD_MS,
    min: 0,
    help: "how long MemoryPressure, DiskPressure and PIDPressure stay after they were seen last",
  },
  {
    key: "evictionMaxPodGracePeriod",
    type: "int",
    fallback: 0,
    min: 0,
    help: "seconds; the most that a soft threshold leaves a pod of its own grace",
  },
  {
    key: "mergeDefaultEvictionSettings",
    type: "bool",
    fallback: false,
    help: "what evictionHard does not name keeps its default",
  },
  {
    key: "kernelMemcgNotification",
    type: "bool",
    fallback: false,
    help: "memory is looked at four times a second, not every 10 s only",
  },
  {
    key: "localStorageCapacityIsolation",
    type: "bool",
    fallback: true,
    help: "pods beyond their limits on local storage are evicted; static ones with evictStaticPods only",
  },
];

/** Keys of Holdfast's own document. */
export const OWN_EVICTION_FIELDS: readonly Field[] = [
  {
    key: "evictStaticPods",
    type: "bool",
    fallback: false,
    help: "pods of the manifest folder may be evicted too, but those of priority 2000000000 and above; the kubelet's never are",
  },
  {
    key: "evictionPressure",
    type: "stringMap",
    fallback: "",
    help: "a pod goes when more of the time than that is lost to waiting for memory: memory.psi.full.avg60: 40%",
  },
];

/** Checks the keys together. `problem` hears of what does not hold. */
export function completeEviction(
  of: <T>(key: string) => T,
  problem: (key: string, text: string) => void,
): EvictionConfig {
  const map = (key: string): SignalSettings | undefined => of<SignalSettings | "">(key) || undefined;
  return {
    thresholds: read(),
    transitionPeriodMs: of("evictionPressureTransitionPeriod"),
    maxPodGraceSeconds: of("evictionMaxPodGracePeriod"),
    evictStaticPods: of("evictStaticPods"),
    watchMemory: of("kernelMemcgNotification"),
    localStorageCapacityIsolation: of("localStorageCapacityIsolation"),
  };

  function read(): readonly Threshold[] {
    try {
      return parseThresholdConfig({
        evictionHard: map("evictionHard"),
        evictionSoft: map("evictionSoft"),
        evictionSoftGracePeriod: map("evictionSoftGracePeriod"),
        evictionMinimumReclaim: map("evictionMinimumReclaim"),
        mergeDefaultEvictionSettings: of("mergeDefaultEvictionSettings"),
        allocatableMemory: of<readonly string[]>("enforceNodeAllocatable").includes("pods"),
        evictionPressure: map("evictionPressure"),
      });
    } catch (error) {
      const path = HoldfastError.is(error) ? (error.fieldPath ?? "") : "";
      const key = path.slice(0, path.indexOf("["));
      problem(key, errorText(error).replace(key, ""));
      return [];
    }
  }
}
