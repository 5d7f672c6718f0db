// SPDX-License-Identifier: Apache-2.0

/**
 * What the last applied lists said, by pod: the "old" that the next list is compared with. kubelet: podRecords.
 * Bounded by what the runtime lists. Holds small records, never the CRI's messages.
 */
import {
  CONTAINER_NAME_LABEL,
  POD_NAME_LABEL,
  POD_NAMESPACE_LABEL,
  POD_UID_LABEL,
} from "@holdfast/core/names";
import type { Container, ContainerState, PodSandbox, PodSandboxMetadata } from "@holdfast/cri";
import { CONTAINER_EXITED, CONTAINER_RUNNING, SANDBOX_READY } from "./cri-states.ts";

/** kubelet: plegContainerState; "non-existent" is absence. */
export type PlegState = "running" | "exited" | "unknown";

/** A container or sandbox as a list showed it. */
export interface ListedItem {
  readonly id: string;
  readonly kind: "container" | "sandbox";
  readonly podUid: string;
  /** The container's name; "" for a sandbox. */
  readonly name: string;
  /** The sandbox that a container is in; a sandbox's own id. */
  readonly sandboxId: string;
  readonly state: PlegState;
  readonly attempt: number;
  /** Milliseconds since the epoch, with fractions: only for order. */
  readonly createdAt: number;
}

/** A pod as a list showed it: containers first, then sandboxes. */
export interface ListedPod {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  readonly items: readonly ListedItem[];
  /** Whether a list by the label of its UID shows all of it: not so what crictl made. */
  readonly labelled: boolean;
}

/** A pod as it was when its last change was carried through. */
export interface PodRecord {
  readonly uid: string;
  name: string;
  namespace: string;
  /** kubelet: podRecord.old. */
  old: Map<string, ListedItem>;
  /** The newest list, which may be ahead of `old` while the pod is being looked at. */
  listed: readonly ListedItem[];
  /** Which list was applied last: an older one that comes in late is ignored. */
  order: number;
}

const NS_PER_MS = 1e6;

/** kubelet: convertState. Created counts as unknown. */
function containerState(state: ContainerState): PlegState {
  if (state === CONTAINER_RUNNING) return "running";
  return state === CONTAINER_EXITED ? "exited" : "unknown";
}

interface Growing extends ListedPod {
  readonly items: ListedItem[];
  labelled: boolean;
}

/**
 * Groups two lists by pod UID. Entries without metadata or UID are skipped; a container without a sandbox makes an entry too. A container without the
 * label of a UID has its sandbox's.
 * `known` gives the item of an earlier list, which is used again when its state is the same.
 */
export function groupByPod(
  sandboxes: readonly PodSandbox[],
  containers: readonly Container[],
  known: (id: string) => ListedItem | undefined = () => undefined,
): Map<string, ListedPod> {
  const pods = new Map<string, Growing>();
  const add = (item: ListedItem, name: string, namespace: string, labelled: boolean): void => {
    const uid = item.podUid;
    const pod = pods.get(uid);
    if (pod === undefined) pods.set(uid, { uid, name, namespace, items: [item], labelled });
    else {
      pod.items.push(item);
      pod.labelled &&= labelled;
    }
  };
  let sandboxOf: ReadonlyMap<string, PodSandboxMetadata | undefined> | undefined;
  const metadataOf = (sandboxId: string): PodSandboxMetadata | undefined => {
    sandboxOf ??= new Map(sandboxes.map(({ id, metadata }) => [id, metadata]));
    return sandboxOf.get(sandboxId);
  };
  for (const { id, metadata, labels, podSandboxId, state: criState, createdAt } of containers) {
    const label = labels[POD_UID_LABEL] || undefined;
    const sandbox = label === undefined ? metadataOf(podSandboxId) : undefined;
    const podUid = label ?? sandbox?.uid ?? "";
    if (metadata === undefined || podUid === "" || id === "") continue;
    const state = containerState(criState);
    const before = known(id);
    const item =
      before?.state === state && before.podUid === podUid
        ? before
        : {
            id,
            kind: "container" as const,
            podUid,
            name: labels[CONTAINER_NAME_LABEL] ?? metadata.name,
            sandboxId: podSandboxId,
            state,
            attempt: metadata.attempt,
            createdAt: Number(createdAt) / NS_PER_MS,
          };
    const { name = labels[POD_NAME_LABEL] ?? "", namespace = labels[POD_NAMESPACE_LABEL] ?? "" } =
      sandbox ?? {};
    add(item, name, namespace, label !== undefined);
  }
  for (const { id, metadata, labels, state: criState, createdAt } of sandboxes) {
    if (metadata === undefined || metadata.uid === "" || id === "") continue;
    const state = criState === SANDBOX_READY ? "running" : "exited";
    const before = known(id);
    const item =
      before?.state === state && before.podUid === metadata.uid
        ? before
        : {
            id,
            kind: "sandbox" as const,
            podUid: metadata.uid,
            name: "",
            sandboxId: id,
            state: state as PlegState,
            attempt: metadata.attempt,
            createdAt: Number(createdAt) / NS_PER_MS,
          };
    add(item, metadata.name, metadata.namespace, labels[POD_UID_LABEL] === metadata.uid);
  }
  return pods;
}

