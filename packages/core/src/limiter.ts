// SPDX-License-Identifier: Apache-2.0

import type { Clock } from "./clock.ts";

/** How a {@link Limiter} is made. */
export interface LimiterOptions {
  readonly clock: Pick<Clock, "timer">;
  /** How many may be under way at once. */
  readonly limit: number;
  /** A task older than this no longer holds a place: one hung call must not starve the rest. Default: never. */
  readonly releaseAfterMs?: number;
}

interface Waiter {
  readonly priority: number;
  readonly grant: () => void;
}

/** Bounds how many tasks are under way; who waits is served by priority (smaller first), then in order of arrival. */
export class Limiter {
  readonly #options: LimiterOptions;
  /** In the order in which they are served. */
  readonly #waiting: Waiter[] = [];
  #held = 0;

  constructor(options: LimiterOptions) {
    this.#options = options;
  }

  get held(): number {
    return this.#held;
  }
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Runs `task` when a place is free. Rejects with the signal's reason when it gives up waiting. */
  async run<T>(
    task: () => Promise<T>,
    options: { readonly priority?: number; readonly signal?: AbortSignal } = {},
  ): Promise<T> {
    await this.#acquire(options.priority ?? 0, options.signal);
    let released = false;
    const release = (): void => {
      if (released) return;
      released = true;
      this.#held -= 1;
      this.#grantNext();
    };
    const after = this.#options.releaseAfterMs;
    const timer = after === undefined ? undefined : this.#options.clock.timer(after, release);
    try {
      return await task();
    } finally {
      timer?.cancel();
      release();
    }
  }

  #acquire(priority: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.reject(signal.reason as Error);
    if (this.#held < this.#options.limit) {
      this.#held += 1;
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        priority,
        grant: () => {
          signal?.removeEventListener("abort", onAbort);
          this.#held += 1;
          resolve();
        },
      };
      const onAbort = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
        reject(signal?.reason as Error);
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      // In its place at once, from the end: of thousands that wait nearly all have the same priority, and none is looked at again.
      let at = this.#waiting.length;
      while (at > 0 && (this.#waiting[at - 1]?.priority ?? priority) > priority) at--;
      this.#waiting.splice(at, 0, waiter);
    });
  }

  #grantNext(): void {
    if (this.#held < this.#options.limit) this.#waiting.shift()?.grant();
  }
}
