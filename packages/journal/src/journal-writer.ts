// SPDX-License-Identifier: Apache-2.0

/**
 * Writes batches: events, the ledger's rows that follow from them, and what has to be trimmed, each batch in one transaction.
 *
 * Owns: the tables' caches, and the epoch by which a fresh file is known. Invariants: a batch is written whole or not at all; a file that was replaced is
 * noticed within the same transaction. Lost on a crash: nothing that was committed (with SQLite's `synchronous = NORMAL`, a power failure excepted).
 */
import type { Clock } from "@holdfast/core/clock";
import { computeTrim } from "./compute-trim.ts";
import type { JournalExtent, JournalLimits } from "./compute-trim.ts";
import type { EventRow, EventTable } from "./event-table.ts";
import type { JournalDatabase, JournalStatement, LogPosition } from "./ports.ts";
import type { LedgerTable } from "./ledger-table.ts";
import type { RestartLedger } from "./restart-ledger.ts";
import type { Termination } from "./termination.ts";

/** What a {@link JournalWriter} is made of. */
export interface JournalWriterParts {
  readonly database: JournalDatabase;
  readonly clock: Pick<Clock, "now">;
  readonly events: EventTable;
  readonly terminations: LedgerTable;
  readonly ledger: RestartLedger;
  readonly limits: JournalLimits;
  readonly bootId: string;
}

/** What one batch led to. */
export interface WriteResult {
  /** New rows of the ledger. */
  readonly ended: readonly Termination[];
  readonly trimmed: number;
}

/** Batches between two looks at the bounds. */
const LOOK_EVERY = 16;
/** Segments that are trimmed in one batch at most: it must keep up with what comes in, and stall nobody. */
const MAX_SLICES = 2;

/** See the top of the file. */
export class JournalWriter {
  readonly #parts: JournalWriterParts;
  readonly #getMeta: JournalStatement<{ value: string }>;
  readonly #putMeta: JournalStatement;
  readonly #pageCount: JournalStatement<{ page_count: number }>;
  readonly #freePages: JournalStatement<{ freelist_count: number }>;
  readonly #pageSize: JournalStatement<{ page_size: number }>;
  #epoch: string | undefined;
  #batches = 0;
  #over = false;

  constructor(parts: JournalWriterParts) {
    this.#parts = parts;
    const { database } = parts;
    this.#getMeta = database.prepare("SELECT value FROM journal_meta WHERE key = ?");
    this.#putMeta = database.prepare("INSERT OR REPLACE INTO journal_meta (key, value) VALUES (?, ?)");
    this.#pageCount = database.prepare("PRAGMA page_count");
    this.#freePages = database.prepare("PRAGMA freelist_count");
    this.#pageSize = database.prepare("PRAGMA page_size");
  }

  /** The boot id that the last run wrote. */
  previousBootId(): string | undefined {
    return this.#getMeta.get("boot_id")?.value;
  }

  /** Writes a batch in order of `seq`. Throws what the store throws; nothing of the batch is kept then. */
  write(rows: readonly EventRow[]): WriteResult {
    const { database, events, ledger } = this.#parts;
    try {
      return database.transaction(() => {
        this.#noticeFreshFile();
        events.append(rows);
        const ended = ledger.onBatch(rows.map(({ event }) => event));
        return { ended, trimmed: this.#trim() };
      });
    } catch (error) {
      this.#forget();
      throw error;
    }
  }

  /** Notes where the last lines of ended containers are. */
  setLogs(found: readonly { readonly end: Termination; readonly log: LogPosition }[]): void {
    const { database, terminations } = this.#parts;
    if (found.length === 0) return;
    database.transaction(() => {
      for (const { end, log } of found) terminations.setLog(end, log);
    });
  }

  /** How much there is. */
  extent(): JournalExtent {
    const pages = (this.#pageCount.get()?.page_count ?? 0) - (this.#freePages.get()?.freelist_count ?? 0);
    return { ...this.#parts.events.extent(), bytes: pages * (this.#pageSize.get()?.page_size ?? 0) };
  }

  /** A fresh file has no epoch, or another one: numbers that are remembered are not in it. */
  #noticeFreshFile(): void {
    const { clock, bootId } = this.#parts;
    const found = this.#getMeta.get("epoch")?.value;
    if (found !== undefined && found === this.#epoch) return;
    if (this.#epoch !== undefined) this.#forget();
    this.#epoch = found ?? String(clock.now());
    if (found === undefined) this.#putMeta.run("epoch", this.#epoch);
    this.#putMeta.run("boot_id", bootId);
  }

  /** What is remembered of the file may not be in it. */
  #forget(): void {
    const { events, ledger, terminations } = this.#parts;
    events.forgetCache();
    terminations.forgetCache();
    ledger.undo();
  }

  #trim(): number {
    if (!this.#over && this.#batches++ % LOOK_EVERY !== 0) return 0;
    const { clock, events, limits } = this.#parts;
    let removed = 0;
    for (let slice = 0; slice < MAX_SLICES; slice++) {
      this.#over = computeTrim(this.extent(), limits, clock.now()) !== undefined;
      if (!this.#over) break;
      removed += events.trimSlice();
    }
    return removed;
  }
}
