// SPDX-License-Identifier: Apache-2.0

/**
 * Looks that events asked for, until one is done: only to measure how far the cache is behind the events.
 *
 * Owns: at most one entry per pod, the oldest event's. Bounded: the oldest entry leaves for a new one, unmeasured. Lost on a crash: figures.
 */

const CAPACITY = 1024;

interface Wanted {
  readonly eventAt: number;
  readonly askedAt: number;
}

/** See the top of the file. Times are monotonic milliseconds. */
export class WantedLooks {
  readonly #pods = new Map<string, Wanted>();

  get size(): number {
    return this.#pods.size;
  }

  /** A look that begins at `askedAt` or later serves an event of `eventAt`. The first event counts. */
  add(podUid: string, eventAt: number, askedAt: number): void {
    if (this.#pods.has(podUid)) return;
    const oldest = this.#pods.keys().next().value;
    if (this.#pods.size >= CAPACITY && oldest !== undefined) this.#pods.delete(oldest);
    this.#pods.set(podUid, { eventAt, askedAt });
  }

  /** A look that began at `startedAt` is in the cache. Returns when the event came that it serves, if it serves one. */
  served(podUid: string, startedAt: number): number | undefined {
    const wanted = this.#pods.get(podUid);
    if (wanted === undefined || startedAt < wanted.askedAt) return undefined;
    this.#pods.delete(podUid);
    return wanted.eventAt;
  }
}
