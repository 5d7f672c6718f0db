// SPDX-License-Identifier: Apache-2.0

/** A signal for calls that had better come to their end: it follows another one after a while. */
import type { Clock } from "@holdfast/core/clock";

/** Aborts `delayMs` after `signal` did. Disposing leaves no timer and no listener. */
export function lateSignal(
  clock: Pick<Clock, "timer">,
  signal: AbortSignal,
  delayMs: number,
): { readonly signal: AbortSignal } & Disposable {
  const controller = new AbortController();
  let timer: { cancel(): void } | undefined;
  const onAbort = (): void => {
    timer = clock.timer(delayMs, () => controller.abort(signal.reason));
  };
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort, { once: true });
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      signal.removeEventListener("abort", onAbort);
      timer?.cancel();
    },
  };
}
