// SPDX-License-Identifier: Apache-2.0

/**
 * Counts equal events instead of listing them, joins many similar ones, and drops a flood, as client-go's EventCorrelator does for the kubelet.
 *
 * Owns: three bounded memories by key. Time comes with the events, so that it works alike on what happens and on what is read from the journal; a clock
 * that stepped back counts as no time gone by. Lost on a crash: counts begin again, as the kubelet's.
 */
import { rfc3339Seconds } from "@holdfast/core/rfc3339";
import type { KubeEvent, KubeEventFacts } from "./kube-event.ts";

/** kubelet: the defaults of client-go/tools/record. */
const MAX_SIMILAR = 10;
const SIMILAR_WINDOW_MS = 600_000;
const SPAM_BURST = 25;
const SPAM_REFILL_MS = 300_000;
const CACHE_SIZE = 4096;
const COMBINED = "(combined from similar events): ";

interface Similar {
  readonly messages: Set<string>;
  lastAt: number;
}
interface Bucket {
  tokens: number;
  at: number;
}

/** See the top of the file. */
export class EventCorrelator {
  readonly #host: string;
  readonly #buckets = new Map<string, Bucket>();
  readonly #similar = new Map<string, Similar>();
  readonly #events = new Map<string, KubeEvent>();
  #dropped = 0;

  constructor(host: string) {
    this.#host = host;
  }

  /** Occurrences dropped as a flood. */
  get dropped(): number {
    return this.#dropped;
  }

  /** The event as it stands with this occurrence; undefined when it is one of a flood. `count` 1 means that it is new. */
  correlate(facts: KubeEventFacts): KubeEvent | undefined {
    const event = this.aggregate(facts);
    if (!this.#isSpam(objectKey(facts), facts.at)) return event;
    this.#dropped += 1;
    return undefined;
  }

  /** The same without an eye on floods: for a history, which has come to pass. */
  aggregate(facts: KubeEventFacts): KubeEvent {
    // kubelet: EventAggregatorByReasonFunc leaves the container out, getEventKey does not.
    const family = JSON.stringify([objectKey(facts), facts.type, facts.reason]);
    const isCombined = this.#tooManySimilar(family, facts);
    const key = isCombined
      ? family
      : JSON.stringify([family, facts.involvedObject.fieldPath ?? "", facts.message]);
    const message = isCombined ? `${COMBINED}${facts.message}` : facts.message;
    const event = this.#count(this.#events.get(key), facts, message);
    put(this.#events, key, event);
    return event;
  }

  #count(known: KubeEvent | undefined, facts: KubeEventFacts, message: string): KubeEvent {
    const { involvedObject, type, reason, at, seq } = facts;
    const time = rfc3339Seconds(at);
    return {
      name:
        known?.name ??
        `${involvedObject.name}.${(BigInt(Math.round(at)) * 1_000_000n + BigInt(seq % 1_000_000)).toString(16)}`,
      involvedObject,
      type,
      reason,
      message,
      source: { component: "kubelet", host: this.#host },
      firstTimestamp: known?.firstTimestamp ?? time,
      lastTimestamp: time,
      count: (known?.count ?? 0) + (facts.count ?? 1),
      seq,
    };
  }

  /** Ten different messages of one reason about one object, none ten minutes after the one before. kubelet: EventAggregate. */
  #tooManySimilar(family: string, { message, at }: KubeEventFacts): boolean {
    const known = this.#similar.get(family);
    const isFresh = known !== undefined && at - known.lastAt <= SIMILAR_WINDOW_MS;
    const similar: Similar = isFresh ? known : { messages: new Set(), lastAt: at };
    similar.lastAt = Math.max(similar.lastAt, at);
    similar.messages.add(message);
    put(this.#similar, family, similar);
    if (similar.messages.size < MAX_SIMILAR) return false;
    similar.messages.delete(message);
    return true;
  }

  /** 25 events about one object, then one in five minutes. kubelet: EventSourceObjectSpamFilter. */
  #isSpam(object: string, at: number): boolean {
    const bucket = this.#buckets.get(object) ?? { tokens: SPAM_BURST, at };
    const gained = Math.max(at - bucket.at, 0) / SPAM_REFILL_MS;
    bucket.tokens = Math.min(bucket.tokens + gained, SPAM_BURST);
    bucket.at = Math.max(bucket.at, at);
    put(this.#buckets, object, bucket);
    if (bucket.tokens < 1) return true;
    bucket.tokens -= 1;
    return false;
  }
}

function objectKey({ involvedObject: { kind, namespace, name, uid } }: KubeEventFacts): string {
  return JSON.stringify([kind, namespace, name, uid]);
}

/** The newest stay. */
function put<Value>(map: Map<string, Value>, key: string, value: Value): void {
  map.delete(key);
  map.set(key, value);
  const oldest = map.keys().next().value;
  if (map.size > CACHE_SIZE && oldest !== undefined) map.delete(oldest);
}

/** The events of a history, oldest first, each with its count. */
export function aggregateKubeEvents(history: readonly KubeEventFacts[], host: string): readonly KubeEvent[] {
  const correlator = new EventCorrelator(host);
  const events = new Map<string, KubeEvent>();
  for (const facts of history) {
    const event = correlator.aggregate(facts);
    events.delete(event.name);
    events.set(event.name, event);
  }
  return [...events.values()];
}
