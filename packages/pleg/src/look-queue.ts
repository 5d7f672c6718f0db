// SPDX-License-Identifier: Apache-2.0

/**
 * Which single pods are to be looked at. kubelet: the podRelist channel of the on-demand PLEG.
 *
 * Owns: the pods that wait and those that are being looked at. Invariants: a pod waits once however many ask, and is looked at by one
 * look at a time; a request is served by a look that begins after it; what does not fit becomes one relist. Lost on a crash: hints only.
 */
import type { Clock, Timer } from "@holdfast/core/clock";

/** What the queue does its work with. */
export interface LookQueueOptions {
  readonly clock: Clock;
  readonly capacity: number;
  readonly parallel: number;
  /** A look that takes longer no longer counts as one of the parallel ones. */
  readonly stuckAfterMs: number;
  /** From how many waiting pods on one pass over all of them is cheaper. */
  readonly stormSize: () => number;
  /** The number of the newest listing that has begun, of any kind. */
  readonly newestListing: () => number;
  /** The number of the last list of all pods that was had. */
  readonly lastRelist: () => number;
  /** Looks at one pod. Must not reject. */
  readonly look: (podUid: string) => Promise<void>;
  /** Asks for a pass over all pods. */
  readonly relist: (why: "full" | "storm") => void;
}

/** See the top of the file. */
export class LookQueue {
  readonly #options: LookQueueOptions;
  /** By pod: the newest listing that had begun when it was last asked for. */
  readonly #waiting = new Map<string, number>();
  /** By pod: when its look began, monotonic. */
  readonly #looking = new Map<string, number>();
  #places = 0;
  #draining = false;
  #open = false;

  constructor(options: LookQueueOptions) {
    this.#options = options;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** Begins to serve. What was asked for before waits until now. */
  open(): void {
    this.#open = true;
    this.#drainSoon();
  }

  close(): void {
    this.#open = false;
    this.#waiting.clear();
  }

  /** Asks for a look that begins from now on. */
  request(podUid: string): void {
    const { capacity, newestListing, relist } = this.#options;
    if (!this.#waiting.has(podUid) && this.#waiting.size >= capacity) {
      relist("full");
      return;
    }
    this.#waiting.set(podUid, newestListing());
    this.#drainSoon();
  }

  /** Asks for a look that begins after `minTime`, monotonic: the one under way will do if it did. */
  requestSince(podUid: string, minTime: number): void {
    const begunAt = this.#looking.get(podUid);
    if (begunAt === undefined || begunAt < minTime) this.request(podUid);
  }

  /** All that arrives on one turn is seen together: that is what makes a storm visible. */
  #drainSoon(): void {
    if (this.#draining || !this.#open || this.#waiting.size === 0) return;
    this.#draining = true;
    queueMicrotask(() => {
      this.#draining = false;
      this.#drain();
    });
  }

  #drain(): void {
    const { lastRelist, parallel, relist, stormSize } = this.#options;
    if (!this.#open) return;
    // A request that is older than the last pass over all pods has been served by it.
    for (const [podUid, at] of this.#waiting) if (at < lastRelist()) this.#waiting.delete(podUid);
    if (this.#waiting.size >= stormSize()) {
      relist("storm");
      return;
    }
    for (const podUid of this.#waiting.keys()) {
      if (this.#places >= parallel) return;
      if (this.#looking.has(podUid)) continue;
      this.#waiting.delete(podUid);
      void this.#look(podUid);
    }
  }

  /** A relist has ended well: what it served leaves, what remains goes on. */
  relisted(): void {
    this.#drainSoon();
  }

  async #look(podUid: string): Promise<void> {
    const { clock, look, stuckAfterMs } = this.#options;
    let holds = true;
    const leave = (): void => {
      if (!holds) return;
      holds = false;
      this.#places -= 1;
      this.#drainSoon();
    };
    this.#looking.set(podUid, clock.monotonic());
    this.#places += 1;
    const timer: Timer = clock.timer(stuckAfterMs, leave);
    try {
      await look(podUid);
    } finally {
      timer.cancel();
      this.#looking.delete(podUid);
      leave();
      this.#drainSoon();
    }
  }
}
