// SPDX-License-Identifier: Apache-2.0

/**
 * Brings what was written to the disk a moment later, beside the event loop. An fsync for each write holds up everything else in the process for
 * as long as the disk takes, which beside a busy containerd is milliseconds, and on a memory card tenths of a second.
 *
 * Owns: one timer and one open file at a time. Lost on a power failure: what was written within the delay; after kill -9: nothing.
 */
import { open } from "node:fs/promises";
import type { Clock, Timer } from "@holdfast/core/clock";
import { errorText } from "@holdfast/core/errors";
import type { Logger } from "@holdfast/core/log";

/** How long what was written may wait for the disk. */
const DELAY_MS = 1000;

/** Flushes one write-ahead log. */
export class LogFlusher {
  readonly #path: string;
  readonly #clock: Pick<Clock, "timer">;
  readonly #logger: Logger;
  #timer: Timer | undefined;
  #flushing = false;
  #again = false;
  #closed = false;

  /** `path`: the log, `FILE-wal`. */
  constructor(path: string, clock: Pick<Clock, "timer">, logger: Logger) {
    this.#path = path;
    this.#clock = clock;
    this.#logger = logger;
  }

  /** Something was written. */
  written(): void {
    if (this.#flushing) this.#again = true;
    else if (!this.#closed) this.#timer ??= this.#clock.timer(DELAY_MS, () => void this.#flush());
  }

  /** Closing the store writes the log back and flushes it. */
  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  async #flush(): Promise<void> {
    this.#timer = undefined;
    this.#flushing = true;
    try {
      await using file = await open(this.#path, "r");
      await file.datasync();
    } catch (error) {
      // The store itself says what is wrong with the disk at its next write.
      if (!this.#closed)
        this.#logger.debug("store was not flushed", { path: this.#path, err: errorText(error) });
    } finally {
      this.#flushing = false;
    }
    if (!this.#again) return;
    this.#again = false;
    this.written();
  }
}
