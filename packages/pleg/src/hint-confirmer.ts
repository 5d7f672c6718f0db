// SPDX-License-Identifier: Apache-2.0

/**
 * An event runs ahead of the CRI by tens of milliseconds. Here it is waited for, with the cheapest call there is, until the CRI says what
 * the event said; then the pod is looked at.
 *
 * Owns: one expectation and at most one timer or call per id. Bounded; what does not fit is left to the relist. Lost on a crash: hints.
 */
import type { Clock, Timer } from "@holdfast/core/clock";
import type { ListedItem } from "./pod-records.ts";

/** What the CRI is expected to say soon. */
export interface Expectation {
  readonly item: ListedItem;
  readonly want: "started" | "exited";
  /** Nobody waits for it: asked for the first time after this pause, or when {@link HintConfirmer.ripen} says that it is time. Default 0. */
  readonly pauseMs?: number;
}

/** What the confirmer does its work with. */
export interface HintConfirmerOptions {
  readonly clock: Clock;
  /** Asks the runtime; true when it agrees or does not know the id. Must not reject. */
  readonly check: (expectation: Expectation) => Promise<boolean>;
  /** The runtime agrees, or was asked for long enough. `since`: when it began to be expected, monotonic. */
  readonly done: (expectation: Expectation, confirmed: boolean, since: number) => void;
  readonly overflow: () => void;
}

const FIRST_DELAY_MS = 5;
const MAX_DELAY_MS = 1000;
const CAPACITY = 1000;
/** How long what is held waits for the look that holds it. */
const HOLD_MS = 1000;
/** A start is not worth more; an exit was entered in the cache and must be confirmed. */
const PATIENCE_MS: Readonly<Record<Expectation["want"], number>> = { started: 1000, exited: 60_000 };

interface Pending {
  expectation: Expectation;
  since: number;
  delayMs: number;
  timer: Timer | undefined;
  asked: boolean;
  held: boolean;
}

/** See the top of the file. */
export class HintConfirmer {
  readonly #options: HintConfirmerOptions;
  readonly #pending = new Map<string, Pending>();

  constructor(options: HintConfirmerOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#pending.size;
  }

  /** Begins to ask. An exit replaces a start of the same id; the same expectation again changes nothing. */
  expect(expectation: Expectation): void {
    const { id } = expectation.item;
    const since = this.#options.clock.monotonic();
    const known = this.#pending.get(id);
    if (known !== undefined) {
      if (known.expectation.want === expectation.want) return;
      Object.assign(known, { expectation, since, delayMs: FIRST_DELAY_MS });
      return;
    }
    if (this.#pending.size >= CAPACITY) {
      this.#options.overflow();
      return;
    }
    const pending: Pending = {
      expectation,
      since,
      delayMs: FIRST_DELAY_MS,
      timer: undefined,
      asked: false,
      held: false,
    };
    this.#pending.set(id, pending);
    const { pauseMs = 0 } = expectation;
    if (pauseMs > 0) this.#askAfter(pending, pauseMs);
    else void this.#ask(pending);
  }

  /** What is expected of this id will be true in a moment. Only moves a first question forward. */
  ripen(id: string): void {
    const pending = this.#pending.get(id);
    if (pending === undefined || pending.asked || pending.held || pending.timer === undefined) return;
    pending.timer.cancel();
    this.#askAfter(pending, FIRST_DELAY_MS);
  }

  /** A look at this pod will come, which tells the same: what has not been asked for yet waits for it, a second at most. */
  hold(podUid: string): void {
    for (const pending of this.#pending.values()) {
      if (pending.expectation.item.podUid !== podUid || pending.asked || pending.timer === undefined)
        continue;
      pending.timer.cancel();
      pending.held = true;
      this.#askAfter(pending, HOLD_MS);
    }
  }

  /** Somebody else found out. */
  forget(id: string): void {
    this.#pending.get(id)?.timer?.cancel();
    this.#pending.delete(id);
  }

  stop(): void {
    for (const id of this.#pending.keys()) this.forget(id);
  }

  async #ask(pending: Pending): Promise<void> {
    const { check, clock, done } = this.#options;
    const { expectation } = pending;
    const { id } = expectation.item;
    pending.asked = true;
    const confirmed = await check(expectation);
    if (this.#pending.get(id) !== pending) return;
    const current = pending.expectation === expectation;
    const waited = clock.monotonic() - pending.since;
    if (current && (confirmed || waited >= PATIENCE_MS[expectation.want])) {
      this.#pending.delete(id);
      done(expectation, confirmed, pending.since);
      return;
    }
    this.#askAfter(pending, pending.delayMs);
    pending.delayMs = Math.min(pending.delayMs * 2, MAX_DELAY_MS);
  }

  #askAfter(pending: Pending, delayMs: number): void {
    pending.timer = this.#options.clock.timer(delayMs, () => void this.#ask(pending));
  }
}
