// SPDX-License-Identifier: Apache-2.0

import type { Clock } from "@holdfast/core/clock";
import { errorText, HoldfastError } from "@holdfast/core/errors";
import { linkSignal, withDeadline } from "@holdfast/core/lifecycle";
import type { LinkedSignal } from "@holdfast/core/lifecycle";
import type { Logger } from "@holdfast/core/log";

/** How a {@link PeriodicLoop} is made. */
export interface PeriodicLoopOptions {
  readonly clock: Clock;
  readonly name: string;
  readonly logger: Logger;
  /** From the end of one round to the next; a number, or what the round that ended says. */
  readonly periodMs: number | (() => number);
  /** One round. What it rejects with is logged once until a round succeeds. */
  readonly work: (signal: AbortSignal) => Promise<void>;
}

const STOP_LIMIT_MS = 5000;

/** Runs a piece of work at once and then again and again, never two at a time, until it is stopped. */
export class PeriodicLoop {
  readonly #options: PeriodicLoopOptions;
  #life: LinkedSignal | undefined;
  #running: Promise<void> | undefined;
  #problem: string | undefined;
  /** Cuts the pause short. */
  #wake: (() => void) | undefined;

  constructor(options: PeriodicLoopOptions) {
    this.#options = options;
  }

  /** What the last round failed with. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Does nothing while it runs. */
  start(): void {
    if (this.#running !== undefined) return;
    this.#life = linkSignal();
    this.#running = this.#run(this.#life.signal);
  }

  /** The next round begins at once, if it pauses now. */
  nudge(): void {
    this.#wake?.();
  }

  /** Aborts the round under way and waits for it, at most 5 s. Never rejects. */
  async stop(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    const { clock, logger, name } = this.#options;
    this.#life?.abort(new HoldfastError("GC_STOPPED", "cancelled", `${name} was stopped`));
    if (running === undefined) return;
    try {
      await withDeadline(clock, STOP_LIMIT_MS, `stopping ${name}`, running);
    } catch (error) {
      logger.warn("a round was left behind", { component: name, err: errorText(error) });
    }
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock, logger, name, periodMs, work } = this.#options;
    while (!signal.aborted) {
      try {
        await work(signal);
        this.#problem = undefined;
      } catch (error) {
        if (signal.aborted) return;
        const problem = errorText(error);
        if (this.#problem === undefined) logger.warn("a round failed", { component: name, err: problem });
        this.#problem = problem;
      }
      const pause = typeof periodMs === "number" ? periodMs : periodMs();
      using link = linkSignal(signal);
      this.#wake = () => link.abort();
      await clock.sleep(pause, { signal: link.signal }).catch(() => undefined);
      this.#wake = undefined;
    }
  }
}
