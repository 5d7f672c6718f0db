// SPDX-License-Identifier: Apache-2.0

import { sleepOn } from "../clock.ts";
import type { Clock, Timer } from "../clock.ts";

/** The machine's own clock. `performance.now` is CLOCK_MONOTONIC on Linux: it does not count suspend. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  timer(ms, onFire): Timer {
    const handle = setTimeout(onFire, Math.min(Math.max(ms, 0), MAX_TIMER_MS));
    return { cancel: () => clearTimeout(handle) };
  },
  sleep: (ms, options) => sleepOn(systemClock, ms, options?.signal),
};

/** Node fires at once above 2^31 - 1 ms; nothing in an agent waits 24 days. */
const MAX_TIMER_MS = 2 ** 31 - 1;
