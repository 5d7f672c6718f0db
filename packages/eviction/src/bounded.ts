// SPDX-License-Identifier: Apache-2.0

import type { Clock } from "@holdfast/core/clock";
import { HoldfastError } from "@holdfast/core/errors";
import { linkSignal } from "@holdfast/core/lifecycle";

/** What a piece of work may take. */
export interface Bound {
  readonly clock: Pick<Clock, "timer">;
  readonly ms: number;
  readonly what: string;
  readonly signal: AbortSignal;
}

/** Settles as the work does; rejects with kind `deadline` (EVICTION_FIGURES) after its time, or with the signal's reason. The work is told, and is not waited for. */
export async function bounded<T>(
  { clock, ms, what, signal }: Bound,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  using life = linkSignal(signal);
  const timer = clock.timer(ms, () =>
    life.abort(new HoldfastError("EVICTION_FIGURES", "deadline", `${what} took longer than ${ms / 1000} s`)),
  );
  const over = Promise.withResolvers<never>();
  life.signal.addEventListener("abort", () => over.reject(life.signal.reason as Error), { once: true });
  try {
    return await Promise.race([work(life.signal), over.promise]);
  } finally {
    timer.cancel();
  }
}
