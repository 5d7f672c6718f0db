// SPDX-License-Identifier: Apache-2.0

/** Pure: which dead containers and sandboxes may go. kubelet: containerGC.evictContainers, evictSandboxes. */
import type { ContainerRecord, RuntimePodStatus, SandboxRecord } from "@holdfast/core/runtime-status";
import type { GarbagePredicates } from "./sync-result.ts";

/** kubelet: gc.Policy. */
export interface ContainerGcPolicy {
  /** Since its creation, not its end. */
  readonly minAgeMs: number;
  /** Negative: no limit. */
  readonly maxPerPodContainer: number;
  /** Negative: no limit. */
  readonly maxContainers: number;
}

/** A dead container and whose it was. */
export interface DeadContainer {
  readonly pod: RuntimePodStatus;
  readonly record: ContainerRecord;
}

/** What one pass removes. */
export interface ContainerGcPlan {
  readonly containers: readonly DeadContainer[];
  readonly sandboxes: readonly { readonly pod: RuntimePodStatus; readonly sandbox: SandboxRecord }[];
  /** Pods of which nothing stays. */
  readonly gone: readonly RuntimePodStatus[];
}

/** `now` is wall time, as creation times are. */
export function computeContainerGc(
  all: readonly RuntimePodStatus[],
  policy: ContainerGcPolicy,
  predicates: GarbagePredicates,
  now: number,
): ContainerGcPlan {
  const { allSourcesReady, evictTerminatedPods = false } = predicates;
  const goes = ({ uid }: RuntimePodStatus): boolean =>
    predicates.shouldPodContentBeRemoved(uid) ||
    (evictTerminatedPods && predicates.shouldPodRuntimeBeRemoved(uid));
  const removed = new Set<ContainerRecord>();
  const containers: DeadContainer[] = [];
  const remove = (dead: DeadContainer): void => {
    removed.add(dead.record);
    containers.push(dead);
  };
  let groups = deadGroups(all, now - policy.minAgeMs);
  if (allSourcesReady) {
    groups = groups.filter((group) => {
      if (group[0] === undefined || !goes(group[0].pod)) return true;
      group.forEach(remove);
      return false;
    });
  }
  const trim = (limit: number): void =>
    groups.forEach((group) => group.splice(Math.max(limit, 0)).forEach(remove));
  if (policy.maxPerPodContainer >= 0) trim(policy.maxPerPodContainer);
  if (policy.maxContainers >= 0) {
    const left = (): number => groups.reduce((sum, group) => sum + group.length, 0);
    if (left() > policy.maxContainers)
      trim(Math.max(1, Math.floor(policy.maxContainers / Math.max(groups.length, 1))));
    const oldestFirst = groups.flat().toSorted((a, b) => a.record.createdAt - b.record.createdAt);
    oldestFirst.slice(0, Math.max(left() - policy.maxContainers, 0)).forEach(remove);
  }
  const sandboxes = all.flatMap((pod) =>
    idleSandboxes(pod, removed, goes(pod)).map((sandbox) => ({ pod, sandbox })),
  );
  const going = new Set(sandboxes.map(({ sandbox }) => sandbox));
  const gone = all.filter(
    (pod) =>
      allSourcesReady &&
      predicates.shouldPodContentBeRemoved(pod.uid) &&
      pod.containers.every((record) => removed.has(record)) &&
      pod.sandboxes.every((sandbox) => going.has(sandbox)),
  );
  return { containers, sandboxes, gone };
}

/** By pod and name, newest first. An exit that the runtime has not confirmed is not dead yet. */
function deadGroups(all: readonly RuntimePodStatus[], createdBefore: number): DeadContainer[][] {
  const groups = new Map<string, DeadContainer[]>();
  for (const pod of all) {
    for (const record of pod.containers.toSorted(newestFirst)) {
      if (record.state === "running" || record.exitUnconfirmed === true || record.createdAt > createdBefore)
        continue;
      const key = `${pod.uid}/${record.name}`;
      const group = groups.get(key);
      if (group === undefined) groups.set(key, [{ pod, record }]);
      else group.push({ pod, record });
    }
  }
  return [...groups.values()];
}

interface Attempt {
  readonly attempt: number;
  readonly createdAt: number;
}

/** By attempt: the wall clock may have been set back between two of them. */
function newestFirst(a: Attempt, b: Attempt): number {
  return b.attempt - a.attempt || b.createdAt - a.createdAt;
}

/** Not ready, without a container, and not the newest of a pod that stays. */
function idleSandboxes(
  pod: RuntimePodStatus,
  removed: ReadonlySet<ContainerRecord>,
  goes: boolean,
): SandboxRecord[] {
  const owners = new Set(
    pod.containers.filter((record) => !removed.has(record)).map(({ sandboxId }) => sandboxId),
  );
  return pod.sandboxes
    .toSorted(newestFirst)
    .slice(goes ? 0 : 1)
    .filter(({ id, state }) => state !== "ready" && !owners.has(id));
}