/**
 * The highest attempt first, then the newest, then by id. Of two containers of one name the later has the higher attempt, also when the wall clock was
 * set back between them, as the kubelet's order by creation time does not know.
 */
export function inOrder(items: readonly ListedItem[], kind: ListedItem["kind"]): ListedItem[] {
  return items
    .filter((item) => item.kind === kind)
    .sort(
      (a, b) =>
        b.attempt - a.attempt || b.createdAt - a.createdAt || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0),
    );
}

/** Whether nothing of its kind and name is newer among `items`, in the order of {@link inOrder}. Of a pod's sandboxes one is the last. */
export function isLastOfName(item: ListedItem, items: Iterable<ListedItem>): boolean {
  for (const other of items)
    if (other.kind === item.kind && other.name === item.name && other.id !== item.id && isNewer(other, item))
      return false;
  return true;
}

function isNewer(a: ListedItem, b: ListedItem): boolean {
  return a.attempt === b.attempt ? a.createdAt > b.createdAt : a.attempt > b.attempt;
}

/** All records, and whose an id is. */
export class PodRecords {
  readonly #pods = new Map<string, PodRecord>();
  readonly #items = new Map<string, ListedItem>();
  /** Pods that a look found gone, with that look's order: an older list must not bring them back. */
  readonly #gone = new Map<string, number>();
  #globalOrder = 0;

  get size(): number {
    return this.#pods.size;
  }
  get itemCount(): number {
    return this.#items.size;
  }
  uids(): IterableIterator<string> {
    return this.#pods.keys();
  }
  get(uid: string): PodRecord | undefined {
    return this.#pods.get(uid);
  }
  /** The container or sandbox with this id, as it was last seen. */
  item(id: string): ListedItem | undefined {
    return this.#items.get(id);
  }

  /** Whether a list is older than what is known of the pod. */
  isStale(uid: string, order: number): boolean {
    return order < (this.#pods.get(uid)?.order ?? Math.max(this.#gone.get(uid) ?? 0, this.#globalOrder));
  }

  /** Takes note of a list before it is carried through, so that events find their pod. */
  learn(pod: ListedPod, order: number): PodRecord {
    let record = this.#pods.get(pod.uid);
    if (record === undefined) {
      record = { uid: pod.uid, name: "", namespace: "", old: new Map(), listed: [], order };
      this.#pods.set(pod.uid, record);
      this.#gone.delete(pod.uid);
    }
    record.name = pod.name;
    record.namespace = pod.namespace;
    record.order = Math.max(record.order, order);
    this.#index(record, pod.items);
    return record;
  }

  /** The list has been carried through: it is the old one now. kubelet: podRecords.update. */
  advance(record: PodRecord, items: readonly ListedItem[]): void {
    record.old = new Map(items.map((item) => [item.id, item]));
    if (record.listed !== items) this.#index(record, items);
  }

  /** One item's state changed without a list. */
  enter(record: PodRecord, item: ListedItem): void {
    record.old.set(item.id, item);
  }

  /** The pod is in no list any more. */
  remove(uid: string, order: number): void {
    const record = this.#pods.get(uid);
    if (record === undefined) return;
    this.#index(record, []);
    this.#pods.delete(uid);
    this.#gone.set(uid, order);
  }

  /** A list of all pods has been applied: what is not in it is gone as of then. */
  setGlobalOrder(order: number): void {
    this.#globalOrder = Math.max(this.#globalOrder, order);
    for (const [uid, at] of this.#gone) if (at <= order) this.#gone.delete(uid);
  }

  #index(record: PodRecord, items: readonly ListedItem[]): void {
    const now = new Set<string>();
    for (const item of items) {
      now.add(item.id);
      this.#items.set(item.id, item);
    }
    for (const { id } of record.listed) if (!now.has(id)) this.#items.delete(id);
    record.listed = items;
  }
}
