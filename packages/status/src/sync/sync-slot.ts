// SPDX-License-Identifier: Apache-2.0

import type { Timer } from "@holdfast/core/clock";
import type { StatusUpdate } from "./ports.ts";
import type { WrittenMark } from "./write-queue.ts";

/**
 * What is known of one pod's way to the sink.
 *
 * ```
 * idle ──changed──> queued ──its turn──> writing ──ok──> idle, or queued when it changed meanwhile
 *   ^                  ^                    │
 *   └── parked         └──── resting <──────┘ failed
 * ```
 */
export interface SyncSlot {
  readonly uid: string;
  update: StatusUpdate;
  /** Grows with each change. */
  wanted: number;
  /** Of the last change that the sink has. */
  written: number;
  /** What the sink has. */
  mark: WrittenMark | undefined;
  /** Monotonic milliseconds of the oldest change that the sink has not. */
  since: number | undefined;
  state: "idle" | "queued" | "writing" | "resting" | "parked";
  /** While resting. */
  timer: Timer | undefined;
  /** In a row. */
  failures: number;
  /** How often the sink had come back when it failed last. */
  failedAfter: number;
  /** Others got through while it failed: its failures say nothing of the sink, until it gets through itself. */
  alone: boolean;
  /** The sink does not want it as it is: a change is worth a new try at once. */
  refused: boolean;
}

/** A pod that is new to the sync. */
export function newSlot(update: StatusUpdate): SyncSlot {
  return {
    uid: update.uid,
    update,
    wanted: 0,
    written: 0,
    mark: undefined,
    since: undefined,
    state: "idle",
    timer: undefined,
    failures: 0,
    failedAfter: 0,
    alone: false,
    refused: false,
  };
}

/** Whether the sink has the newest of it. */
export function isWritten(slot: SyncSlot): boolean {
  return slot.written === slot.wanted;
}
