// SPDX-License-Identifier: Apache-2.0

import type { ListedItem } from "./pod-records.ts";

/** A lifecycle event as computed. `ContainerChanged` forces a closer look and is never published. kubelet: PodLifeCycleEventType. */
export type LifecycleEventType =
  | "ContainerStarted"
  | "ContainerDied"
  | "ContainerRemoved"
  | "ContainerChanged";

/** One computed event. */
export interface LifecycleEvent {
  readonly type: LifecycleEventType;
  /** The item as it is now, or as it was last when it is gone. */
  readonly item: ListedItem;
}

/** Whether two lists say the same. No garbage: this is what an idle pass consists of. */
export function sameItems(old: ReadonlyMap<string, ListedItem>, current: readonly ListedItem[]): boolean {
  if (old.size !== current.length) return false;
  for (const item of current) if (old.get(item.id)?.state !== item.state) return false;
  return true;
}

/**
 * What happened to a pod between two lists: containers first, then sandboxes, each id once.
 * kubelet: computeEvents and generateEvents in pkg/kubelet/pleg/generic.go.
 */
export function computeEvents(
  old: ReadonlyMap<string, ListedItem>,
  current: readonly ListedItem[],
): readonly LifecycleEvent[] {
  if (sameItems(old, current)) return [];
  const seen = new Map<string, ListedItem>();
  for (const item of current) if (!seen.has(item.id)) seen.set(item.id, item);
  const containers: LifecycleEvent[] = [];
  const sandboxes: LifecycleEvent[] = [];
  const into = (item: ListedItem): LifecycleEvent[] => (item.kind === "container" ? containers : sandboxes);
  for (const item of seen.values())
    for (const type of transition(old.get(item.id)?.state, item.state)) into(item).push({ type, item });
  for (const item of old.values()) {
    if (seen.has(item.id)) continue;
    for (const type of transition(item.state, undefined)) into(item).push({ type, item });
  }
  return [...containers, ...sandboxes];
}

/** The table. `undefined` is "not in the list". */
function transition(
  old: ListedItem["state"] | undefined,
  current: ListedItem["state"] | undefined,
): readonly LifecycleEventType[] {
  if (old === current) return [];
  switch (current) {
    case "running":
      return ["ContainerStarted"];
    case "exited":
      return ["ContainerDied"];
    case "unknown":
      return ["ContainerChanged"];
    case undefined:
      return old === "exited" ? ["ContainerRemoved"] : ["ContainerDied", "ContainerRemoved"];
    default:
      return current satisfies never;
  }
}
