// SPDX-License-Identifier: Apache-2.0

/**
 * Whether the sink can be reached at all. While it cannot, one write at a time finds out, at growing distances, whichever pod's it is: a thousand pods that
 * each try for themselves are what keeps a server down that comes up.
 */
import type { Clock } from "@holdfast/core/clock";
import type { Random } from "@holdfast/core/random";
import { jitter } from "@holdfast/core/random";

/** Milliseconds. */
export interface OutageGateOptions {
  readonly clock: Pick<Clock, "monotonic">;
  readonly random: Random;
  readonly initialMs: number;
  readonly maxMs: number;
  /** A longer wait that the other side asks for is cut to this. */
  readonly maxRetryAfterMs: number;
}

/** Failures of different pods in a row, with no success between them, after which the sink itself is taken to be down. */
const FAILURES_IN_A_ROW = 6;

/** See the block above. */
export class OutageGate {
  readonly #options: OutageGateOptions;
  readonly #failed = new Set<string>();
  #downSince: number | undefined;
  #recoveries = 0;
  #delayMs = 0;
  #notBefore = 0;

  constructor(options: OutageGateOptions) {
    this.#options = options;
  }

  /** Monotonic milliseconds since when nothing has got through. */
  get downSince(): number | undefined {
    return this.#downSince;
  }

  /** How often it came back. */
  get recoveries(): number {
    return this.#recoveries;
  }

  /** How many writes may be under way. */
  limit(parallel: number): number {
    return this.#downSince === undefined ? parallel : 1;
  }

  /** Milliseconds until the next write may begin. */
  waitMs(): number {
    return Math.max(this.#notBefore - this.#options.clock.monotonic(), 0);
  }

  /** Notes a failure. True when the sink counts as down from now on. */
  failed(uid: string, scope: "pod" | "sink", retryAfterMs?: number): boolean {
    const { clock, initialMs, maxMs, maxRetryAfterMs, random } = this.#options;
    this.#failed.add(uid);
    const down = this.#downSince !== undefined;
    if (!down && scope === "pod" && this.#failed.size < FAILURES_IN_A_ROW) return false;
    const now = clock.monotonic();
    // Failures of writes that were under way together are one.
    if (down && now < this.#notBefore && retryAfterMs === undefined) return false;
    this.#failed.clear();
    this.#downSince ??= now;
    this.#delayMs = Math.min(Math.max(this.#delayMs * 2, initialMs), maxMs);
    const asked = Math.min(retryAfterMs ?? 0, maxRetryAfterMs);
    const wait = Math.max(jitter(this.#delayMs, 0.2, random), asked);
    this.#notBefore = Math.max(this.#notBefore, now + wait);
    return !down;
  }

  /** Notes that something got through. True when the sink had counted as down. */
  succeeded(): boolean {
    const down = this.#downSince !== undefined;
    if (down) this.#recoveries += 1;
    this.#failed.clear();
    this.#downSince = undefined;
    this.#delayMs = 0;
    this.#notBefore = 0;
    return down;
  }
}
