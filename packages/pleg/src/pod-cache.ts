// SPDX-License-Identifier: Apache-2.0

/**
 * The pod cache: what the runtime was last seen to say of each pod, and since when that is so. kubelet: kubecontainer.Cache.
 *
 * Owns: entries and waiters. Times are monotonic milliseconds at which a look began.
 * Invariants: one writer, the reconciler; a waiter is settled once and leaves no listener; an exit entered from an event changes an entry
 * but is not a look; while a pod is behind (listed as changed, not yet inspected) a pass over all pods says nothing about it.
 * Lost on a crash: all of it, the first relist brings it back.
 */
import { emptyRuntimePodStatus } from "@holdfast/core/runtime-status";
import type { RuntimePodStatus } from "@holdfast/core/runtime-status";

/** What the cache says of a pod. A failed look is part of the answer. */
export interface CachedPodStatus {
  /** The last good status, with exits that events told of since. */
  readonly status: RuntimePodStatus;
  readonly error: Error | undefined;
}

interface Entry extends CachedPodStatus {
  status: RuntimePodStatus;
  error: Error | undefined;
  modified: number;
  observed: number;
}

interface Waiter {
  readonly uid: string;
  readonly minTime: number;
  settle(answer: CachedPodStatus): void;
  fail(reason: unknown): void;
}

const NEVER = Number.NEGATIVE_INFINITY;

/** See the top of the file. */
export class PodCache {
  readonly #entries = new Map<string, Entry>();
  readonly #behind = new Set<string>();
  readonly #waiters = new Map<string, Set<Waiter>>();
  readonly #onWait: (uid: string, minTime: number) => void;
  #globalTime = NEVER;

  /** `onWait` is told of each wait that begins, and for what, so that a look can be made at once. */
  constructor(onWait: (uid: string, minTime: number) => void = () => {}) {
    this.#onWait = onWait;
  }

  get size(): number {
    return this.#entries.size;
  }
  /** How many wait: a test's proof that none is left behind. */
  get waiting(): number {
    let count = 0;
    for (const waiters of this.#waiters.values()) count += waiters.size;
    return count;
  }

  /** The entry, or an empty status when there is none. */
  get(uid: string): CachedPodStatus {
    const entry = this.#entries.get(uid);
    return entry === undefined
      ? { status: emptyRuntimePodStatus(uid), error: undefined }
      : { status: entry.status, error: entry.error };
  }

  /** Waits for a look that began after `minTime`. Rejects with the signal's reason. kubelet: GetNewerThan. */
  getNewerThan(uid: string, minTime: number, signal: AbortSignal): Promise<CachedPodStatus> {
    if (signal.aborted) return Promise.reject(signal.reason as Error);
    // Strict here, not strict in #wake: a fresh reader with an equal time waits, a waiting one is let go.
    if (this.#isNewer(uid, minTime)) return Promise.resolve(this.get(uid));
    return new Promise((resolve, reject) => {
      const done = (): void => {
        signal.removeEventListener("abort", onAbort);
        const waiters = this.#waiters.get(uid);
        waiters?.delete(waiter);
        if (waiters?.size === 0) this.#waiters.delete(uid);
      };
      const waiter: Waiter = {
        uid,
        minTime,
        settle(answer) {
          done();
          resolve(answer);
        },
        fail(reason) {
          done();
          reject(reason as Error);
        },
      };
      const onAbort = (): void => waiter.fail(signal.reason);
      signal.addEventListener("abort", onAbort, { once: true });
      const waiters = this.#waiters.get(uid);
      if (waiters === undefined) this.#waiters.set(uid, new Set([waiter]));
      else waiters.add(waiter);
      this.#onWait(uid, minTime);
    });
  }

  /** A look has ended, well or not. kubelet: Set. */
  set(uid: string, status: RuntimePodStatus, error: Error | undefined, modified: number): void {
    const observed = this.#entries.get(uid)?.observed ?? NEVER;
    this.#entries.set(uid, { status, error, modified, observed });
    this.#wake(uid, modified);
  }

  /** A look found nothing new. kubelet: SetObservedTime; it makes no entry. */
  setObservedTime(uid: string, time: number): void {
    const entry = this.#entries.get(uid);
    if (entry === undefined) return;
    entry.observed = Math.max(entry.observed, time);
    this.#wake(uid, time);
  }

  /** A look at one pod found that the runtime has nothing of it. */
  setAbsent(uid: string, time: number): void {
    this.delete(uid);
    this.#wake(uid, time);
  }

  /** Changes an entry without it counting as a look. */
  amend(uid: string, change: (status: RuntimePodStatus) => RuntimePodStatus): void {
    const entry = this.#entries.get(uid);
    if (entry !== undefined) entry.status = change(entry.status);
  }

  /** The runtime has nothing of this pod. Wakes nobody. kubelet: Delete. */
  delete(uid: string): void {
    this.#entries.delete(uid);
    this.#behind.delete(uid);
  }

  /** Says whether a list showed changes of this pod that the entry does not have yet. */
  setBehind(uid: string, behind: boolean): void {
    if (behind) this.#behind.add(uid);
    else this.#behind.delete(uid);
  }

  /** All pods that are not behind are as of `time`. kubelet: UpdateTime. */
  updateTime(time: number): void {
    this.#globalTime = Math.max(this.#globalTime, time);
    for (const uid of this.#waiters.keys()) if (!this.#behind.has(uid)) this.#wake(uid, time);
  }

  /** Lets everybody go who waits. */
  rejectAll(reason: unknown): void {
    for (const waiters of this.#waiters.values()) for (const waiter of waiters) waiter.fail(reason);
  }

  #isNewer(uid: string, minTime: number): boolean {
    const global = this.#behind.has(uid) ? NEVER : this.#globalTime;
    const entry = this.#entries.get(uid);
    if (entry === undefined) return global > minTime;
    return global > minTime || entry.modified > minTime || entry.observed > minTime;
  }

  #wake(uid: string, time: number): void {
    for (const waiter of this.#waiters.get(uid) ?? [])
      if (waiter.minTime <= time) waiter.settle(this.get(uid));
  }
}
