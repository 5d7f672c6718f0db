// SPDX-License-Identifier: Apache-2.0

/**
 * Writes the checkpoint, one at a time; who comes while one is being written shares the next. Owns nothing that a crash could lose beside what waits.
 * Invariant: when `save` resolves, a text that was made after the call is on the disk.
 */
import type { DeviceCheckpoint } from "./ports.ts";

/** See the top of the file. */
export class CheckpointWriter {
  readonly #checkpoint: DeviceCheckpoint;
  readonly #text: () => string;
  #writing: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(checkpoint: DeviceCheckpoint, text: () => string) {
    this.#checkpoint = checkpoint;
    this.#text = text;
  }

  /** Rejects when it could not be written. */
  save(): Promise<void> {
    if (this.#writing === undefined) return this.#write();
    this.#next ??= this.#writing
      .catch(() => undefined)
      .then(() => {
        this.#next = undefined;
        return this.#write();
      });
    return this.#next;
  }

  /** Resolves when nothing is being written. */
  async settled(): Promise<void> {
    while (this.#writing !== undefined || this.#next !== undefined)
      await (this.#next ?? this.#writing)?.catch(() => undefined);
  }

  #write(): Promise<void> {
    const writing = this.#checkpoint.write(this.#text()).finally(() => {
      if (this.#writing === writing) this.#writing = undefined;
    });
    this.#writing = writing;
    return writing;
  }
}
