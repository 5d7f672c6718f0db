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
const TRIM_EVERY = 256;

/** The table. Every method may throw what the store throws. */
export class LedgerTable {
  readonly #put: JournalStatement;
  readonly #byId: JournalStatement<StoredTermination>;
  readonly #anywhere: JournalStatement<StoredTermination>;
  readonly #all: JournalStatement<StoredTermination>;
  readonly #ofPod: JournalStatement<StoredTermination>;
  readonly #ofContainer: JournalStatement<StoredTermination>;
  readonly #trimContainer: JournalStatement;
  readonly #trimAll: JournalStatement;
  #puts = 0;

  constructor(db: JournalDatabase) {
    this.#put = db.prepare(
      "INSERT OR REPLACE INTO termination (seq, pod, container, container_id, entry) VALUES (?, ?, ?, ?, ?)",
    );
    this.#byId = db.prepare(
      "SELECT entry FROM termination WHERE pod IN (?, ?) AND container = ? AND container_id = ?",
    );
    this.#anywhere = db.prepare("SELECT entry FROM termination WHERE +container = ? AND container_id = ?");
    this.#all = db.prepare("SELECT entry FROM termination ORDER BY seq DESC LIMIT ?");
    this.#ofPod = db.prepare("SELECT entry FROM termination WHERE pod = ? ORDER BY seq DESC LIMIT ?");
    this.#ofContainer = db.prepare(
      "SELECT entry FROM termination WHERE pod = ? AND container = ? ORDER BY seq DESC LIMIT ?",
    );
    this.#trimContainer = db.prepare(
      `DELETE FROM termination WHERE seq IN
       (SELECT seq FROM termination WHERE pod = ? AND container = ? ORDER BY seq DESC LIMIT 64 OFFSET ?)`,
    );
    this.#trimAll = db.prepare(
      "DELETE FROM termination WHERE seq IN (SELECT seq FROM termination ORDER BY seq DESC LIMIT 64 OFFSET ?)",
    );
  }

  /** The end of a container; ids are never used twice. Its pod may have been known by its UID alone, or is now: then the whole index is looked through. */
  get({ pod, podUid, container, containerId }: LedgerKey): Termination | undefined {
    const found = read(this.#byId.get(pod, podUid, container, containerId));
    return found !== undefined || pod !== podUid ? found : read(this.#anywhere.get(container, containerId));
  }

  /** Writes a row, or a better version of it, and keeps the bounds. To be called in a transaction. */
  put(entry: Termination, perContainer: number, inAll: number): void {
    this.#put.run(entry.seq, entry.pod, entry.container, entry.containerId, JSON.stringify(entry));
    this.#trimContainer.run(entry.pod, entry.container, perContainer);
    // It walks all that is kept: not each time.
    if (this.#puts++ % TRIM_EVERY === 0) this.#trimAll.run(inAll);
  }

  /** Notes where the last lines are. */
  setLog(key: LedgerKey, log: LogPosition): void {
    const entry = this.get(key);
    if (entry === undefined) return;
    const { seq, pod, container, containerId } = entry;
    this.#put.run(seq, pod, container, containerId, JSON.stringify({ ...entry, log }));
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
