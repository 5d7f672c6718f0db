// SPDX-License-Identifier: Apache-2.0

/** Questions to the journal. Each reads a bounded number of rows by an index. Throws what the store throws. */
import { aggregateKubeEvents } from "./event-correlator.ts";
import type { EventTable } from "./event-table.ts";
import type { EventQuery, JournalEvent } from "./journal-event.ts";
import { imageNames } from "./image-names.ts";
import { computeKubeEvent } from "./kube-event.ts";
import type { KubeEvent } from "./kube-event.ts";
import type { LedgerTable, TerminationQuery } from "./ledger-table.ts";
import type { JournalDatabase, JournalStatement } from "./ports.ts";
import type { FactReader } from "./read-facts.ts";
import type { Story } from "./story.ts";
import { tellImage, tellNode } from "./tell-node.ts";
import { MAX_TOLD, tellPod } from "./tell-pod.ts";
import type { Termination } from "./termination.ts";

/** What a {@link JournalReader} is made of. */
export interface JournalReaderParts {
  readonly database: JournalDatabase;
  readonly events: EventTable;
  readonly terminations: LedgerTable;
  readonly readers: ReadonlyMap<string, FactReader>;
  readonly nodeName: string;
}

/** Events that one story is made from. */
const STORY_EVENTS = 500;
const KUBE_EVENTS = 2000;
const MAX_NAMES = 20;

/** See the top of the file. */
export class JournalReader {
  readonly #parts: JournalReaderParts;
  readonly #pods: JournalStatement<{ text: string }>;

  constructor(parts: JournalReaderParts) {
    this.#parts = parts;
    this.#pods = parts.database.prepare(
      `SELECT text FROM journal_name WHERE text LIKE 'pod %' AND substr(text, -length(?)) = ? ORDER BY last DESC, id DESC LIMIT ${MAX_NAMES}`,
    );
  }

  lastSeq(): number {
    return this.#parts.events.lastSeq();
  }
  event(seq: number): JournalEvent | undefined {
    return this.#parts.events.get(seq);
  }
  events(query: EventQuery): readonly JournalEvent[] {
    return this.#parts.events.query(query);
  }
  terminations(query: TerminationQuery): readonly Termination[] {
    return this.#parts.terminations.query(query);
  }

  kubeEvents(query: EventQuery): readonly KubeEvent[] {
    const { events, nodeName } = this.#parts;
    const found = events.query({ ...query, limit: query.limit ?? KUBE_EVENTS });
    const history = found.flatMap((event) => computeKubeEvent(event, nodeName) ?? []);
    return aggregateKubeEvents(history.toReversed(), nodeName);
  }

  whyPod(pod: string, container: string | undefined): Story | undefined {
    const { events, terminations } = this.#parts;
    const which = { pod, ...(container === undefined ? {} : { container }) };
    return tellPod({
      pod,
      container,
      terminations: terminations.query({ ...which, limit: MAX_TOLD }),
      events: events.query({ ...which, limit: STORY_EVENTS }),
    });
  }

  whyNode(): Story {
    return tellNode(this.#parts.events.ofNode(STORY_EVENTS));
  }

  whyImage(image: string): Story {
    return tellImage(image, this.#parts.events.ofImage(imageNames(image), STORY_EVENTS));
  }

  /** `namespace/name` of pods whose name is `name`, those that were heard of last first. */
  podsNamed(name: string): readonly string[] {
    const ending = name.includes("/") ? ` ${name}` : `/${name}`;
    const { events } = this.#parts;
    return this.#pods
      .all(ending, ending)
      .map(({ text }) => text.slice("pod ".length))
      .map((pod) => ({ pod, last: events.query({ pod, limit: 1 })[0]?.seq ?? 0 }))
      .toSorted((a, b) => b.last - a.last)
      .map(({ pod }) => pod);
  }
}
