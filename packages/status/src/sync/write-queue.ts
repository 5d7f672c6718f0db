// SPDX-License-Identifier: Apache-2.0

/** Whose turn it is: urgent pods before others, each kind in order of arrival, and now and then one of the others all the same. */
import { findCondition } from "../api-types.ts";
import { isTerminalPhase } from "../compute-pod-phase.ts";
import type { StatusUpdate } from "./ports.ts";

/** What the sink has of a pod, as far as urgency goes. */
export interface WrittenMark {
  readonly ready: boolean;
  readonly ended: boolean;
}

/** What of `update` is urgent: whether it may have traffic, and whether it has ended. */
export function markOf({ status, finished }: StatusUpdate): WrittenMark {
  return {
    ready: findCondition(status.conditions, "Ready")?.status === "True",
    ended: finished || isTerminalPhase(status.phase),
  };
}

/** Becoming ready, ceasing to be, and ending go first: traffic and controllers wait for these. The rest is for people. */
export function isUrgent(update: StatusUpdate, written: WrittenMark | undefined): boolean {
  const { ready, ended } = markOf(update);
  return ready !== (written?.ready ?? false) || ended !== (written?.ended ?? false);
}

/** How many urgent ones in a row go before one that is not. */
const URGENT_IN_A_ROW = 7;

/** See the first line. Keys are in it once. */
export class WriteQueue {
  readonly #urgent = new Set<string>();
  readonly #others = new Set<string>();
  #inARow = 0;

  get size(): number {
    return this.#urgent.size + this.#others.size;
  }

  /** Adds `uid` at the end, or moves it to the urgent ones. One that is urgent stays where it is. */
  add(uid: string, urgent: boolean): void {
    if (this.#urgent.has(uid)) return;
    if (urgent) {
      this.#others.delete(uid);
      this.#urgent.add(uid);
    } else this.#others.add(uid);
  }

  delete(uid: string): void {
    this.#urgent.delete(uid);
    this.#others.delete(uid);
  }

  /** The next one, which leaves the queue. */
  take(): string | undefined {
    const yields = this.#inARow >= URGENT_IN_A_ROW && this.#others.size > 0;
    const urgent = this.#urgent.size > 0 && !yields;
    const from = urgent ? this.#urgent : this.#others;
    const uid = from.values().next().value;
    if (uid === undefined) return undefined;
    from.delete(uid);
    this.#inARow = urgent ? this.#inARow + 1 : 0;
    return uid;
  }
}
