// SPDX-License-Identifier: Apache-2.0

import type { AnyEnvelope, Gap } from "./event.ts";
import { mergeCauses } from "./event.ts";

/** What happens when a subscriber is slower than its events. */
export type Overflow = "drop-oldest" | "latest-by-key";

/** One subscriber's bounded queue: an async iterable of envelopes, with a {@link Gap} where something was dropped. */
export interface Subscription<E> extends AsyncIterable<E | Gap>, Disposable {
  readonly name: string;
  /** How many envelopes wait. */
  readonly pending: number;
  /** How many were dropped since the start. */
  readonly dropped: number;
  /** Takes what is there without waiting. */
  take(): E | Gap | undefined;
}

/** What {@link SubscriptionQueue} needs to know of its subscriber. */
export interface QueueOptions {
  readonly name: string;
  readonly capacity: number;
  readonly overflow: Overflow;
  readonly keyOf?: ((event: AnyEnvelope) => string) | undefined;
}

/**
 * The queue of one subscriber. `push` never waits and never throws.
 * Invariant: at most `capacity` envelopes wait, and nothing is lost without a gap that says how much.
 */
export class SubscriptionQueue implements Subscription<AnyEnvelope> {
  readonly name: string;
  readonly #options: QueueOptions;
  readonly #onClose: (queue: SubscriptionQueue) => void;
  /** Insertion-ordered: the key of an unkeyed event is its seq. */
  readonly #waiting = new Map<string | number, AnyEnvelope>();
  #gap = 0;
  #dropped = 0;
  #closed = false;
  #wake: (() => void) | undefined;

  constructor(options: QueueOptions, onClose: (queue: SubscriptionQueue) => void) {
    if (!(options.capacity >= 1))
      throw new TypeError(`subscription ${options.name} needs a capacity of at least 1`);
    if (options.overflow === "latest-by-key" && options.keyOf === undefined) {
      throw new TypeError(`subscription ${options.name} has overflow latest-by-key and no keyOf`);
    }
    this.name = options.name;
    this.#options = options;
    this.#onClose = onClose;
  }

  get pending(): number {
    return this.#waiting.size;
  }
  get dropped(): number {
    return this.#dropped;
  }

  /** Returns whether something had to be dropped. Replacing an older event of the same key is no loss: its causes are merged. */
  push(event: AnyEnvelope): boolean {
    if (this.#closed) return false;
    const { keyOf, overflow, capacity } = this.#options;
    const key = overflow === "latest-by-key" && keyOf !== undefined ? keyOf(event) : event.seq;
    const older = this.#waiting.get(key);
    if (older !== undefined) this.#waiting.delete(key);
    const lost = this.#waiting.size >= capacity;
    if (lost) this.#dropOldest();
    this.#waiting.set(
      key,
      older === undefined
        ? event
        : { ...event, causes: mergeCauses(older.causes, [older.seq], event.causes) },
    );
    this.#wake?.();
    return lost;
  }

  take(): AnyEnvelope | Gap | undefined {
    if (this.#gap > 0) {
      const dropped = this.#gap;
      this.#gap = 0;
      return { type: "gap", dropped };
    }
    const first = this.#waiting.entries().next().value;
    if (first === undefined) return undefined;
    this.#waiting.delete(first[0]);
    return first[1];
  }

  /** Forces a re-read, as after a lost connection to the publisher. */
  pushGap(dropped: number): void {
    if (this.#closed) return;
    this.#gap += dropped;
    this.#dropped += dropped;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncIterator<AnyEnvelope | Gap> {
    try {
      for (;;) {
        const next = this.take();
        if (next !== undefined) yield next;
        else if (this.#closed) return;
        else await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    } finally {
      this[Symbol.dispose]();
    }
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#onClose(this);
    this.#wake?.();
  }

  #dropOldest(): void {
    const oldest = this.#waiting.keys().next().value;
    if (oldest === undefined) return;
    this.#waiting.delete(oldest);
    this.#gap += 1;
    this.#dropped += 1;
  }
}
