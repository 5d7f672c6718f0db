// SPDX-License-Identifier: Apache-2.0

/** Which pod goes first. Pure. kubelet: rankMemoryPressure, rankPIDPressure, rankDiskPressureFunc. */
import type { Pod } from "@holdfast/core/pod-types";
import type { FilesystemLayout } from "./parse-thresholds.ts";
import { podRequest } from "./pod-requests.ts";
import { podStorageUsage, storagePartsOf } from "./pod-usage.ts";
import type { PodFigures } from "./ports.ts";
import { signalFacts } from "./signals.ts";
import type { Signal } from "./signals.ts";

/** One pod with what it is compared by. */
export interface RankedPod {
  readonly pod: Pod;
  /** Undefined: nothing is known of it, and it goes first. */
  readonly figures: PodFigures | undefined;
  readonly exceedsRequest: boolean;
  readonly priority: number;
  /** Beyond the request, or as it is for processes; may be negative. */
  readonly weight: number;
}

/** One order of two pods; 0 leaves it to the next. kubelet: cmpFunc. */
export type RankKey = (a: RankedPod, b: RankedPod) => number;

/** Who uses more than it asked for goes first; who is not known even before. kubelet: exceedMemoryRequests, exceedDiskRequests. */
export const byExceedingRequest: RankKey = (a, b) =>
  unknownFirst(a, b) ?? Number(b.exceedsRequest) - Number(a.exceedsRequest);
/** Who matters least goes first. kubelet: priority. */
export const byPriority: RankKey = (a, b) => a.priority - b.priority;
/** Who uses most goes first. kubelet: memory, process, disk. */
export const byWeight: RankKey = (a, b) => unknownFirst(a, b) ?? b.weight - a.weight;
/** Beyond the kubelet's keys, where its order is by chance: who came last goes first. */
export const byAge: RankKey = ({ pod: a }, { pod: b }) =>
  compareTexts(b.metadata.creationTimestamp ?? "", a.metadata.creationTimestamp ?? "") ||
  compareTexts(a.metadata.uid, b.metadata.uid);

/** What is needed to rank. */
export interface RankInput {
  readonly signal: Signal;
  readonly pods: readonly Pod[];
  readonly figures: ReadonlyMap<string, PodFigures>;
  readonly layout: FilesystemLayout;
}

/** All pods, first to go first. Linear but for one sort. */
export function rankPods(input: RankInput): readonly RankedPod[] {
  const { condition } = signalFacts(input.signal) ?? {};
  const keys =
    condition === "PIDPressure"
      ? [byPriority, byWeight, byAge]
      : [byExceedingRequest, byPriority, byWeight, byAge];
  return rankedPods(input).sort((a, b) => {
    for (const key of keys) {
      const order = key(a, b);
      if (order !== 0) return order;
    }
    return 0;
  });
}

/** What the pods are compared by, in their order. */
export function rankedPods({ signal, pods, figures, layout }: RankInput): RankedPod[] {
  const measure = measureOf(signal, layout);
  return pods.map((pod) => {
    const known = figures.get(pod.metadata.uid);
    const priority = pod.spec.priority ?? 0;
    if (known === undefined) return { pod, figures: undefined, exceedsRequest: false, priority, weight: 0 };
    return { pod, figures: known, priority, ...measure(pod, known) };
  });
}

type Measure = (pod: Pod, figures: PodFigures) => Pick<RankedPod, "exceedsRequest" | "weight">;

function measureOf(signal: Signal, layout: FilesystemLayout): Measure {
  const facts = signalFacts(signal);
  if (facts?.condition === "PIDPressure")
    return (_pod, figures) => ({
      exceedsRequest: false,
      weight: figures.process_stats?.process_count ?? 0,
    });
  if (facts?.condition === "MemoryPressure")
    return (pod, figures) => {
      const over = (figures.memory?.workingSetBytes ?? 0) - podRequest(pod, "memory");
      return { exceedsRequest: over > 0, weight: over };
    };
  const parts = storagePartsOf(signal, layout);
  const isInodes = facts?.resource === "inodes";
  return (pod, figures) => {
    const usage = podStorageUsage(figures, pod, parts, isInodes ? "inodes" : "bytes");
    const request = podRequest(pod, "ephemeral-storage");
    // kubelet: nobody can ask for inodes, so any is more than was asked for; the order still has the bytes in it.
    return { exceedsRequest: usage > (isInodes ? 0 : request), weight: usage - request };
  };
}

function unknownFirst(a: RankedPod, b: RankedPod): number | undefined {
  const [unknownA, unknownB] = [a.figures === undefined, b.figures === undefined];
  return unknownA || unknownB ? Number(unknownB) - Number(unknownA) : undefined;
}

function compareTexts(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
