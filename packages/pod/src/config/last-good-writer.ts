// SPDX-License-Identifier: Apache-2.0

import type { Logger } from "@holdfast/core/log";
import type { LastGoodManifests } from "./ports.ts";

/**
 * Writes last good texts one after another, so that a hundred new manifests do not fill libuv's few threads with syncs while the next
 * manifest waits to be read. A text that is replaced before it was written is never written.
 */
export class LastGoodWriter {
  readonly #store: LastGoodManifests | undefined;
  readonly #logger: Logger;
  /** The latest wish per file: at most one for each. */
  readonly #due = new Map<string, string | undefined>();
  #writing: Promise<void> | undefined;

  constructor(store: LastGoodManifests | undefined, logger: Logger) {
    this.#store = store;
    this.#logger = logger;
  }

  /** Keeps `text` for the file soon; undefined forgets the file. */
  keep(path: string, text: string | undefined): void {
    if (this.#store === undefined) return;
    this.#due.delete(path);
    this.#due.set(path, text);
    this.#writing ??= this.#write(this.#store).finally(() => {
      this.#writing = undefined;
    });
  }

  /** Resolves when all is written. */
  async drain(): Promise<void> {
    await this.#writing;
  }

  async #write(store: LastGoodManifests): Promise<void> {
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      const [path, text] = next;
      try {
        await (text === undefined ? store.delete(path) : store.set(path, text));
      } catch (err) {
        this.#logger.warn("last good manifest cannot be kept", { path, err });
      }
    }
  }

  #next(): [string, string | undefined] | undefined {
    const [next] = this.#due;
    if (next !== undefined) this.#due.delete(next[0]);
    return next;
  }
}
