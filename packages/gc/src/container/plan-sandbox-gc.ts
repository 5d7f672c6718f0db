// SPDX-License-Identifier: Apache-2.0

import type { ContainerGcEntry, ContainerGcFacts, ContainerRule, GcSandbox } from "./container-gc-facts.ts";

/** Pure: sandboxes that are not ready and own no container that is left; the newest of a pod that stays, stays. kubelet: evictSandboxes. */
export function planSandboxGc(
  facts: ContainerGcFacts,
  isLeft: (containerId: string) => boolean,
): readonly ContainerGcEntry<GcSandbox>[] {
  const owners = new Set(facts.containers.filter(({ id }) => isLeft(id)).map(({ sandboxId }) => sandboxId));
  const pods = Map.groupBy(facts.sandboxes, ({ podUid }) => podUid);
  const going: ContainerGcEntry<GcSandbox>[] = [];
  const staying: ContainerGcEntry<GcSandbox>[] = [];
  for (const [uid, sandboxes] of pods) {
    const gone = facts.isGone(uid);
    const ended = facts.evictTerminated && facts.isTerminated(uid);
    sandboxes.sort((a, b) => a.createdAt - b.createdAt || a.attempt - b.attempt || (a.id < b.id ? -1 : 1));
    for (const [index, thing] of sandboxes.entries()) {
      const keep = (rule: ContainerRule, reason: string): unknown =>
        staying.push({ thing, verdict: "keep", rule, reason });
      const remove = (rule: ContainerRule, reason: string): unknown =>
        going.push({ thing, verdict: "remove", rule, reason });
      if (thing.ready) keep("ready", "it is ready");
      else if (owners.has(thing.id)) keep("has-containers", "containers in it are left");
      else if (gone) remove("pod-gone", "its pod is gone");
      else if (ended) remove("pod-terminated", "its pod has ended, and the disk is under pressure");
      else if (index === sandboxes.length - 1) keep("newest", "the newest of its pod");
      else remove("older-sandbox", "a newer one of its pod is there");
    }
  }
  return [...going, ...staying];
}
