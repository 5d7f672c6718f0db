// SPDX-License-Identifier: Apache-2.0

/**
 * Whether a device may be given out, why not, and what it was before.
 *
 * Owns: the history of devices that ever changed, of one resource. Invariants: a device that turns bad is bad at once; one that keeps turning bad has
 * to stay good for a while before it is given out again; at most 16 changes of at most 1024 devices are kept. Lost on a crash: all of it.
 */
import type { Clock } from "@holdfast/core/clock";
import { HEALTHY } from "./device-list.ts";

/** One change of a device's health. */
export interface HealthChange {
  /** Wall time in milliseconds: to be shown. */
  readonly at: number;
  readonly healthy: boolean;
  /** Why, in words: what the plugin said, or what happened to it. */
  readonly reason: string;
}

/** When a device counts as flapping. */
export interface Hysteresis {
  /** So many times bad within the window. Default 3. */
  readonly flaps: number;
  /** Milliseconds. Default 600 000. */
  readonly windowMs: number;
  /** How long a flapping device has to be good before it is given out again. Milliseconds, default 60 000. */
  readonly steadyMs: number;
}

/** Nothing for a device that turned bad once: it is good again when its plugin says so, as in the kubelet. */
export const DEFAULT_HYSTERESIS: Hysteresis = { flaps: 3, windowMs: 600_000, steadyMs: 60_000 };

const MAX_CHANGES = 16;
const MAX_DEVICES = 1024;

interface Book {
  readonly changes: HealthChange[];
  /** Monotonic times at which it turned bad, within the window. */
  readonly bad: number[];
  /** Monotonic: not given out before. */
  heldUntil: number;
}

/** See the top of the file. */
export class DeviceHealth {
  readonly #clock: Pick<Clock, "now" | "monotonic">;
  readonly #hysteresis: Hysteresis;
  readonly #books = new Map<string, Book>();

  constructor(clock: Pick<Clock, "now" | "monotonic">, hysteresis: Hysteresis = DEFAULT_HYSTERESIS) {
    this.#clock = clock;
    this.#hysteresis = hysteresis;
  }

  /** A plugin's word for a device changed. `before` is undefined for a device that is new. */
  changed(id: string, before: string | undefined, word: string): void {
    const healthy = word === HEALTHY;
    if (before === undefined && healthy && !this.#books.has(id)) return;
    const reason = before === undefined ? `first seen as ${shown(word)}` : `the plugin says ${shown(word)}`;
    this.#note(id, healthy, reason, before === HEALTHY || before === undefined);
  }

  /** The plugin no longer lists the device. */
  vanished(id: string, before: string): void {
    this.#note(id, false, "the plugin no longer lists it", before === HEALTHY);
  }

  /** Good by its plugin's word, but held back. */
  isHeld(id: string): boolean {
    const book = this.#books.get(id);
    return book !== undefined && this.#clock.monotonic() < book.heldUntil;
  }

  /** Monotonic: when the next device that is held back is free again; undefined when none is. */
  nextRelease(): number | undefined {
    const now = this.#clock.monotonic();
    let next: number | undefined;
    for (const { heldUntil } of this.#books.values())
      if (heldUntil > now && (next === undefined || heldUntil < next)) next = heldUntil;
    return next;
  }

  /** Oldest first; empty for a device that never changed. */
  history(id: string): readonly HealthChange[] {
    return this.#books.get(id)?.changes ?? [];
  }

  #note(id: string, healthy: boolean, reason: string, turnedBad: boolean): void {
    const book: Book = this.#books.get(id) ?? { changes: [], bad: [], heldUntil: Number.NEGATIVE_INFINITY };
    // The one that changed last goes last: the oldest history is the first to be forgotten.
    this.#books.delete(id);
    this.#books.set(id, book);
    book.changes.push({ at: this.#clock.now(), healthy, reason });
    if (book.changes.length > MAX_CHANGES) book.changes.shift();
    const now = this.#clock.monotonic();
    const { flaps, windowMs, steadyMs } = this.#hysteresis;
    while (book.bad[0] !== undefined && book.bad[0] < now - windowMs) book.bad.shift();
    if (!healthy && turnedBad) {
      book.bad.push(now);
      if (book.bad.length > flaps) book.bad.shift();
    }
    book.heldUntil = healthy && book.bad.length >= flaps ? now + steadyMs : Number.NEGATIVE_INFINITY;
    if (this.#books.size > MAX_DEVICES) this.#forgetOldest();
  }

  /** One that is held back is not forgotten: it would be given out too early. */
  #forgetOldest(): void {
    const now = this.#clock.monotonic();
    for (const [id, { heldUntil }] of this.#books) {
      if (heldUntil > now) continue;
      this.#books.delete(id);
      return;
    }
  }
}

function shown(word: string): string {
  return word === "" ? "nothing of its health" : word;
}
