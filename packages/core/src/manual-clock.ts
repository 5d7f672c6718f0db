// SPDX-License-Identifier: Apache-2.0

import { sleepOn } from "./clock.ts";
import type { Clock, Timer } from "./clock.ts";

interface Armed {
  readonly due: number;
  readonly order: number;
  readonly onFire: () => void;
}

/** How many turns of the event loop are granted to code woken by one timer before the next timer fires. */
const TURNS_PER_TIMER = 2;

/**
 * Virtual time for tests and simulations: it moves only when told to.
 *
 * Timers fire in order of due time, then of arming. Between two of them the event loop turns, so that whatever the first one woke
 * can arm its own timers in time.
 */
export class ManualClock implements Clock {
  #wall: number;
  #monotonic = 0;
  #order = 0;
  readonly #timers = new Set<Armed>();

  constructor(wallMs: number = Date.UTC(2026, 0, 1)) {
    this.#wall = wallMs;
  }

  now(): number {
    return this.#wall;
  }

  monotonic(): number {
    return this.#monotonic;
  }

  timer(ms: number, onFire: () => void): Timer {
    const armed: Armed = { due: this.#monotonic + Math.max(ms, 0), order: this.#order++, onFire };
    this.#timers.add(armed);
    return { cancel: () => void this.#timers.delete(armed) };
  }

  sleep(ms: number, options?: { readonly signal?: AbortSignal | undefined }): Promise<void> {
    return sleepOn(this, ms, options?.signal);
  }

  /** How many timers are armed: a test's proof that nothing was left behind. */
  get waiting(): number {
    return this.#timers.size;
  }

  /** Milliseconds until the next timer, or undefined when none is armed. */
  get nextIn(): number | undefined {
    const next = this.#next();
    return next === undefined ? undefined : Math.max(next.due - this.#monotonic, 0);
  }

  /** Moves both clocks on by `ms`, firing what falls due on the way. */
  async advance(ms: number): Promise<void> {
    const end = this.#monotonic + ms;
    await this.settle();
    for (;;) {
      const next = this.#next();
      if (next === undefined || next.due > end) break;
      this.#moveTo(Math.max(next.due, this.#monotonic));
      this.#timers.delete(next);
      next.onFire();
      await this.settle();
    }
    this.#moveTo(end);
    await this.settle();
  }

  /** Steps the wall clock only, as an operator or NTP would. */
  stepWall(ms: number): void {
    this.#wall += ms;
  }

  /** Lets the event loop turn without moving time. */
  async settle(turns: number = TURNS_PER_TIMER): Promise<void> {
    for (let turn = 0; turn < turns; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
  }

  #next(): Armed | undefined {
    let next: Armed | undefined;
    for (const armed of this.#timers) {
      if (next === undefined || armed.due < next.due || (armed.due === next.due && armed.order < next.order))
        next = armed;
    }
    return next;
  }

  #moveTo(monotonic: number): void {
    this.#wall += monotonic - this.#monotonic;
    this.#monotonic = monotonic;
  }
}
