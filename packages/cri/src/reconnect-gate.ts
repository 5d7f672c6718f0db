// SPDX-License-Identifier: Apache-2.0
//
// grpc-js waits between attempts to connect that fail, but not after a connection that came about and was lost at once: then every call makes
// a new one. Here calls are refused for a while after a loss, longer with each in a row, until an answer comes. Pure but for its clock.
// Owns: how many losses came in a row. Lost on a crash: nothing.

import type { Clock } from "@holdfast/core/clock";
import { jitter } from "@holdfast/core/random";
import type { Random } from "@holdfast/core/random";

const FIRST_PAUSE_MS = 100;
const JITTER = 0.2;

/** See the top of the file. */
export class ReconnectGate {
  readonly #clock: Pick<Clock, "monotonic">;
  readonly #maxPauseMs: number;
  readonly #random: Random;
  #losses = 0;
  #until = Number.NEGATIVE_INFINITY;

  constructor(clock: Pick<Clock, "monotonic">, maxPauseMs: number, random: Random) {
    this.#clock = clock;
    this.#maxPauseMs = maxPauseMs;
    this.#random = random;
  }

  /** Milliseconds until calls may be made; 0 is now. */
  get closedForMs(): number {
    return Math.max(this.#until - this.#clock.monotonic(), 0);
  }

  /** A connection was lost. All calls on it report that: the first one counts. */
  lost(): void {
    if (this.closedForMs > 0) return;
    const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** Math.min(this.#losses, 16), this.#maxPauseMs);
    this.#losses += 1;
    this.#until = this.#clock.monotonic() + jitter(pauseMs, JITTER, this.#random);
  }

  /** The runtime answered: the next loss is a first one. */
  answered(): void {
    this.#losses = 0;
  }
}
