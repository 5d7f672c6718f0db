// SPDX-License-Identifier: Apache-2.0

import type { Clock } from "./clock.ts";

/** How a {@link Backoff} grows. Milliseconds. */
export interface BackoffOptions {
  readonly clock: Pick<Clock, "monotonic">;
  readonly initialMs: number;
  readonly maxMs: number;
  /** An entry untouched for longer than this is forgotten. kubelet: 2 x max for images, a fixed 600 s for containers. */
  readonly forgetAfterMs: number;
  /** At most this many entries; the oldest goes first. Default 4096. */
  readonly capacity?: number;
}

/** One key's delay, as it is kept over an agent's restart. */
export interface BackoffEntry {
  readonly delayMs: number;
  readonly updatedAt: number;
}

/**
 * Delays that double by key. Pure of timers: it only answers questions about now.
 *
 * kubelet: flowcontrol.Backoff. Memory only; {@link Backoff.entries} and {@link Backoff.restore} carry it over a restart.
 */
export class Backoff {
  readonly #options: BackoffOptions;
  readonly #entries = new Map<string, BackoffEntry>();

  constructor(options: BackoffOptions) {
    this.#options = options;
  }

  /** The current delay of `key`; 0 when it has none. */
  delayMs(key: string): number {
    return this.#fresh(key)?.delayMs ?? 0;
  }

  /** Creates the entry (initial delay) or doubles it. `eventAt` is when what is punished happened (monotonic). */
  next(key: string, eventAt: number = this.#options.clock.monotonic()): number {
    const entry = this.#entries.get(key);
    const expired = entry === undefined || eventAt - entry.updatedAt > this.#options.forgetAfterMs;
    const delayMs = expired
      ? Math.min(this.#options.initialMs, this.#options.maxMs)
      : Math.min(entry.delayMs * 2, this.#options.maxMs);
    this.#put(key, { delayMs, updatedAt: this.#options.clock.monotonic() });
    return delayMs;
  }

  /** Milliseconds that `key` has still to wait, counted from `eventAt` (monotonic); 0 when it may go. */
  remainingMs(key: string, eventAt: number): number {
    const entry = this.#entries.get(key);
    if (entry === undefined || eventAt - entry.updatedAt > this.#options.forgetAfterMs) return 0;
    return Math.max(eventAt + entry.delayMs - this.#options.clock.monotonic(), 0);
  }

  reset(key: string): void {
    this.#entries.delete(key);
  }

  /** Forgets what is older than the limit. kubelet: once a housekeeping pass. */
  gc(): void {
    for (const key of this.#entries.keys()) this.#fresh(key);
  }

  entries(): ReadonlyMap<string, BackoffEntry> {
    return this.#entries;
  }

  restore(key: string, entry: BackoffEntry): void {
    this.#put(key, entry);
  }

  #fresh(key: string): BackoffEntry | undefined {
    const entry = this.#entries.get(key);
    if (
      entry !== undefined &&
      this.#options.clock.monotonic() - entry.updatedAt > this.#options.forgetAfterMs
    ) {
      this.#entries.delete(key);
      return undefined;
    }
    return entry;
  }

  #put(key: string, entry: BackoffEntry): void {
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    const oldest = this.#entries.keys().next().value;
    if (this.#entries.size > (this.#options.capacity ?? 4096) && oldest !== undefined)
      this.#entries.delete(oldest);
  }
}
