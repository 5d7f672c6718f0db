// SPDX-License-Identifier: Apache-2.0

/**
 * Exits that containerd's events told of and the CRI has not confirmed (DESIGN.md, principle 1).
 *
 * Owns: one fact per container id, also for ids that no list has shown yet: a container may die before we learn whose it is.
 * Invariants: while a fact is here, no list or status makes that container anything but exited; it leaves when the runtime says exited or
 * knows the container no more. Bounded; what no list shows leaves after a minute. Lost on a crash: the first relist finds the same.
 */
import type { ContainerRecord, RuntimePodStatus } from "@holdfast/core/runtime-status";
import type { ListedItem } from "./pod-records.ts";

/** One exit. */
export interface UnconfirmedExit {
  readonly containerId: string;
  readonly exitCode: number;
  /** Milliseconds since the epoch. */
  readonly finishedAt: number;
  readonly reason: "Completed" | "Error" | "OOMKilled";
  /** Monotonic: when the event came in. */
  readonly enteredAt: number;
  /** The `seq` of the ContainerDied that told of it; undefined before that. */
  diedSeq: number | undefined;
}

const CAPACITY = 1024;
const OOM_CAPACITY = 256;

/** See the top of the file. */
export class UnconfirmedExits {
  readonly #exits = new Map<string, UnconfirmedExit>();
  readonly #oomKilled = new Set<string>();

  get size(): number {
    return this.#exits.size;
  }
  get(containerId: string): UnconfirmedExit | undefined {
    return this.#exits.get(containerId);
  }
  values(): IterableIterator<UnconfirmedExit> {
    return this.#exits.values();
  }

  /** The kernel killed something in this container: its exit, if it comes, is called OOMKilled, as containerd will. */
  noteOom(containerId: string): void {
    this.#oomKilled.delete(containerId);
    this.#oomKilled.add(containerId);
    dropOldest(this.#oomKilled, OOM_CAPACITY);
  }

  /** Enters an exit. The first one counts. */
  enter(containerId: string, exitCode: number, finishedAt: number, enteredAt: number): UnconfirmedExit {
    const known = this.#exits.get(containerId);
    if (known !== undefined) return known;
    const failed = this.#oomKilled.delete(containerId) ? "OOMKilled" : "Error";
    const reason = exitCode === 0 ? "Completed" : failed;
    const exit: UnconfirmedExit = {
      containerId,
      exitCode,
      finishedAt,
      reason,
      enteredAt,
      diedSeq: undefined,
    };
    this.#exits.set(containerId, exit);
    dropOldest(this.#exits, CAPACITY);
    return exit;
  }

  /** The runtime agrees, or has forgotten the container. */
  confirm(containerId: string): UnconfirmedExit | undefined {
    const exit = this.#exits.get(containerId);
    this.#exits.delete(containerId);
    return exit;
  }

  /** Drops what came before `enteredBefore` and belongs to nothing that is listed. */
  expire(enteredBefore: number, isListed: (containerId: string) => boolean): void {
    for (const { containerId, enteredAt } of this.#exits.values())
      if (enteredAt < enteredBefore && !isListed(containerId)) this.#exits.delete(containerId);
  }

  /** The list as it would be if the runtime knew already. The same array when nothing differs. */
  overlayItems(items: readonly ListedItem[]): readonly ListedItem[] {
    const isLate = (item: ListedItem): boolean =>
      item.kind === "container" && item.state !== "exited" && this.#exits.has(item.id);
    if (this.#exits.size === 0 || !items.some(isLate)) return items;
    return items.map((item) => (isLate(item) ? { ...item, state: "exited" as const } : item));
  }

  /** The status as it would be if the runtime knew already. The same object when nothing differs. */
  overlayStatus(status: RuntimePodStatus): RuntimePodStatus {
    if (this.#exits.size === 0 || !status.containers.some(({ id }) => this.#exits.has(id))) return status;
    return { ...status, containers: status.containers.map((record) => this.#overlay(record)) };
  }

  #overlay(record: ContainerRecord): ContainerRecord {
    const exit = this.#exits.get(record.id);
    if (exit === undefined) return record;
    const { exitCode, finishedAt, reason } = exit;
    return { ...record, state: "exited", exitCode, finishedAt, reason, exitUnconfirmed: true };
  }
}

function dropOldest(collection: Map<string, unknown> | Set<string>, capacity: number): void {
  const oldest = collection.keys().next().value;
  if (collection.size > capacity && oldest !== undefined) collection.delete(oldest);
}
