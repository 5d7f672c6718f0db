// SPDX-License-Identifier: Apache-2.0

import type { JournalDatabase, JournalStatement } from "./ports.ts";

const MAX_CACHED = 4096;
/** How far behind `last` may stand: what is met in each segment is not written in each. In numbers of events. */
const MARK_EVERY = 8192;

/**
 * A table of texts that are referred to by number. The memory is a cache of the file. Names are kept once; subjects, of which each container has its
 * own, once for as long as they are remembered: an index over them would cost more than a second row now and then.
 */
export class InternedTexts {
  readonly #insert: JournalStatement<{ id: number }>;
  readonly #find: JournalStatement<{ id: number }>;
  readonly #mark: JournalStatement;
  readonly #sweep: JournalStatement;
  readonly #cache = new Map<string, { readonly id: number; marked: number }>();

  constructor(db: JournalDatabase, table: "journal_name" | "journal_subject") {
    const known = table === "journal_name" ? "ON CONFLICT (text) DO UPDATE SET last = excluded.last" : "";
    this.#insert = db.prepare(`INSERT INTO ${table} (text, last) VALUES (?, ?) ${known} RETURNING id`);
    this.#find = db.prepare(`SELECT id FROM ${table} WHERE text = ?`);
    this.#mark = db.prepare(`UPDATE ${table} SET last = ? WHERE id = ?`);
    this.#sweep = db.prepare(`DELETE FROM ${table} WHERE last < ?`);
  }

  /** The number of `text`, made when there is none. `segment` is the first `seq` of the segment that is written. */
  idOf(text: string, segment: number): number {
    const known = this.#cache.get(text);
    if (known !== undefined) {
      if (segment - known.marked >= MARK_EVERY) {
        this.#mark.run(segment, known.id);
        known.marked = segment;
      }
      return known.id;
    }
    const id = this.#insert.get(text, segment)?.id ?? 0;
    const oldest = this.#cache.keys().next().value;
    if (this.#cache.size >= MAX_CACHED && oldest !== undefined) this.#cache.delete(oldest);
    this.#cache.set(text, { id, marked: segment });
    return id;
  }

  /** The number of a name that is known. */
  find(text: string): number | undefined {
    return this.#cache.get(text)?.id ?? this.#find.get(text)?.id;
  }

  /** Removes what no segment from `first` on has. */
  sweep(first: number): void {
    this.#sweep.run(first - MARK_EVERY);
    this.#cache.clear();
  }

  forget(): void {
    this.#cache.clear();
  }
}
