// SPDX-License-Identifier: Apache-2.0

import type { ContainerGcEntry, ContainerGcFacts, ContainerRule, GcSandbox } from "./container-gc-facts.ts";

/** Pure: folders of logs whose pods are gone, and of which nothing is left on the runtime. kubelet: evictPodLogsDirectories. */
export function planLogFolders(
  facts: ContainerGcFacts,
  isLeft: (containerId: string) => boolean,
  sandboxes: readonly ContainerGcEntry<GcSandbox>[],
): readonly ContainerGcEntry<string>[] {
  const alive = new Set([
    ...facts.containers.filter(({ id }) => isLeft(id)).map(({ podUid }) => podUid),
    ...sandboxes.filter(({ verdict }) => verdict === "keep").map(({ thing }) => thing.podUid),
  ]);
  const judge = (uid: string): readonly [ContainerRule, string] => {
    if (!facts.allSourcesReady) return ["sources-not-ready", "not every source has listed its pods yet"];
    if (!facts.isOurs(uid)) return ["not-ours", "nothing proves that it is of a pod of this agent"];
    if (!facts.isGone(uid)) return ["pod-known", "its pod is wanted"];
    return alive.has(uid)
      ? ["has-containers", "containers of its pod are left"]
      : ["pod-gone", "its pod is gone"];
  };
  const entries = facts.logFolders.map((thing): ContainerGcEntry<string> => {
    const [rule, reason] = judge(podUidOfLogFolder(thing));
    return { thing, verdict: rule === "pod-gone" ? "remove" : "keep", rule, reason };
  });
  return [...entries].sort((a, b) => Number(a.verdict === "keep") - Number(b.verdict === "keep"));
}

/** The text after the last "_". kubelet: parsePodUIDFromLogsDirectory. */
export function podUidOfLogFolder(name: string): string {
  return name.slice(name.lastIndexOf("_") + 1);
}
