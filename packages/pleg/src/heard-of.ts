// SPDX-License-Identifier: Apache-2.0

/**
 * What is known to be there although no list has shown it yet: made by us a moment ago, or there when an earlier run ended, as up or as the last of its
 * name. A list that lacks it may be stale or cut, and is not believed until the runtime, asked by id, has it no more: what is created beside it would be a
 * double, and what has ended for good would run again.
 *
 * Owns: these items, and the checkpoint. Invariants: what a list has shown is not heard of but known; only a list that began after an item was
 * heard of can lack it. Bounded: the oldest goes first. Lost on a crash: what was made and not heard of yet; that has a name that is still reserved.
 */
import type { PlegCheckpoint } from "./ports.ts";
import { isLastOfName } from "./pod-records.ts";
import type { ListedItem, PlegState } from "./pod-records.ts";

/** Something that the runtime has made for us. */
export interface MadeItem {
  readonly kind: "container" | "sandbox";
  readonly id: string;
  readonly podUid: string;
  /** The container's name; "" for a sandbox. */
  readonly name: string;
}

interface Heard {
  readonly item: ListedItem;
  /** The newest list that had begun. */
  readonly order: number;
}

/** More than a start of everything has under way at once. */
const MAX_HEARD = 4096;
const NOTHING: readonly ListedItem[] = [];

/** See the top of the file. */
export class HeardOf {
  readonly #checkpoint: PlegCheckpoint | undefined;
  /** Whose the pods are: after a change of that, others' are not missed. */
  readonly #owner: string;
  readonly #byPod = new Map<string, Map<string, Heard>>();
  /** By pod: what the checkpoint holds. */
  readonly #saved = new Map<string, string>();
  #size = 0;

  constructor(checkpoint: PlegCheckpoint | undefined, labelSelector: Readonly<Record<string, string>>) {
    this.#checkpoint = checkpoint;
    this.#owner = JSON.stringify(labelSelector);
  }

  get size(): number {
    return this.#size;
  }
  uids(): IterableIterator<string> {
    return this.#byPod.keys();
  }

  /** Pods of which something was up when it was heard of. */
  *uidsUp(): Generator<string> {
    for (const [uid, heard] of this.#byPod)
      if (heard.values().some(({ item }) => item.state !== "exited")) yield uid;
  }

  /** Whether it is one of the items that no list has shown yet. */
  has(id: string): boolean {
    return this.#byPod.values().some((heard) => heard.has(id));
  }

  /** Takes up what an earlier run left. */
  load(): void {
    for (const [uid, text] of this.#checkpoint?.entries("") ?? []) {
      this.#saved.set(uid, text);
      const items = readSaved(text, this.#owner);
      if (items === undefined) this.forget(uid);
      else
        for (const [kind, id, name, ended] of items)
          this.#add({ kind, id, podUid: uid, name }, 0, ended === undefined ? "running" : "exited");
    }
  }

  /** It was made just now; `order` is the newest list that had begun. */
  note(made: MadeItem, order: number, known: Iterable<ListedItem>): void {
    this.#add(made, order, "running");
    this.#save(made.podUid, [...known]);
  }

  /** We take it away: no list that lacks it is wrong. */
  leaving(uid: string, id: string): void {
    if (this.#byPod.get(uid)?.get(id)?.item.state === "exited") this.#remove(uid, id);
  }

  /** What a list with that order should have shown of the pod and did not. */
  missing(uid: string, listed: readonly ListedItem[], order: number): readonly ListedItem[] {
    const heard = this.#size === 0 ? undefined : this.#byPod.get(uid);
    if (heard === undefined) return NOTHING;
    return [...heard.values()]
      .filter((one) => one.order < order && !listed.some(({ id }) => id === one.item.id))
      .map(({ item }) => item);
  }

  /** The runtime has these no more. */
  drop(items: readonly ListedItem[]): void {
    for (const { podUid, id } of items) this.#remove(podUid, id);
  }

  /** A list's word on the pod has been carried through. */
  shown(uid: string, items: readonly ListedItem[]): void {
    if (this.#byPod.has(uid)) for (const { id } of items) this.#remove(uid, id);
    this.#save(uid, items);
  }

  /** The runtime has nothing of this pod. */
  forget(uid: string): void {
    this.#size -= this.#byPod.get(uid)?.size ?? 0;
    this.#byPod.delete(uid);
    if (this.#saved.delete(uid)) this.#checkpoint?.delete(uid);
  }

  #add({ kind, id, podUid, name }: MadeItem, order: number, state: PlegState): void {
    if (this.#size >= MAX_HEARD) this.#dropOldest();
    const item = {
      kind,
      id,
      podUid,
      name,
      sandboxId: kind === "sandbox" ? id : "",
      state,
      attempt: 0,
      createdAt: 0,
    };
    const heard = this.#byPod.get(podUid) ?? new Map<string, Heard>();
    this.#byPod.set(podUid, heard);
    if (!heard.has(id)) this.#size += 1;
    heard.set(id, { item, order });
  }

  #dropOldest(): void {
    for (const [uid, heard] of this.#byPod) {
      for (const id of heard.keys()) {
        this.#remove(uid, id);
        return;
      }
    }
  }

  #remove(uid: string, id: string): void {
    const heard = this.#byPod.get(uid);
    if (heard?.delete(id) !== true) return;
    this.#size -= 1;
    if (heard.size === 0) this.#byPod.delete(uid);
  }

  /** Written when it has changed: at a start and at an end. */
  #save(uid: string, known: readonly ListedItem[]): void {
    if (this.#checkpoint === undefined) return;
    const kept = new Map<string, Saved>();
    for (const item of known)
      if (item.state !== "exited" || isLastOfName(item, known)) kept.set(item.id, toSaved(item));
    for (const { item } of this.#byPod.get(uid)?.values() ?? []) kept.set(item.id, toSaved(item));
    if (kept.size === 0) {
      if (this.#saved.delete(uid)) this.#checkpoint.delete(uid);
      return;
    }
    const text = JSON.stringify({ owner: this.#owner, up: [...kept.values()] });
    if (this.#saved.get(uid) === text) return;
    this.#saved.set(uid, text);
    this.#checkpoint.set(uid, text);
  }
}

type Saved = readonly [kind: "container" | "sandbox", id: string, name: string, ended?: string];

const ENDED = "ended";

function toSaved({ kind, id, name, state }: ListedItem): Saved {
  return state === "exited" ? [kind, id, name, ENDED] : [kind, id, name];
}

/** Undefined for what is not ours any more, or damaged: then lists are believed, as without a checkpoint. */
function readSaved(text: string, owner: string): readonly Saved[] | undefined {
  try {
    const saved = JSON.parse(text) as { readonly owner?: unknown; readonly up?: unknown };
    if (saved.owner !== owner || !Array.isArray(saved.up)) return undefined;
    return saved.up.filter(isSaved);
  } catch {
    return undefined;
  }
}

function isSaved(value: unknown): value is Saved {
  return (
    Array.isArray(value) &&
    (value.length === 3 || (value.length === 4 && value[3] === ENDED)) &&
    value.every((part) => typeof part === "string") &&
    (value[0] === "container" || value[0] === "sandbox")
  );
}
