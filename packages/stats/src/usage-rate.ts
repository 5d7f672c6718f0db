// SPDX-License-Identifier: Apache-2.0

/**
 * CPU rates between samples.
 *
 * Owns: one earlier reading of each subject. Invariants: no rate over less than 250 ms, which would be noise; none after a counter's reset; readings older than
 * 10 min are forgotten; a bound of subjects. Lost on a crash: the first sample after it has no rates.
 */

interface Reading {
  /** Monotonic milliseconds. */
  readonly at: number;
  readonly nanos: number;
  /** The rate up to this reading. */
  readonly rate: number | undefined;
}

/** A rate over less is noise: the reading before is kept. */
const MIN_WINDOW_MS = 250;
/** kubelet: defaultCachePeriod. */
const MAX_AGE_MS = 600_000;
const CAPACITY = 20_000;
const NANOS_PER_MS = 1_000_000;
const NANOS_PER_SECOND = 1_000_000_000;

/**
 * Billionths of a core between two readings of a counter; undefined when it was reset or no time has passed. kubelet: getContainerUsageNanoCores.
 */
export function computeUsageNanoCores(
  earlier: { readonly at: number; readonly nanos: number } | undefined,
  now: { readonly at: number; readonly nanos: number },
): number | undefined {
  if (earlier === undefined || now.nanos < earlier.nanos || now.at <= earlier.at) return undefined;
  const nanoseconds = (now.at - earlier.at) * NANOS_PER_MS;
  return Math.round(((now.nanos - earlier.nanos) / nanoseconds) * NANOS_PER_SECOND);
}

/** See the top of the file. */
export class UsageRates {
  readonly #readings = new Map<string, Reading>();

  /** How many subjects are remembered. */
  get size(): number {
    return this.#readings.size;
  }

  /** Enters a reading and gives the rate since the one before. `at` is monotonic. */
  update(subject: string, nanos: number, at: number): number | undefined {
    const earlier = this.#readings.get(subject);
    const isFresh = earlier !== undefined && at - earlier.at <= MAX_AGE_MS;
    if (isFresh && at - earlier.at < MIN_WINDOW_MS && nanos >= earlier.nanos) return earlier.rate;
    const rate = isFresh ? computeUsageNanoCores(earlier, { at, nanos }) : undefined;
    this.#readings.delete(subject);
    this.#readings.set(subject, { at, nanos, rate });
    if (this.#readings.size > CAPACITY) this.#dropOldest();
    return rate;
  }

  /** Forgets what was not read for 10 min. */
  prune(at: number): void {
    for (const [subject, reading] of this.#readings) {
      if (at - reading.at <= MAX_AGE_MS) return; // they stand in the order of their reading
      this.#readings.delete(subject);
    }
  }

  #dropOldest(): void {
    const oldest = this.#readings.keys().next().value;
    if (oldest !== undefined) this.#readings.delete(oldest);
  }
}
