// SPDX-License-Identifier: Apache-2.0

import type { Clock, Timer } from "@holdfast/core/clock";

/**
 * When which pod is due, on one timer: an idle agent wakes for the earliest and for nothing else. At most one entry per pod.
 * kubelet: util/queue.WorkQueue, which is asked every second.
 */
export class WorkQueue {
  readonly #clock: Clock;
  readonly #onDue: (uid: string) => void;
  readonly #due = new Map<string, number>();
  #timer: Timer | undefined;
  #armedFor = Number.POSITIVE_INFINITY;

  /** `onDue` must not throw. */
  constructor(clock: Clock, onDue: (uid: string) => void) {
    this.#clock = clock;
    this.#onDue = onDue;
  }

  /** A later call for the same pod replaces the earlier one. */
  enqueue(uid: string, delayMs: number): void {
    const at = this.#clock.monotonic() + delayMs;
    this.#due.set(uid, at);
    if (at < this.#armedFor) this.#arm(at);
  }

  remove(uid: string): void {
    this.#due.delete(uid);
  }

  /** Milliseconds until the pod is due; undefined when it is not queued. */
  dueIn(uid: string): number | undefined {
    const at = this.#due.get(uid);
    return at === undefined ? undefined : Math.max(at - this.#clock.monotonic(), 0);
  }

  /** Forgets everything; no timer stays. */
  clear(): void {
    this.#due.clear();
    this.#timer?.cancel();
    this.#armedFor = Number.POSITIVE_INFINITY;
  }

  #arm(at: number): void {
    this.#timer?.cancel();
    this.#armedFor = at;
    this.#timer = this.#clock.timer(at - this.#clock.monotonic(), () => this.#fire());
  }

  #fire(): void {
    // A real timer may fire a fraction of a millisecond early.
    const now = Math.max(this.#clock.monotonic(), this.#armedFor);
    this.#armedFor = Number.POSITIVE_INFINITY;
    const due: string[] = [];
    let next = Number.POSITIVE_INFINITY;
    for (const [uid, at] of this.#due) {
      if (at <= now) due.push(uid);
      else next = Math.min(next, at);
    }
    for (const uid of due) this.#due.delete(uid);
    if (next < Number.POSITIVE_INFINITY) this.#arm(next);
    for (const uid of due) this.#onDue(uid);
  }
}
