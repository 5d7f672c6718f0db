// SPDX-License-Identifier: Apache-2.0

/** The restart ledger in SQLite: one row for each end of a container, whole: it outlives the events that it was made from. */
import type { JournalDatabase, JournalStatement, LogPosition } from "./ports.ts";
import type { Termination } from "./termination.ts";

/** One end. */
export type LedgerKey = Pick<Termination, "pod" | "podUid" | "container" | "containerId">;

/** Which rows. */
export interface TerminationQuery {
  /** `namespace/name`; all pods when it is not given. */
  readonly pod?: string;
  readonly container?: string;
  /** Default 20, at most 1000. */
  readonly limit?: number;
}

interface StoredTermination {
  readonly entry: string;
}

const DEFAULT_LIMIT = 20;
const MAX_LIMIT = 1000;
/** Rows over the bound of the whole ledger before the oldest go, all at once. */
const SLACK = 64;
/** Containers whose ids are remembered. */
const MAX_CONTAINERS = 256;

/** Ids of a container's ends that are written down, to their `seq`; oldest first. */
type Ends = Map<string, number>;

/** The table; owns a memory of which ends are in it, which is a cache of the file. Every method may throw what the store throws. */
export class LedgerTable {
  readonly #put: JournalStatement;
  readonly #one: JournalStatement<StoredTermination>;
  readonly #idsOf: JournalStatement<{ seq: number; id: string }>;
  readonly #drop: JournalStatement;
  readonly #count: JournalStatement<{ rows: number }>;
  readonly #dropOldest: JournalStatement;
  readonly #anywhere: JournalStatement<StoredTermination>;
  readonly #all: JournalStatement<StoredTermination>;
  readonly #ofPod: JournalStatement<StoredTermination>;
  readonly #ofContainer: JournalStatement<StoredTermination>;
  readonly #known = new Map<string, Ends>();
  /** Undefined: not counted yet. */
  #rows: number | undefined;

  constructor(db: JournalDatabase) {
    this.#put = db.prepare(
      "INSERT OR REPLACE INTO termination (seq, pod, container, container_id, entry) VALUES (?, ?, ?, ?, ?)",
    );
    this.#one = db.prepare("SELECT entry FROM termination WHERE seq = ?");
    this.#idsOf = db.prepare(
      "SELECT seq, container_id AS id FROM termination WHERE pod IN (?, ?) AND container = ? ORDER BY seq",
    );
    this.#drop = db.prepare("DELETE FROM termination WHERE seq = ?");
    this.#count = db.prepare("SELECT count(*) AS rows FROM termination");
    this.#dropOldest = db.prepare(
      "DELETE FROM termination WHERE seq IN (SELECT seq FROM termination ORDER BY seq LIMIT ?)",
    );
    this.#anywhere = db.prepare("SELECT entry FROM termination WHERE +container = ? AND container_id = ?");
    this.#all = db.prepare("SELECT entry FROM termination ORDER BY seq DESC LIMIT ?");
    this.#ofPod = db.prepare("SELECT entry FROM termination WHERE pod = ? ORDER BY seq DESC LIMIT ?");
    this.#ofContainer = db.prepare(
      "SELECT entry FROM termination WHERE pod = ? AND container = ? ORDER BY seq DESC LIMIT ?",
    );
  }

  /** What is remembered may not be in the file. */
  forgetCache(): void {
    this.#known.clear();
    this.#rows = undefined;
  }

  /** The end of a container; ids are never used twice. Its pod may have been known by its UID alone, or is now: then all rows are looked through. */
  get(key: LedgerKey): Termination | undefined {
    const seq = this.#ends(key).get(key.containerId);
    if (seq !== undefined) return read(this.#one.get(seq));
    return key.pod === key.podUid ? read(this.#anywhere.get(key.container, key.containerId)) : undefined;
  }

  /** Writes a row, or a better version of it, and keeps the bounds. To be called in a transaction. */
  put(entry: Termination, perContainer: number, inAll: number): void {
    const { seq, pod, podUid, containerId } = entry;
    const ends = this.#ends(entry);
    const rows = (this.#rows ??= this.#count.get()?.rows ?? 0);
    this.#write(entry);
    // The same row again keeps its place.
    if (ends.get(containerId) === seq) return;
    ends.set(containerId, seq);
    const surplus = [...ends].slice(0, Math.max(ends.size - perContainer, 0));
    for (const [id, old] of surplus) {
      ends.delete(id);
      this.#drop.run(old);
    }
    this.#rows = rows + 1 - surplus.length;
    if (this.#rows > inAll + SLACK) this.#dropOldest.run(this.#rows - inAll);
    // Its pod's name, once it is known, stands for the same ends.
    else if (pod !== podUid) return;
    this.forgetCache();
  }

  /** Notes where the last lines are. */
  setLog(key: LedgerKey, log: LogPosition): void {
    const entry = this.get(key);
    if (entry !== undefined) this.#write({ ...entry, log });
  }

  #write(entry: Termination): void {
    const { seq, pod, container, containerId } = entry;
    this.#put.run(seq, pod, container, containerId, JSON.stringify(entry));
  }

  #ends({ pod, podUid, container }: LedgerKey): Ends {
    const key = `${pod}\0${container}`;
    const known = this.#known.get(key);
    const ends: Ends =
      known ?? new Map(this.#idsOf.all(pod, podUid, container).map(({ seq, id }) => [id, seq]));
    // Containers that ended last stay.
    this.#known.delete(key);
    this.#known.set(key, ends);
    const oldest = this.#known.keys().next().value;
    if (this.#known.size > MAX_CONTAINERS && oldest !== undefined) this.#known.delete(oldest);
    return ends;
  }

  /** Newest first. */
  query({ pod, container, limit = DEFAULT_LIMIT }: TerminationQuery): readonly Termination[] {
    const count = Math.min(Math.max(Math.trunc(limit), 1), MAX_LIMIT);
    const rows =
      pod === undefined
        ? this.#all.all(count)
        : container === undefined
          ? this.#ofPod.all(pod, count)
          : this.#ofContainer.all(pod, container, count);
    return rows.flatMap((row) => read(row) ?? []);
  }
}

function read(row: StoredTermination | undefined): Termination | undefined {
  return row === undefined ? undefined : (JSON.parse(row.entry) as Termination);
}
