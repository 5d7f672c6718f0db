// SPDX-License-Identifier: Apache-2.0

/**
 * A checkpoint that goes on when the disk does not. While the store fails with a retryable error, the newest values wait in memory and are
 * read from there; a timer tries again and writes all of them in one transaction. The same way takes values that need not be written at once.
 *
 * Invariants: `get` and `entries` show what was last set; nothing but a programming error is thrown; at most `capacity` values wait, the oldest
 * goes first and is counted. Lost on a crash: what waits.
 */
import { Backoff } from "@holdfast/core/backoff";
import type { Clock, Timer } from "@holdfast/core/clock";
import { errorText, isRetryable } from "@holdfast/core/errors";
import type { Health } from "@holdfast/core/lifecycle";
import { silentLogger } from "@holdfast/core/log";
import type { Logger } from "@holdfast/core/log";
import type { Checkpoint, Store } from "./store.ts";

/** How a {@link ResilientCheckpoint} is made. */
export interface ResilientCheckpointOptions {
  readonly store: Store;
  readonly namespace: string;
  readonly clock: Pick<Clock, "monotonic" | "timer">;
  readonly logger?: Logger;
  /** How many values may wait in memory. Default 4096. */
  readonly capacity?: number;
  /** First and longest pause between two tries, in milliseconds. Defaults 1000 and 60000. */
  readonly retryMs?: number;
  readonly maxRetryMs?: number;
  /**
   * What is set within so many milliseconds is written together, by a timer: not before whoever sets it can go on, and many values in one
   * transaction. kill -9 loses that much. Default 0: each value is written at once.
   */
  readonly togetherMs?: number;
}

/** A {@link Checkpoint} that does not fail. Dispose it before the store: that is the last try. */
export interface ResilientCheckpoint extends Checkpoint, Disposable {
  health(): Health;
  /** Tries to write what waits. Returns whether nothing waits any more. */
  flush(): boolean;
  /** How many values wait in memory, and how many were dropped since the start. */
  readonly waiting: number;
  readonly dropped: number;
}

/** Wraps one namespace of `store`. kubelet: none; its checkpoints fail the call. */
export function resilientCheckpoint(options: ResilientCheckpointOptions): ResilientCheckpoint {
  return new MemoryFallback(options);
}

const BACKOFF_KEY = "flush";

class MemoryFallback implements ResilientCheckpoint {
  readonly #options: ResilientCheckpointOptions;
  readonly #logger: Logger;
  readonly #backoff: Backoff;
  /** Key to newest value, `undefined` for a deletion; oldest first. */
  readonly #waiting = new Map<string, string | undefined>();
  #timer: Timer | undefined;
  #problem: string | undefined;
  #dropped = 0;
  #disposed = false;

