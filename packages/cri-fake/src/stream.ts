// SPDX-License-Identifier: Apache-2.0
//
// Event streams: one hub per kind of event, one queue per subscriber. Events are lost, doubled and delayed here, as faults say.
// Bounded: a subscriber that leaves 65,536 events unread loses its connection, as one to a real runtime would in the end.

import type { Clock } from "@holdfast/core/clock";

import type { Decision } from "./faults.ts";

const QUEUE_LIMIT = 65_536;

/** What one subscriber reads. Ends silently when it is let go, with an error when the connection breaks. */
export class EventQueue<Event> implements AsyncIterableIterator<Event, undefined> {
  #queue: Event[] = [];
  #waiters: PromiseWithResolvers<IteratorResult<Event, undefined>>[] = [];
  #finished = false;
  #failure: unknown;
  #onFinish: (() => void) | undefined;

  constructor(onFinish?: () => void) {
    this.#onFinish = onFinish;
  }

  /** False when the queue is full. */
  push(event: Event): boolean {
    if (this.#finished) return true;
    const waiter = this.#waiters.shift();
    if (waiter !== undefined) waiter.resolve({ done: false, value: event });
    else this.#queue.push(event);
    return this.#queue.length < QUEUE_LIMIT;
  }

  /** No more will come; what is queued can still be read. */
  end(): void {
    const queued = this.#queue;
    this.finish();
    this.#queue = queued;
  }

  /** With a failure, what is queued comes first. Without one, it is let go. */
  finish(failure?: unknown): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#failure = failure;
    if (failure === undefined) this.#queue = [];
    this.#onFinish?.();
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) this.next().then(waiter.resolve, waiter.reject);
  }

  next(): Promise<IteratorResult<Event, undefined>> {
    const event = this.#queue.shift();
    if (event !== undefined) return Promise.resolve({ done: false, value: event });
    if (this.#finished) {
      const failure = this.#failure;
      this.#failure = undefined;
      return failure === undefined
        ? Promise.resolve({ done: true, value: undefined })
        : Promise.reject(failure as Error);
    }
    const waiter = Promise.withResolvers<IteratorResult<Event, undefined>>();
    this.#waiters.push(waiter);
    return waiter.promise;
  }

  return(): Promise<IteratorResult<Event, undefined>> {
    this.finish();
    this.#queue = [];
    this.#failure = undefined;
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

interface Subscriber<Event> {
  readonly queue: EventQueue<Event>;
  readonly wants: (event: Event) => boolean;
  readonly lost: () => unknown;
  /** Its connection is half-open. */
  muted: boolean;
}

/** Hands events out. */
export class EventHub<Event> {
  readonly #clock: Clock;
  readonly #stolen: boolean;
  #subscribers: Subscriber<Event>[] = [];
  #turn = 0;

  /** With `stolen`, each event goes to one subscriber only, in turn, as on containerd 1.7. */
  constructor(clock: Clock, stolen: boolean) {
    this.#clock = clock;
    this.#stolen = stolen;
  }

  get subscribers(): number {
    return this.#subscribers.length;
  }

  /** `lost` makes the error with which the stream ends when the runtime is gone. */
  subscribe(
    signal: AbortSignal | undefined,
    lost: () => unknown,
    wants: (event: Event) => boolean = () => true,
  ): EventQueue<Event> {
    const onAbort = (): void => queue.finish();
    const queue = new EventQueue<Event>(() => {
      signal?.removeEventListener("abort", onAbort);
      this.#subscribers = this.#subscribers.filter((other) => other.queue !== queue);
    });
    if (signal?.aborted) {
      queue.finish();
      return queue;
    }
    this.#subscribers.push({ queue, wants, lost, muted: false });
    signal?.addEventListener("abort", onAbort, { once: true });
    return queue;
  }

  publish(
    event: Event,
    { lose, duplicate, delayMs }: Pick<Decision, "lose" | "duplicate" | "delayMs">,
  ): void {
    if (lose) return;
    const deliver = (): void => {
      for (let copies = duplicate ? 2 : 1; copies > 0; copies--) this.#deliver(event);
    };
    if (delayMs > 0) this.#clock.timer(delayMs, deliver);
    else deliver();
  }

  /** Who listens now hears nothing more, and is not told. */
  mute(): void {
    for (const subscriber of this.#subscribers) subscriber.muted = true;
  }

  /** Every connection breaks. */
  break(): void {
    for (const { queue, lost } of this.#subscribers) queue.finish(lost());
  }

  #deliver(event: Event): void {
    const interested = this.#subscribers.filter(({ wants }) => wants(event));
    const one = interested[this.#turn++ % Math.max(interested.length, 1)];
    const receivers = this.#stolen ? (one === undefined ? [] : [one]) : interested;
    for (const { queue, lost, muted } of receivers) if (!muted && !queue.push(event)) queue.finish(lost());
  }
}
