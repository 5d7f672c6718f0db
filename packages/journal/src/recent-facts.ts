// SPDX-License-Identifier: Apache-2.0

/**
 * The newest facts of each container, pod and the node, in memory: an end is judged without a question to the disk. Owns nothing that the events do not have:
 * what is not remembered is read from them once. Bounded in pods, containers and facts.
 */
import type { FactAt } from "./facts.ts";
import type { JournalEvent } from "./journal-event.ts";

/** Reads the events of a pod's name (or UID), or of the node, newest first. */
export interface FactSource {
  ofPod(pod: string): readonly JournalEvent[];
  ofNode(): readonly JournalEvent[];
}

type PodFacts = Map<string, FactAt[]>;

const MAX_PODS = 512;
const MAX_CONTAINERS = 64;
/** Of one container: three lives and what happened in them. */
const MAX_FACTS = 24;
const MAX_NODE_FACTS = 64;

/** See the top of the file. */
export class RecentFacts {
  readonly #source: FactSource;
  readonly #read: (event: JournalEvent) => FactAt | undefined;
  readonly #pods = new Map<string, PodFacts>();
  #node: FactAt[] | undefined;

  constructor(source: FactSource, read: (event: JournalEvent) => FactAt | undefined) {
    this.#source = source;
    this.#read = read;
  }

  /** A fact that just came. The same one again changes nothing. */
  add(fact: FactAt): void {
    // That a probe is content says nothing about an end.
    if (fact.kind === "probe" && fact.healthy) return;
    const { pod, podUid, container = "" } = fact.subject;
    const key = pod ?? podUid;
    if (key === undefined) append(this.#nodeFacts(), fact, MAX_NODE_FACTS);
    else enter(this.#podFacts(key), container, fact);
  }

  /** What bears on a container of this pod, in order of `seq`. */
  of(pod: string, podUid: string, container: string): readonly FactAt[] {
    // The PLEG knows a pod by its UID alone when its sandbox is gone.
    const keys = pod === podUid ? [pod] : [pod, podUid];
    const facts = keys.flatMap((key) => {
      const found = this.#podFacts(key);
      return [...(found.get(container) ?? []), ...(found.get("") ?? [])];
    });
    return [...facts, ...this.#nodeFacts()].sort((a, b) => a.seq - b.seq);
  }

  /** The file is another one now. */
  forget(): void {
    this.#pods.clear();
    this.#node = undefined;
  }

  #nodeFacts(): FactAt[] {
    this.#node ??= this.#facts(this.#source.ofNode()).slice(-MAX_NODE_FACTS);
    return this.#node;
  }

  #podFacts(key: string): PodFacts {
    const known = this.#pods.get(key);
    const facts: PodFacts = known ?? new Map<string, FactAt[]>();
    if (known === undefined)
      for (const fact of this.#facts(this.#source.ofPod(key)))
        enter(facts, fact.subject.container ?? "", fact);
    // Pods that were heard of last stay.
    this.#pods.delete(key);
    this.#pods.set(key, facts);
    const oldest = this.#pods.keys().next().value;
    if (this.#pods.size > MAX_PODS && oldest !== undefined) this.#pods.delete(oldest);
    return facts;
  }

  #facts(events: readonly JournalEvent[]): FactAt[] {
    return events.toReversed().flatMap((event) => this.#read(event) ?? []);
  }
}

function enter(facts: PodFacts, container: string, fact: FactAt): void {
  const known = facts.get(container);
  if (known !== undefined) append(known, fact, MAX_FACTS);
  else if (facts.size < MAX_CONTAINERS) facts.set(container, [fact]);
}

function append(facts: FactAt[], fact: FactAt, most: number): void {
  if ((facts.at(-1)?.seq ?? 0) >= fact.seq) return;
  facts.push(fact);
  if (facts.length > most) facts.shift();
}
