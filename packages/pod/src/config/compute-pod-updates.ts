// SPDX-License-Identifier: Apache-2.0

/** The difference between two sets of pods, by UID. Pure. kubelet: podStorage.merge, updatePodsFunc, checkAndUpdatePod. */
import { equalJson } from "@holdfast/core/equal-json";
import {
  CONFIG_MIRROR_ANNOTATION,
  CONFIG_SEEN_ANNOTATION,
  CONFIG_SOURCE_ANNOTATION,
} from "@holdfast/core/names";
import type { Pod } from "@holdfast/core/pod-types";
import type { PodOperation, PodSource, PodUpdate } from "./pod-update.ts";

const LOCAL_ANNOTATIONS = new Set([
  CONFIG_SOURCE_ANNOTATION,
  CONFIG_SEEN_ANNOTATION,
  CONFIG_MIRROR_ANNOTATION,
]);

/** The order in which the kubelet hands changes on. */
const ORDER: readonly PodOperation[] = ["REMOVE", "ADD", "UPDATE", "DELETE", "RECONCILE"];

/** What leads from `before` to `after`; operations without pods are left out. */
export function computePodUpdates(
  source: PodSource,
  before: ReadonlyMap<string, Pod>,
  after: ReadonlyMap<string, Pod>,
): readonly PodUpdate[] {
  const changes = new Map<PodOperation, Pod[]>(ORDER.map((op) => [op, []]));
  for (const [uid, pod] of before) if (!after.has(uid)) changes.get("REMOVE")?.push(pod);
  for (const [uid, pod] of after) {
    const old = before.get(uid);
    const op = old === undefined ? "ADD" : podDifference(old, pod);
    if (op !== undefined) changes.get(op)?.push(pod);
  }
  return [...changes].filter(([, pods]) => pods.length > 0).map(([op, pods]) => ({ op, pods, source }));
}

/** How a pod of the same UID changed. kubelet: podsDifferSemantically, podStatus comparison. */
export function podDifference(old: Pod, pod: Pod): "UPDATE" | "DELETE" | "RECONCILE" | undefined {
  if (old === pod) return undefined;
  const { metadata: a } = old;
  const { metadata: b } = pod;
  const same =
    a.deletionTimestamp === b.deletionTimestamp &&
    a.deletionGracePeriodSeconds === b.deletionGracePeriodSeconds &&
    equalJson(a.labels ?? {}, b.labels ?? {}) &&
    equalJson(lasting(a.annotations), lasting(b.annotations)) &&
    equalJson(old.spec, pod.spec);
  if (!same) return b.deletionTimestamp === undefined ? "UPDATE" : "DELETE";
  return equalJson(old.status, pod.status) ? undefined : "RECONCILE";
}

/** Annotations without those that the agent stamps on. */
function lasting(annotations: Readonly<Record<string, string>> = {}): Record<string, string> {
  return Object.fromEntries(Object.entries(annotations).filter(([key]) => !LOCAL_ANNOTATIONS.has(key)));
}
