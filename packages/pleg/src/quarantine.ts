// SPDX-License-Identifier: Apache-2.0

/**
 * Pods whose status calls hang or fail, each with its own retry curve, so that none of them costs the others anything.
 *
 * Owns: one entry and one timer per such pod. Invariant: an entry leaves when a look succeeds or the pod is gone. Lost on a crash: nothing
 * that the next look does not find again.
 */
import type { Clock, Timer } from "@holdfast/core/clock";

const FIRST_RETRY_MS = 1000;
const MAX_RETRY_MS = 60_000;

/** A pod that is set apart, as `snapshot()` shows it. */
export interface QuarantinedPod {
  readonly podUid: string;
  /** Which call, on what, for how long. */
  readonly error: string;
  readonly failures: number;
  /** Milliseconds since the first look that failed began. */
  readonly forMs: number;
  /** Milliseconds to the next try; 0 while it is made. */
  readonly retryInMs: number;
}

interface Entry {
  error: string;
  failures: number;
  readonly since: number;
  failedAt: number;
  retryAt: number;
  /** It was the list that was wrong: the next one that lacks nothing is looked into at once. */
  lacking: boolean;
  timer: Timer | undefined;
}

/** See the top of the file. */
export class Quarantine {
  readonly #clock: Clock;
  readonly #retry: (podUid: string) => void;
  readonly #pods = new Map<string, Entry>();

  constructor(clock: Clock, retry: (podUid: string) => void) {
    this.#clock = clock;
    this.#retry = retry;
  }

  get size(): number {
    return this.#pods.size;
  }
  has(podUid: string): boolean {
    return this.#pods.has(podUid);
  }

  /** Whether the pod may be looked at now, on a list that lacks something, or nothing. */
  isDue(podUid: string, isLacking: boolean): boolean {
    const entry = this.#pods.get(podUid);
    if (entry === undefined || this.#clock.monotonic() >= entry.retryAt) return true;
    return entry.lacking && !isLacking;
  }

  /** A look that began at `beganAt` failed: the next one comes after 1 s, doubling, up to 60 s. */
  failed(podUid: string, error: string, beganAt: number, lacking = false): void {
    const now = this.#clock.monotonic();
    const entry = this.#pods.get(podUid) ?? {
      error,
      failures: 0,
      since: beganAt,
      failedAt: now,
      retryAt: now,
      lacking,
      timer: undefined,
    };
    this.#pods.set(podUid, entry);
    entry.error = error;
    entry.lacking = lacking;
    entry.failures += 1;
    entry.failedAt = now;
    this.#arm(
      podUid,
      entry,
      now + Math.min(FIRST_RETRY_MS * 2 ** Math.min(entry.failures - 1, 16), MAX_RETRY_MS),
    );
  }

  /** Something happened in the pod: it is tried again soon, but not sooner than the first retry would be. */
  hurry(podUid: string): void {
    const entry = this.#pods.get(podUid);
    if (entry === undefined) return;
    const retryAt = Math.max(entry.failedAt + FIRST_RETRY_MS, this.#clock.monotonic());
    if (retryAt < entry.retryAt) this.#arm(podUid, entry, retryAt);
  }

  /** A look succeeded, or the pod is gone. */
  release(podUid: string): boolean {
    this.#pods.get(podUid)?.timer?.cancel();
    return this.#pods.delete(podUid);
  }

  stop(): void {
    for (const entry of this.#pods.values()) entry.timer?.cancel();
  }

  list(): QuarantinedPod[] {
    const now = this.#clock.monotonic();
    return Array.from(this.#pods, ([podUid, { error, failures, since, retryAt }]) => ({
      podUid,
      error,
      failures,
      forMs: now - since,
      retryInMs: Math.max(retryAt - now, 0),
    }));
  }

  #arm(podUid: string, entry: Entry, retryAt: number): void {
    entry.timer?.cancel();
    entry.retryAt = retryAt;
    entry.timer = this.#clock.timer(retryAt - this.#clock.monotonic(), () => this.#retry(podUid));
  }
}
