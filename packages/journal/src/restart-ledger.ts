// SPDX-License-Identifier: Apache-2.0

/**
 * Keeps the restart ledger up to date with the events.
 *
 * Owns: the ledger's rows and the list of ends that evidence may still come for (the kernel's record, the runtime's confirmation). Reads: events that are
 * written down already, and the runtime's records. Invariants: one row for each container id, also when its end is told again after a restart of the
 * agent; a row is a pure function of events and the runtime's record. Lost on a crash: evidence that comes later than the crash, for ends before it.
 */
import type { Clock } from "@holdfast/core/clock";
import { computeTermination } from "./compute-termination.ts";
import type { EventTable } from "./event-table.ts";
import type { FactAt, FactKind } from "./facts.ts";
import type { JournalEvent } from "./journal-event.ts";
import type { LedgerTable } from "./ledger-table.ts";
import type { RuntimeRecords } from "./ports.ts";
import { NODE_FACT_TYPES, readFact } from "./read-facts.ts";
import { RecentFacts } from "./recent-facts.ts";
import type { FactReader } from "./read-facts.ts";
import type { RuntimeEnd, Termination } from "./termination.ts";

/** What a {@link RestartLedger} is made of. */
export interface RestartLedgerParts {
  readonly clock: Pick<Clock, "monotonic">;
  readonly events: EventTable;
  readonly table: LedgerTable;
  readonly records: RuntimeRecords | undefined;
  readonly readers: ReadonlyMap<string, FactReader>;
  readonly perContainer: number;
  readonly inAll: number;
}

interface OpenEnd {
  readonly died: FactAt & { readonly kind: "died" };
  readonly podUid: string;
  readonly pod: string;
  readonly container: string;
  readonly containerId: string;
  readonly until: number;
  /** The runtime's word is in: its events say no more. */
  settled: boolean;
}

/** How long evidence may follow an end. */
const OPEN_MS = 30_000;
const MAX_OPEN = 256;
/** Events of the pod's name that are looked at for one end. */
const POD_EVENTS = 150;
const NODE_EVENTS = 32;
/** Facts that come after an end and change what is thought of it. */
const LATE_KINDS: ReadonlySet<FactKind> = new Set(["oom", "eviction", "deviceLost"]);
/** Events after which the runtime's record may say more. */
const LOOK_AGAIN: ReadonlySet<string> = new Set(["pleg/PodSync", "status/PodStatusChanged"]);

/** See the top of the file. */
export class RestartLedger {
  readonly #parts: RestartLedgerParts;
  readonly #facts: RecentFacts;
  readonly #open = new Map<string, OpenEnd>();
  /** Of the batch that is written now. */
  #begun: string[] = [];

  constructor(parts: RestartLedgerParts) {
    this.#parts = parts;
    const { events, readers } = parts;
    const source = {
      ofPod: (pod: string) => events.query({ pod, limit: POD_EVENTS }),
      ofNode: () => events.query({ types: NODE_FACT_TYPES, limit: NODE_EVENTS }),
    };
    this.#facts = new RecentFacts(source, (event) => readFact(event, readers));
  }

  /** Takes in a batch that was just written, in its transaction. Returns the rows that are new. */
  onBatch(batch: readonly JournalEvent[]): readonly Termination[] {
    this.#close();
    this.#begun = [];
    const fresh = new Set<string>();
    const again = new Set<string>();
    /** UIDs of pods of which the runtime's record may say more. */
    const looked = new Set<string>();
    for (const event of batch) {
      const fact = readFact(event, this.#parts.readers);
      if (fact !== undefined) this.#facts.add(fact);
      if (fact?.kind === "died" && this.#begin(event, fact)) fresh.add(event.subject.containerId ?? "");
      const isLate = fact !== undefined && LATE_KINDS.has(fact.kind);
      if (isLate) {
        for (const end of this.#open.values()) if (bearsOn(event, end)) again.add(end.containerId);
      } else if (LOOK_AGAIN.has(event.type)) looked.add(event.subject.podUid ?? "");
    }
    // Once for the batch: in a storm there are hundreds of both.
    for (const end of looked.size === 0 ? [] : this.#open.values())
      if (!end.settled && looked.has(end.podUid)) again.add(end.containerId);
    const rows: Termination[] = [];
    for (const containerId of new Set([...fresh, ...again])) {
      const end = this.#open.get(containerId);
      const row = end === undefined ? undefined : this.#write(end, fresh.has(containerId));
      if (row !== undefined && fresh.delete(containerId)) rows.push(row);
    }
    return rows;
  }

  /** The batch was not written after all: it will come again, perhaps into another file. */
  undo(): void {
    this.#facts.forget();
    for (const containerId of this.#begun) this.#open.delete(containerId);
    this.#begun = [];
  }

  /** Whether this is an end that is not written down yet. */
  #begin(event: JournalEvent, died: OpenEnd["died"]): boolean {
    const { podUid, pod, containerId, container } = event.subject;
    if (containerId === undefined || podUid === undefined || container === undefined) return false;
    if (this.#open.has(containerId)) return false;
    const until = this.#parts.clock.monotonic() + OPEN_MS;
    const end = { died, podUid, pod: pod ?? podUid, container, containerId, until, settled: false };
    if (this.#parts.table.get(end) !== undefined) return false;
    this.#open.set(containerId, end);
    this.#begun.push(containerId);
    const oldest = this.#open.keys().next().value;
    if (this.#open.size > MAX_OPEN && oldest !== undefined) this.#open.delete(oldest);
    return true;
  }

  #write(end: OpenEnd, isNew: boolean): Termination | undefined {
    const { table, perContainer, inAll } = this.#parts;
    const before = isNew ? undefined : table.get(end);
    const record = this.#record(end);
    end.settled = this.#parts.records === undefined || (record !== undefined && record.reason !== "");
    const row = computeTermination(
      { ...end, record, facts: this.#facts.of(end.pod, end.podUid, end.container) },
      before?.log,
    );
    if (before !== undefined && JSON.stringify(before) === JSON.stringify(row)) return undefined;
    table.put(row, perContainer, inAll);
    return row;
  }

  #record({ podUid, containerId }: OpenEnd): RuntimeEnd | undefined {
    const record = this.#parts.records?.get(podUid).status.containers.find(({ id }) => id === containerId);
    return record?.state === "exited" ? record : undefined;
  }

  #close(): void {
    const now = this.#parts.clock.monotonic();
    for (const [containerId, { until }] of this.#open) if (until <= now) this.#open.delete(containerId);
  }
}

/** Whether an event can say more about an end: of its pod, or of the node. */
function bearsOn({ subject, type }: JournalEvent, end: OpenEnd): boolean {
  if (subject.podUid !== undefined) return subject.podUid === end.podUid;
  return subject.pod === undefined && NODE_FACT_TYPES.includes(type);
}
