// SPDX-License-Identifier: Apache-2.0

/**
 * Calls that may hang in the kernel: statfs and walks on a dead mount. Each holds a thread of Node's pool, of which there are four, until the mount comes back;
 * nothing can end it.
 *
 * Owns: what is under way. Invariants: at most `limit` threads are ever held; what has not answered in time is not asked again until it does; nobody waits longer
 * than the deadline. Lost on a crash: nothing.
 */
import type { Clock } from "@holdfast/core/clock";
import { HoldfastError } from "@holdfast/core/errors";
import { linkSignal } from "@holdfast/core/lifecycle";
import { Limiter } from "@holdfast/core/limiter";

/** How {@link ContainedCalls} is made. */
export interface ContainedCallsOptions {
  readonly clock: Clock;
  /** How long one call may take, its wait for a place included. Default 2 s. */
  readonly deadlineMs?: number;
  /** How many may be under way. Default 2, half of Node's threads. */
  readonly limit?: number;
}

const DEFAULT_DEADLINE_MS = 2000;
const DEFAULT_LIMIT = 2;

/** See the top of the file. */
export class ContainedCalls {
  readonly #clock: Clock;
  readonly #deadlineMs: number;
  readonly #limit: number;
  readonly #limiter: Limiter;
  /** Subject -> monotonic milliseconds of its beginning, of calls that passed their deadline. */
  readonly #hung = new Map<string, number>();

  constructor({ clock, deadlineMs, limit }: ContainedCallsOptions) {
    this.#clock = clock;
    this.#deadlineMs = deadlineMs ?? DEFAULT_DEADLINE_MS;
    this.#limit = limit ?? DEFAULT_LIMIT;
    this.#limiter = new Limiter({ clock, limit: this.#limit });
  }

  /** What has not answered, and for how long. */
  hung(): readonly { readonly subject: string; readonly forMs: number }[] {
    const now = this.#clock.monotonic();
    return [...this.#hung].map(([subject, since]) => ({ subject, forMs: now - since }));
  }

  /**
   * Runs `call` for `subject`. Rejects with `STATS_HUNG` when it does not answer in time, at once when it has not answered the last time or hung calls hold all
   * places; else as the call does. `call` gets a signal that aborts at the deadline.
   */
  async run<T>(subject: string, call: (signal: AbortSignal) => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted();
    const since = this.#hung.get(subject);
    if (since !== undefined) throw this.#hangs(subject, since);
    if (this.#hung.size >= this.#limit) throw this.#noPlace(subject);
    const startedAt = this.#clock.monotonic();
    using life = linkSignal(signal);
    let isUnderWay = false;
    return await new Promise<T>((resolve, reject) => {
      const timer = this.#clock.timer(this.#deadlineMs, () => {
        if (isUnderWay) this.#hung.set(subject, startedAt);
        const error = isUnderWay ? this.#hangs(subject, startedAt) : this.#noPlace(subject);
        reject(error);
        life.abort(error);
      });
      const onAbort = (): void => reject(life.signal.reason as Error);
      life.signal.addEventListener("abort", onAbort, { once: true });
      const work = this.#limiter.run(
        async () => {
          isUnderWay = true;
          try {
            return await call(life.signal);
          } finally {
            isUnderWay = false;
            this.#hung.delete(subject);
          }
        },
        { signal: life.signal },
      );
      void work.then(resolve, reject).finally(() => {
        timer.cancel();
        life.signal.removeEventListener("abort", onAbort);
      });
    });
  }

  #hangs(subject: string, since: number): HoldfastError {
    const seconds = Math.round((this.#clock.monotonic() - since) / 1000);
    return new HoldfastError("STATS_HUNG", "deadline", `${subject} has not answered for ${seconds} s`);
  }

  #noPlace(subject: string): HoldfastError {
    const names = [...this.#hung.keys()].join(", ") || "other calls";
    const hold = this.#hung.size === 1 ? "holds" : "hold";
    return new HoldfastError(
      "STATS_HUNG",
      "deadline",
      `${subject} is not asked: ${names} ${hold} all places`,
    );
  }
}
