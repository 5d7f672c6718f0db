// SPDX-License-Identifier: Apache-2.0

/**
 * All waits of all probes on one timer of the clock. Due times are rounded up to a grain, so that probes that fall due together wake the process
 * once; nothing is allocated to arm or disarm.
 *
 * Owns: the heap and the one timer. Invariant: `entry.heapIndex` is the entry's place, -1 when it is not armed. Lost on a crash: all of it.
 */
import type { Clock, Timer } from "@holdfast/core/clock";

/** Something that waits. Its owner keeps it for ever and arms it again and again. */
export interface TimerEntry {
  /** Monotonic milliseconds; set by the heap. */
  dueAt: number;
  /** Set by the heap; begins as -1. */
  heapIndex: number;
  /** `lateMs`: how long after `dueAt` this is. */
  onDue(lateMs: number): void;
}

/** A machine's timer may come this much early. */
const EARLY_MS = 0.9;
/** A timer that comes this much late means that the event loop stood still. */
const STALL_MS = 20;

/** All divide a second: a period of whole seconds is then as long as it says, each time. */
const GRAINS_MS = [500, 250, 200, 125, 100, 50, 40, 25, 20, 10, 8, 5, 4, 2, 1] as const;

/** The largest grain of these that is no longer than `ms`; 0 when there is none. */
export function grainBelow(ms: number): number {
  // Rates are sums of fractions: a hair's breadth does not count.
  return GRAINS_MS.find((grain) => grain <= ms * 1.001) ?? 0;
}

/** See the top of the file. */
export class TimerHeap {
  readonly #clock: Pick<Clock, "monotonic" | "timer">;
  readonly #heap: TimerEntry[] = [];
  #timer: Timer | undefined;
  #timerDue = Number.POSITIVE_INFINITY;
  #stalledMs = 0;
  #firing = false;

  constructor(clock: Pick<Clock, "monotonic" | "timer">) {
    this.#clock = clock;
  }

  /** How many wait. */
  get size(): number {
    return this.#heap.length;
  }

  /** For how long, all in all, the event loop was seen to stand still. Only differences mean something. */
  get stalledMs(): number {
    return this.#stalledMs;
  }

  /** Arms, or arms anew. Due at `dueAt`, rounded up to a multiple of `grainMs`. */
  arm(entry: TimerEntry, dueAt: number, grainMs: number): void {
    const due = grainMs > 1 ? Math.ceil(dueAt / grainMs) * grainMs : dueAt;
    if (entry.heapIndex === -1) {
      entry.dueAt = due;
      entry.heapIndex = this.#heap.length;
      this.#heap.push(entry);
      this.#up(entry);
    } else {
      entry.dueAt = due;
      this.#up(entry);
      this.#down(entry);
    }
    if (!this.#firing) this.#setTimer();
  }

  /** Does nothing when it is not armed. */
  disarm(entry: TimerEntry): void {
    const at = entry.heapIndex;
    if (at === -1) return;
    entry.heapIndex = -1;
    const last = this.#heap.pop();
    if (last === undefined || last === entry) return;
    this.#heap[at] = last;
    last.heapIndex = at;
    this.#up(last);
    this.#down(last);
  }

  /** Disarms everything. */
  clear(): void {
    for (const entry of this.#heap) entry.heapIndex = -1;
    this.#heap.length = 0;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#timerDue = Number.POSITIVE_INFINITY;
  }

  #setTimer(): void {
    const first = this.#heap[0];
    // A timer that comes too early for what is left sets itself again; one that would come too late is replaced.
    if (first === undefined || first.dueAt >= this.#timerDue) return;
    this.#timer?.cancel();
    this.#timerDue = first.dueAt;
    this.#timer = this.#clock.timer(Math.max(first.dueAt - this.#clock.monotonic(), 0), this.#onTimer);
  }

  readonly #onTimer = (): void => {
    const now = this.#clock.monotonic();
    const lateMs = now - this.#timerDue;
    if (lateMs > STALL_MS) this.#stalledMs += lateMs;
    this.#timer = undefined;
    this.#timerDue = Number.POSITIVE_INFINITY;
    this.#firing = true;
    try {
      for (
        let first = this.#heap[0];
        first !== undefined && first.dueAt <= now + EARLY_MS;
        first = this.#heap[0]
      ) {
        this.disarm(first);
        first.onDue(Math.max(now - first.dueAt, 0));
      }
    } finally {
      this.#firing = false;
      this.#setTimer();
    }
  };

  #up(entry: TimerEntry): void {
    let at = entry.heapIndex;
    while (at > 0) {
      const parent = this.#heap[(at - 1) >> 1];
      if (parent === undefined || parent.dueAt <= entry.dueAt) break;
      this.#put(parent, at);
      at = (at - 1) >> 1;
    }
    this.#put(entry, at);
  }

  #down(entry: TimerEntry): void {
    let at = entry.heapIndex;
    for (;;) {
      const left = this.#heap[2 * at + 1];
      const right = this.#heap[2 * at + 2];
      const child = right !== undefined && left !== undefined && right.dueAt < left.dueAt ? right : left;
      if (child === undefined || child.dueAt >= entry.dueAt) break;
      const next = child.heapIndex;
      this.#put(child, at);
      at = next;
    }
    this.#put(entry, at);
  }

  #put(entry: TimerEntry, at: number): void {
    this.#heap[at] = entry;
    entry.heapIndex = at;
  }
}
