// SPDX-License-Identifier: Apache-2.0

/** A timer that was armed with {@link Clock.timer}. */
export interface Timer {
  /** Disarms the timer. Does nothing once it has fired. */
  cancel(): void;
}

/**
 * Time, in two kinds that must not be mixed. Milliseconds everywhere.
 *
 * Every manager takes its clock as an argument, so that a whole agent can run in virtual time.
 */
export interface Clock {
  /** Wall clock in milliseconds since the epoch. It may jump: only for timestamps shown to people or written to an API. */
  now(): number;
  /** Never goes back. For every duration, deadline and age. Its zero means nothing. */
  monotonic(): number;
  /** Resolves after `ms`. Rejects with the signal's reason; leaves no timer and no listener behind. */
  sleep(ms: number, options?: { readonly signal?: AbortSignal | undefined }): Promise<void>;
  /** Calls `onFire` once after `ms` unless cancelled. Must not throw. */
  timer(ms: number, onFire: () => void): Timer;
}

/** Implements {@link Clock.sleep} on top of `timer`, for clocks that have only that. */
export function sleepOn(clock: Pick<Clock, "timer">, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason as Error);
      return;
    }
    const onAbort = (): void => {
      timer.cancel();
      reject(signal?.reason as Error);
    };
    const timer = clock.timer(ms, () => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    });
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

/**
 * Turns a stored wall time into an age in milliseconds, clamped to [0, `maxMs`]: a clock that was stepped
 * must neither make something due in a year nor make it older than it can be.
 */
export function clampedAge(clock: Pick<Clock, "now">, storedWallMs: number, maxMs: number): number {
  return Math.min(Math.max(clock.now() - storedWallMs, 0), maxMs);
}
