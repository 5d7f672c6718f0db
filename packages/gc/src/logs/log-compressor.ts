// SPDX-License-Identifier: Apache-2.0

/**
 * Compresses rotated logs, one at a time.
 *
 * Owns: a bounded queue. Invariants: what is compressed now is named, so that nobody removes it meanwhile; a file that is gone is skipped; one that
 * fails is tried again with the next rotation of its log. Lost on a crash: a `.tmp`, which the next rotation removes.
 */
import { errorText } from "@holdfast/core/errors";
import { linkSignal } from "@holdfast/core/lifecycle";
import type { Logger } from "@holdfast/core/log";
import type { Counter } from "@holdfast/core/metrics";
import type { LogFiles } from "../ports.ts";
import { COMPRESSED, TEMPORARY } from "./log-names.ts";

const CAPACITY = 1000;

/** See the top of the file. */
export class LogCompressor {
  readonly #files: LogFiles;
  readonly #logger: Logger;
  readonly #failures: Counter;
  readonly #waiting = new Map<string, { readonly folder: string; readonly name: string }>();
  #life = linkSignal();
  #current: { readonly folder: string; readonly name: string } | undefined;
  #running: Promise<void> | undefined;

  constructor(options: { readonly files: LogFiles; readonly logger: Logger; readonly failures: Counter }) {
    this.#files = options.files;
    this.#logger = options.logger;
    this.#failures = options.failures;
  }

  /** How many wait. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Names in that folder that are being read or written. */
  busyIn(folder: string): ReadonlySet<string> {
    const name = this.#current?.folder === folder ? this.#current.name : undefined;
    return name === undefined ? NOTHING : new Set([name, name + TEMPORARY, name + COMPRESSED]);
  }

  /** Asks for a file. When too many wait, the file stays as it is until its log is rotated again. */
  add(folder: string, name: string): void {
    if (this.#waiting.size >= CAPACITY || this.#life.signal.aborted) return;
    this.#waiting.set(`${folder}/${name}`, { folder, name });
    this.#running ??= this.#run(this.#life.signal).finally(() => (this.#running = undefined));
  }

  /** Resolves when nothing waits. */
  async idle(): Promise<void> {
    await this.#running;
  }

  /** Begins anew after {@link LogCompressor.stop}. */
  open(): void {
    if (this.#life.signal.aborted) this.#life = linkSignal();
  }

  /** Gives up what is under way and what waits. */
  async stop(): Promise<void> {
    this.#life.abort();
    this.#waiting.clear();
    await this.#running;
  }

  async #run(signal: AbortSignal): Promise<void> {
    // What was asked for in one turn is there before the first begins.
    await Promise.resolve();
    for (;;) {
      const next = this.#waiting.entries().next().value;
      if (next === undefined || signal.aborted) return;
      const [path, what] = next;
      this.#waiting.delete(path);
      this.#current = what;
      try {
        if ((await this.#files.size(path)) !== undefined) await this.#files.compress(path, signal);
      } catch (error) {
        if (!signal.aborted) {
          this.#failures.inc({ step: "compress" });
          this.#logger.warn("log could not be compressed", { path, err: errorText(error) });
        }
      } finally {
        this.#current = undefined;
      }
    }
  }
}

const NOTHING: ReadonlySet<string> = new Set();