  constructor(options: ResilientCheckpointOptions) {
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
    const maxMs = options.maxRetryMs ?? 60_000;
    this.#backoff = new Backoff({
      clock: options.clock,
      initialMs: options.retryMs ?? 1000,
      maxMs,
      forgetAfterMs: maxMs * 2,
    });
  }

  get waiting(): number {
    return this.#waiting.size;
  }
  get dropped(): number {
    return this.#dropped;
  }

  get(key: string): string | undefined {
    if (this.#waiting.has(key)) return this.#waiting.get(key);
    return this.#read(() => this.#options.store.get(this.#options.namespace, key), undefined);
  }

  set(key: string, value: string): void {
    this.#write(key, value);
  }

  delete(key: string): void {
    this.#write(key, undefined);
  }

  entries(prefix: string): readonly (readonly [string, string])[] {
    const { store, namespace } = this.#options;
    const stored = this.#read(() => store.entries(namespace, prefix), []);
    if (this.#waiting.size === 0) return stored;
    const merged = new Map(stored);
    for (const [key, value] of this.#waiting) {
      if (!key.startsWith(prefix)) continue;
      if (value === undefined) merged.delete(key);
      else merged.set(key, value);
    }
    return [...merged].sort(([a], [b]) => (a < b ? -1 : 1));
  }

  health(): Health {
    if (this.#problem === undefined) return { failures: [] };
    const dropped = this.#dropped === 0 ? "" : `, ${this.#dropped} dropped`;
    return {
      failures: [
        `${this.#options.namespace}: ${this.#waiting.size} values wait in memory${dropped}: ${this.#problem ?? ""}`,
      ],
    };
  }

  flush(): boolean {
    if (this.#waiting.size === 0) return true;
    const { store, namespace } = this.#options;
    try {
      store.transaction(() => {
        for (const [key, value] of this.#waiting) this.#put(key, value);
      });
    } catch (error) {
      if (isRetryable(error)) this.#failed(error);
      if (isRetryable(error) || !this.#writeSingly()) return false;
    }
    if (this.#problem !== undefined)
      this.#logger.info("checkpoint is on disk again", { namespace, values: this.#waiting.size });
    this.#waiting.clear();
    this.#problem = undefined;
    this.#backoff.reset(BACKOFF_KEY);
    this.#timer?.cancel();
    this.#timer = undefined;
    return true;
  }

  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.flush();
    this.#disposed = true;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #write(key: string, value: string | undefined): void {
    const { clock, namespace, togetherMs = 0 } = this.#options;
    if (togetherMs > 0 && !this.#disposed) {
      this.#keep(key, value);
      this.#timer ??= clock.timer(togetherMs, () => this.#writeTogether());
      return;
    }
    // Once something waits, everything does until it is written: one try per pause, and values keep their order.
    if (this.#waiting.size === 0) {
      try {
        this.#put(key, value);
        this.#problem = undefined;
        return;
      } catch (error) {
        if (!isRetryable(error)) throw error;
        this.#logger.warn("checkpoint cannot be written and waits in memory", { namespace, err: error });
        this.#keep(key, value);
        this.#failed(error);
        return;
      }
    }
    this.#keep(key, value);
  }

  #writeTogether(): void {
    this.#timer = undefined;
    if (!this.flush())
      this.#logger.warn("checkpoint cannot be written and waits in memory", {
        namespace: this.#options.namespace,
        problem: this.#problem,
      });
  }

  /** One of them can never be written: the others are. Whether nothing waits any more. */
  #writeSingly(): boolean {
    const { namespace } = this.#options;
    for (const [key, value] of this.#waiting) {
      try {
        this.#put(key, value);
      } catch (err) {
        if (isRetryable(err)) {
          this.#failed(err);
          return false;
        }
        this.#dropped += 1;
        this.#logger.error("a value cannot be kept and is dropped", { namespace, key, err });
      }
      this.#waiting.delete(key);
    }
    return true;
  }

  #put(key: string, value: string | undefined): void {
    const { store, namespace } = this.#options;
    if (value === undefined) store.delete(namespace, key);
    else store.set(namespace, key, value);
  }

  #keep(key: string, value: string | undefined): void {
    this.#waiting.delete(key);
    this.#waiting.set(key, value);
    const oldest = this.#waiting.keys().next().value;
    if (this.#waiting.size > (this.#options.capacity ?? 4096) && oldest !== undefined) {
      this.#waiting.delete(oldest);
      this.#dropped += 1;
    }
  }

  #failed(error: unknown): void {
    this.#problem = errorText(error);
    if (this.#disposed) return;
    this.#timer?.cancel();
    this.#timer = this.#options.clock.timer(this.#backoff.next(BACKOFF_KEY), () => void this.flush());
  }

  /** An unreadable value is an absent one: nobody may stop because a verdict is lost. */
  #read<T>(read: () => T, absent: T): T {
    try {
      const value = read();
      if (this.#waiting.size === 0) this.#problem = undefined;
      return value;
    } catch (error) {
      if (!isRetryable(error)) throw error;
      this.#problem = errorText(error);
      return absent;
    }
  }
}
