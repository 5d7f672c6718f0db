// SPDX-License-Identifier: Apache-2.0

/**
 * Gives memory back after a burst. V8 collects its old generation when it has grown by much; an agent that then idles would keep the garbage of
 * starting a hundred pods for ever. So: once no event came for a while after many had come, one full collection, which also forgets compiled code
 * that was not used lately; and another whenever the heap of a quiet agent has crept up. V8's own reducer is off in bin/holdfast: it would add a
 * second collection, of the same 60 ms of CPU, to each of ours.
 */
import { getHeapStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Clock, Timer } from "@holdfast/core/clock";
import type { Component, Health } from "@holdfast/core/lifecycle";

/** How a {@link MemoryReducer} is made. */
export interface MemoryReducerOptions {
  readonly clock: Clock;
  /** A number that grows with what the agent does: the bus's last sequence number. */
  readonly activity: () => number;
  /** Collects. Default: V8's own full collection. */
  readonly collect?: () => void;
  /** The heap's size in bytes, garbage included. Default: what V8 says. */
  readonly heapBytes?: () => number;
}

/** Quiet for this long means that the burst is over. */
const QUIET_MS = 5_000;
/** Fewer events than these leave no garbage worth a collection. */
const BURST_EVENTS = 30;
/** A quiet agent's heap may grow by this much between collections: objects that outlive the small young generation and die soon after. */
const CREEP_BYTES = 3 * 1024 * 1024;

/** Runs `collect` after bursts. */
export class MemoryReducer implements Component {
  readonly name = "memory-reducer";
  readonly #options: MemoryReducerOptions;
  #timer: Timer | undefined;
  #seen = 0;
  #collectedAt = 0;
  #heapAfter = 0;

  constructor(options: MemoryReducerOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    this.#seen = this.#options.activity();
    // The start itself is a burst: modules, first lists, first statuses.
    this.#collectedAt = this.#seen - BURST_EVENTS;
    this.#arm();
  }

  async stop(): Promise<void> {
    this.#timer?.cancel();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  health(): Health {
    return { failures: [] };
  }

  #arm(): void {
    this.#timer = this.#options.clock.timer(QUIET_MS, () => this.#look());
  }

  #look(): void {
    const now = this.#options.activity();
    const quiet = now - this.#seen < BURST_EVENTS / 10;
    this.#seen = now;
    if (
      quiet &&
      (now - this.#collectedAt >= BURST_EVENTS || this.#heapBytes() > this.#heapAfter + CREEP_BYTES)
    ) {
      (this.#options.collect ?? collectGarbage)();
      this.#collectedAt = now;
      this.#heapAfter = this.#heapBytes();
    }
    this.#arm();
  }

  #heapBytes(): number {
    return (this.#options.heapBytes ?? usedHeapBytes)();
  }
}

function usedHeapBytes(): number {
  return getHeapStatistics().used_heap_size;
}

let gc:
  | ((options: {
      readonly type: "major";
      readonly execution: "sync";
      readonly flavor: "last-resort";
    }) => void)
  | undefined;

/** V8's own `gc`, asked for at run time: as a flag of the command line it would cost 12 to 25 ms of start (TOOLCHAIN.md, 3b). */
function collectGarbage(): void {
  if (gc === undefined) {
    setFlagsFromString("--expose-gc");
    gc = runInNewContext("gc") as typeof gc;
  }
  gc?.({ type: "major", execution: "sync", flavor: "last-resort" });
}
