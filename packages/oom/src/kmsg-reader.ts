// SPDX-License-Identifier: Apache-2.0

/**
 * Reads the kernel's log as it grows, a batch at a time.
 *
 * Owns: the handle, the last sequence. Reads: a {@link KmsgDevice}. Invariants: no record is handed on twice, also over reopening; what the
 * kernel overwrote is counted; the event loop gets its turn after each batch; a failing device is asked ever more seldom, up to a minute.
 * Looks now and then instead of waiting in a read: that would hold one of libuv's four threads for ever, a child process costs a megabyte, and
 * Node can poll no character device. Who knows that something happened calls {@link KmsgReader.poke}, which looks at once; the looks in between are
 * for what nobody tells.
 * Lost on a crash: the last sequence, unless a caller kept it ({@link KmsgReaderOptions.afterSequence}).
 */
import type { Clock } from "@holdfast/core/clock";
import { errorText } from "@holdfast/core/errors";
import { linkSignal } from "@holdfast/core/lifecycle";
import type { LinkedSignal } from "@holdfast/core/lifecycle";
import { parseKmsgRecord } from "./kmsg-record.ts";
import type { KmsgRecord } from "./kmsg-record.ts";
import type { KmsgDevice, KmsgHandle } from "./ports.ts";

/** How a {@link KmsgReader} is made. */
export interface KmsgReaderOptions {
  readonly device: KmsgDevice;
  readonly clock: Clock;
  /** Called for each record, in order. Must not throw. */
  readonly onRecord: (record: KmsgRecord) => void;
  /** So many records are missing here. */
  readonly onGap: (lost: number) => void;
  /** Everything that was there has been handed on. */
  readonly onDrained?: () => void;
  /** The log cannot be read (text), or can again (undefined). Called on changes. */
  readonly onProblem?: (problem: string | undefined) => void;
  /** Replay of this boot's records after this sequence (-1: all that is left). Default: only what comes after the start. */
  readonly afterSequence?: number | undefined;
  /** Milliseconds between looks. Default 10 000. */
  readonly periodMs?: number;
  /** Something is half read: the next look comes within a second. */
  readonly isHalfway?: () => boolean;
  /** Records read in one turn of the event loop. Default 256: under 2 ms. */
  readonly batch?: number;
}

const PERIOD_MS = 10_000;
const HALFWAY_MS = 1000;
const REOPEN_MIN_MS = 1000;
const REOPEN_MAX_MS = 60_000;

/** kubelet: kmsgparser, with a tail, gaps and reopening. */
export class KmsgReader {
  readonly #options: KmsgReaderOptions;
  readonly #batch: number;
  #handle: KmsgHandle | undefined;
  #last: number | undefined;
  #isTailing: boolean;
  #problem: string | undefined;
  #reopenMs = REOPEN_MIN_MS;
  #wake: (() => void) | undefined;
  #isPoked = false;
  #drained = Promise.withResolvers<void>();
  #running: { readonly link: LinkedSignal; readonly done: Promise<void> } | undefined;

  constructor(options: KmsgReaderOptions) {
    this.#options = options;
    this.#batch = options.batch ?? 256;
    this.#last = options.afterSequence;
    this.#isTailing = options.afterSequence === undefined;
  }

  /** Why the log cannot be read; undefined when it can. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** The newest record that was read, or undefined. */
  get lastSequence(): number | undefined {
    return this.#last;
  }

  /** Resolves when the log was read to its end once, or could not be. */
  async start(signal?: AbortSignal): Promise<void> {
    if (this.#running !== undefined) return;
    signal?.throwIfAborted();
    const first = this.#drained.promise;
    const link = linkSignal();
    this.#running = { link, done: this.#loop(link.signal) };
    await first;
  }

  async stop(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    running?.link.abort(new Error("kmsg reader stops"));
    this.#wake?.();
    await running?.done;
    this.#close();
    this.#drained.resolve();
  }

  /** Looks now. Resolves when what was there has been handed on; at once when it does not run. */
  async poke(): Promise<void> {
    if (this.#running === undefined) return;
    this.#isPoked = true;
    const { promise } = this.#drained;
    this.#wake?.();
    await promise;
  }

  async #loop(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#isPoked = false;
      const isOpen = this.#open();
      if (isOpen) await this.#drain(signal);
      const { resolve } = this.#drained;
      this.#drained = Promise.withResolvers<void>();
      resolve();
      const isFailing = this.#problem !== undefined;
      await this.#wait(isFailing ? this.#reopenMs : this.#pauseMs(), signal);
      if (isFailing) this.#reopenMs = Math.min(this.#reopenMs * 2, REOPEN_MAX_MS);
    }
  }

  #pauseMs(): number {
    const { periodMs = PERIOD_MS, isHalfway } = this.#options;
    return isHalfway?.() === true ? Math.min(HALFWAY_MS, periodMs) : periodMs;
  }

  #open(): boolean {
    if (this.#handle !== undefined) return true;
    try {
      this.#handle = this.#options.device.open();
      return true;
    } catch (error) {
      this.#fail(error);
      return false;
    }
  }

  /** Batch after batch until the log is empty. The clock's zero timer gives the loop its turn in between. */
  async #drain(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        if (!this.#readBatch()) break;
      } catch (error) {
        this.#close();
        this.#fail(error);
        return;
      }
      await this.#options.clock.sleep(0, { signal }).catch(() => undefined); // stopping ends the loop above
    }
    if (signal.aborted) return;
    this.#isTailing = false;
    this.#reopenMs = REOPEN_MIN_MS;
    this.#tell(undefined);
    this.#options.onDrained?.();
  }

  /** Whether there is more. */
  #readBatch(): boolean {
    for (let count = 0; count < this.#batch; count++) {
      const read = this.#handle?.read();
      if (read === undefined || read.kind === "empty") return false;
      // What an overrun lost is told by the next record's sequence.
      if (read.kind === "overrun") continue;
      const record = parseKmsgRecord(read.text);
      if (record !== undefined) this.#take(record);
    }
    return true;
  }

  #take(record: KmsgRecord): void {
    const last = this.#last;
    if (last !== undefined && record.sequence <= last) return;
    this.#last = record.sequence;
    if (this.#isTailing) return;
    // With "all that is left", what was overwritten before is nobody's loss.
    if (last !== undefined && last >= 0 && record.sequence > last + 1)
      this.#options.onGap(record.sequence - last - 1);
    this.#options.onRecord(record);
  }

  #wait(ms: number, signal: AbortSignal): Promise<void> {
    if (this.#isPoked || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const end = (): void => {
        this.#wake = undefined;
        timer.cancel();
        resolve();
      };
      const timer = this.#options.clock.timer(ms, end);
      this.#wake = end;
    });
  }

  #fail(error: unknown): void {
    this.#tell(errorText(error));
  }

  #tell(problem: string | undefined): void {
    if (problem === this.#problem) return;
    this.#problem = problem;
    this.#options.onProblem?.(problem);
  }

  #close(): void {
    const handle = this.#handle;
    this.#handle = undefined;
    try {
      handle?.close();
    } catch {
      /* it is given up either way */
    }
  }
}
