// SPDX-License-Identifier: Apache-2.0

/**
 * Where each name (of a pod, a type, an image) occurs, segment by segment. An index would write one page of the file for nearly each event; this is written
 * once for a segment, when it is full. The newest segment has none: its few rows are looked through.
 */
import type { JournalDatabase, JournalStatement } from "./ports.ts";

interface StoredPosting {
  readonly segment: number;
  /** A JSON array of distances from the segment's first number, in no certain order. */
  readonly places: string;
}

/** Which column of an event a name stands in. 0 in `pod`: the node. */
export type NameColumn = "pod" | "type" | "image";

const COLUMNS: readonly NameColumn[] = ["pod", "type", "image"];
/** Segments that one read takes. */
const CHUNK = 32;

/** The table. Every method may throw what the store throws. */
export class Postings {
  readonly #add: readonly JournalStatement[];
  readonly #drop: JournalStatement;
  readonly #read: JournalStatement<StoredPosting>;

  constructor(db: JournalDatabase) {
    this.#add = COLUMNS.map((column) =>
      db.prepare(
        `INSERT OR REPLACE INTO posting (name, segment, places)
         SELECT ${column}, ?, json_group_array(seq - CAST(? AS INTEGER)) FROM event
         WHERE seq BETWEEN ? AND ? AND ${column} IS NOT NULL GROUP BY ${column}`,
      ),
    );
    const named = COLUMNS.map((column) => `SELECT ${column} FROM event WHERE seq BETWEEN ? AND ?`);
    this.#drop = db.prepare(`DELETE FROM posting WHERE segment = ? AND name IN (${named.join(" UNION ")})`);
    this.#read = db.prepare(
      `SELECT segment, places FROM posting WHERE name = ? AND segment < ? ORDER BY segment DESC LIMIT ${CHUNK}`,
    );
  }

  /** Writes down what is in a segment that nothing is added to any more. */
  add(first: number, last: number): void {
    for (const statement of this.#add) statement.run(first, first, first, last);
  }

  /** Forgets a segment. To be called while its rows are there. */
  drop(first: number, last: number): void {
    this.#drop.run(first, ...COLUMNS.flatMap(() => [first, last]));
  }

  /** Numbers of the events with this name, newest first, a segment or more at a time; below `before` and above `after`. */
  *places(name: number, before: number, after: number): Generator<readonly number[]> {
    let below = before;
    for (;;) {
      const found = this.#read.all(name, below);
      for (const { segment, places } of found) {
        const numbers = (JSON.parse(places) as number[])
          .map((place) => segment + place)
          .filter((seq) => seq < before && seq > after);
        yield numbers.sort((a, b) => b - a);
        // Nothing of an older segment can be above it.
        if (segment <= after) return;
        below = segment;
      }
      if (found.length < CHUNK) return;
    }
  }
}
