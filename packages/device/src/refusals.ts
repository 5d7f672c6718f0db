// SPDX-License-Identifier: Apache-2.0

/**
 * Plugins that were told no, for people who look for their devices. Owns: the last refusal of each plugin. Invariants: at most 16, the oldest goes first;
 * one that is taken after all is forgotten. Lost on a crash: all of it; it is in the journal.
 */
import type { Clock } from "@holdfast/core/clock";

/** A registration that was refused. */
export interface Refusal {
  /** As the plugin named it; may be nonsense. At most 256 characters. */
  readonly resource: string;
  readonly socket: string;
  /** What the plugin was told. */
  readonly message: string;
  /** Wall time in milliseconds: to be shown. */
  readonly at: number;
}

const MAX_REFUSALS = 16;

/** See the top of the file. */
export class Refusals {
  readonly #clock: Pick<Clock, "now">;
  readonly #last = new Map<string, Refusal>();

  constructor(clock: Pick<Clock, "now">) {
    this.#clock = clock;
  }

  note(resource: string, socket: string, message: string): void {
    const key = JSON.stringify([resource, socket]);
    this.#last.delete(key);
    this.#last.set(key, { resource, socket, message, at: this.#clock.now() });
    const [oldest] = this.#last.keys();
    if (this.#last.size > MAX_REFUSALS && oldest !== undefined) this.#last.delete(oldest);
  }

  /** A plugin of the resource was taken. */
  forget(resource: string): void {
    for (const [key, refusal] of this.#last) if (refusal.resource === resource) this.#last.delete(key);
  }

  /** Oldest first. */
  all(): readonly Refusal[] {
    return [...this.#last.values()];
  }
}
