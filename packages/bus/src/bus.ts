// SPDX-License-Identifier: Apache-2.0

/**
 * The typed event bus. It owns the sequence numbers, a ring of the last envelopes and the subscribers' queues.
 *
 * Invariants: `publish` is synchronous, runs no subscriber code, never throws and never waits; a slow reader harms only itself; an event is
 * never the only copy of a fact. Lost on a crash: all of it but `seq`, which goes on from what the caller gives as `firstSeq`.
 */
import type { Clock } from "@holdfast/core/clock";
import { noMetrics } from "@holdfast/core/metrics";
import type { Counter, Metrics } from "@holdfast/core/metrics";
import type { AnyEnvelope, EnvelopeOf, EventType, Subject } from "./event.ts";
import { mergeCauses } from "./event.ts";
import { SubscriptionQueue } from "./subscription.ts";
import type { Overflow, Subscription } from "./subscription.ts";

/** What goes with a published event. */
export interface PublishOptions {
  readonly subject?: Subject;
  /** The `seq`s of the events that led to this one. */
  readonly causes?: readonly number[];
}

/** The half of the bus that managers get. */
export interface Publisher {
  /** Publishes and returns the event's `seq`, to be named as a cause of what follows from it. */
  publish<Data>(type: EventType<Data>, data: NoInfer<Data>, options?: PublishOptions): number;
}

/** How a subscription behaves. Capacity and overflow have no default: the subscriber must think. */
export interface SubscribeOptions<E extends EventType<unknown>> {
  /** Named in metrics and in the log line of a gap. */
  readonly name: string;
  readonly capacity: number;
  readonly overflow: Overflow;
  /** Required with latest-by-key: which events replace one another. */
  readonly keyOf?: (event: EnvelopeOf<E>) => string;
}

/** The other half: pod workers, status, journal, metrics and the API server subscribe. */
export interface Subscriber {
  subscribe<const T extends readonly EventType<unknown>[]>(
    types: T,
    options: SubscribeOptions<T[number]>,
  ): Subscription<EnvelopeOf<T[number]>>;
  /** Every event of every type: for the journal and for debugging. */
  subscribeAll(options: { readonly name: string; readonly capacity: number }): Subscription<AnyEnvelope>;
}

/** How a {@link Bus} is made. */
export interface BusOptions {
  readonly clock: Pick<Clock, "now" | "monotonic">;
  /** The first `seq`. Default 1; an agent gives the journal's last + 1. */
  readonly firstSeq?: number;
  /** How many envelopes the ring keeps for debugging. Default 256. */
  readonly ringSize?: number;
  readonly metrics?: Metrics;
}

/** A publisher that goes nowhere: for a manager used alone. */
export const nullPublisher: Publisher = { publish: () => 0 };

/** The bus itself. One per agent. */
export class Bus implements Publisher, Subscriber {
  readonly #clock: Pick<Clock, "now" | "monotonic">;
  readonly #ringSize: number;
  readonly #byType = new Map<string, Set<SubscriptionQueue>>();
  readonly #toAll = new Set<SubscriptionQueue>();
  readonly #ring: AnyEnvelope[] = [];
  readonly #published: Counter;
  readonly #droppedTotal: Counter;
  #seq: number;

  constructor(options: BusOptions) {
    this.#clock = options.clock;
    this.#ringSize = options.ringSize ?? 256;
    this.#seq = (options.firstSeq ?? 1) - 1;
    const metrics = options.metrics ?? noMetrics;
    this.#published = metrics.counter("holdfast_bus_published_total", "Events published, by type.");
    this.#droppedTotal = metrics.counter("holdfast_bus_dropped_total", "Events dropped, by subscriber.");
  }

  /** The `seq` of the newest event. */
  get lastSeq(): number {
    return this.#seq;
  }

  publish<Data>(type: EventType<Data>, data: NoInfer<Data>, options: PublishOptions = {}): number {
    const event: AnyEnvelope = {
      seq: ++this.#seq,
      at: this.#clock.now(),
      monotonic: this.#clock.monotonic(),
      type: type.name,
      subject: options.subject ?? {},
      causes: options.causes === undefined ? [] : mergeCauses(options.causes),
      data,
    };
    this.#published.inc({ type: type.name });
    this.#ring.push(event);
    if (this.#ring.length > this.#ringSize) this.#ring.shift();
    for (const queue of this.#byType.get(type.name) ?? []) this.#deliver(queue, event);
    for (const queue of this.#toAll) this.#deliver(queue, event);
    return event.seq;
  }

  subscribe<const T extends readonly EventType<unknown>[]>(
    types: T,
    options: SubscribeOptions<T[number]>,
  ): Subscription<EnvelopeOf<T[number]>> {
    const names = types.map((type) => type.name);
    const queue = new SubscriptionQueue(
      { ...options, keyOf: options.keyOf as ((event: AnyEnvelope) => string) | undefined },
      (closed) => {
        for (const name of names) this.#byType.get(name)?.delete(closed);
      },
    );
    for (const name of names) {
      const queues = this.#byType.get(name);
      if (queues === undefined) this.#byType.set(name, new Set([queue]));
      else queues.add(queue);
    }
    return queue as unknown as Subscription<EnvelopeOf<T[number]>>;
  }

  subscribeAll(options: { readonly name: string; readonly capacity: number }): Subscription<AnyEnvelope> {
    const queue = new SubscriptionQueue(
      { ...options, overflow: "drop-oldest" },
      (closed) => void this.#toAll.delete(closed),
    );
    this.#toAll.add(queue);
    return queue;
  }

  /** The last envelopes, oldest first: for the debug endpoint and the output of a failing test. */
  recent(): readonly AnyEnvelope[] {
    return this.#ring;
  }

  #deliver(queue: SubscriptionQueue, event: AnyEnvelope): void {
    if (queue.push(event)) this.#droppedTotal.inc({ subscriber: queue.name });
  }
}
