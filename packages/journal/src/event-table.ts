// SPDX-License-Identifier: Apache-2.0

/**
 * The events in SQLite: writes batches, reads pages. Names and subjects are kept once; the memory of their numbers is a cache of what the file holds,
 * and is forgotten when a transaction fails or the file turns out to be another one.
 */
import type { Subject } from "@holdfast/bus";
import { decodeCauses, encodeCauses } from "./cause-code.ts";
import type { EventQuery, JournalEvent } from "./journal-event.ts";
import { InternedTexts } from "./interned.ts";
import { matchesType } from "./journal-event.ts";
import type { JournalDatabase, JournalStatement, SqlValue } from "./ports.ts";

/** An event whose payload is ready to be written. */
export interface EventRow {
  readonly event: JournalEvent;
  /** Redacted JSON; "" for none. */
  readonly json: string;
}

interface StoredRow {
  readonly seq: number;
  readonly at: number;
  readonly monotonic: number;
  readonly type: number;
  readonly subject: string;
  readonly causes: string;
  readonly data: string;
}

const COLUMNS = `event.seq AS seq, event.at AS at, event.monotonic AS monotonic, event.type AS type, s.text AS subject,
  event.causes AS causes, event.data AS data FROM event JOIN journal_subject s ON s.id = event.subject`;
const MAX_LIMIT = 10_000;
const DEFAULT_LIMIT = 100;
/** Rows of a segment at most: the grain of ages. */
const SEGMENT_ROWS = 1024;
const MAX_CACHED_TYPES = 1024;
const MAX_STATEMENTS = 64;
/** Rows that one slice of trimming removes: it blocks the event loop. */
const SLICE_ROWS = 256;
/** Segments trimmed between two sweeps of names. */
const SWEEP_EVERY = 16;

interface Segment {
  readonly first: number;
  readonly last: number;
  readonly rows: number;
  readonly minAt: number;
  readonly maxAt: number;
}

/** How much is written down. */
export interface EventExtent {
  readonly rows: number;
  /** Wall milliseconds of the newest event of the oldest segment; undefined for an empty journal. */
  readonly oldestAt: number | undefined;
  /** All there is is one segment. */
  readonly only: boolean;
}

/** The tables of events. Every method may throw what the store throws. */
export class EventTable {
  readonly #db: JournalDatabase;
  readonly #names: InternedTexts;
  readonly #subjects: InternedTexts;
  readonly #insert: JournalStatement;
  readonly #typeNames: JournalStatement<{ id: number; text: string }>;
  readonly #nameOf: JournalStatement<{ text: string }>;
  readonly #newest: JournalStatement<Segment>;
  readonly #oldest: JournalStatement<Segment>;
  readonly #putSegment: JournalStatement;
  readonly #dropSegment: JournalStatement;
  readonly #dropRows: JournalStatement;
  readonly #rows: JournalStatement<{ rows: number | null }>;
  readonly #firstSince: JournalStatement<{ seq: number | null }>;
  readonly #last: JournalStatement<{ last: number | null }>;
  readonly #one: JournalStatement<StoredRow>;
  readonly #queries = new Map<string, JournalStatement<StoredRow>>();
  readonly #types = new Map<number, string>();
  #trimmed = 0;

  constructor(db: JournalDatabase) {
    this.#db = db;
    this.#names = new InternedTexts(db, "journal_name");
    this.#subjects = new InternedTexts(
      db,
      "journal_subject",
      ["pod_uid", "container", "container_id"],
      (text) => {
        const { podUid = "", container = "", containerId = "" } = JSON.parse(text) as Subject;
        return [podUid, container, containerId];
      },
    );
    this.#insert = db.prepare(
      "INSERT OR REPLACE INTO event (seq, at, monotonic, type, subject, pod, image, causes, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    );
    this.#typeNames = db.prepare(
      "SELECT id, text FROM journal_name WHERE text NOT LIKE 'pod %' AND text NOT LIKE 'image %'",
    );
    this.#nameOf = db.prepare("SELECT text FROM journal_name WHERE id = ?");
    const segment = "SELECT first, last, rows, min_at AS minAt, max_at AS maxAt FROM segment ORDER BY first";
    this.#newest = db.prepare(`${segment} DESC LIMIT 1`);
    this.#oldest = db.prepare(`${segment} LIMIT 1`);
    this.#putSegment = db.prepare(
      "INSERT OR REPLACE INTO segment (first, last, rows, min_at, max_at) VALUES (?, ?, ?, ?, ?)",
    );
    this.#dropSegment = db.prepare("DELETE FROM segment WHERE first = ?");
    this.#dropRows = db.prepare(
      `DELETE FROM event WHERE seq IN (SELECT seq FROM event WHERE seq <= ? ORDER BY seq LIMIT ${SLICE_ROWS})`,
    );
    this.#rows = db.prepare("SELECT sum(rows) AS rows FROM segment");
    this.#firstSince = db.prepare("SELECT min(first) AS seq FROM segment WHERE max_at >= ?");
    this.#last = db.prepare("SELECT max(seq) AS last FROM event");
    this.#one = db.prepare(`SELECT ${COLUMNS} WHERE event.seq = ?`);
  }

  /** Forgets the numbers of names and subjects: they may not be in the file. */
  forgetCache(): void {
    this.#names.forget();
    this.#subjects.forget();
    this.#types.clear();
  }

  /** Writes rows in order of `seq`. To be called in a transaction. */
  append(rows: readonly EventRow[]): void {
    const [head] = rows;
    const tail = rows.at(-1);
    if (head === undefined || tail === undefined) return;
    const newest = this.#newest.get();
    const fits =
      newest !== undefined && newest.rows + rows.length <= SEGMENT_ROWS && newest.first <= head.event.seq;
    const first = fits ? newest.first : head.event.seq;
    for (const row of rows) this.#write(row, first);
    const times = rows.map(({ event }) => Math.round(event.at));
    this.#putSegment.run(
      first,
      tail.event.seq,
      rows.length + (fits ? newest.rows : 0),
      Math.min(...times, fits ? newest.minAt : Number.POSITIVE_INFINITY),
      Math.max(...times, fits ? newest.maxAt : Number.NEGATIVE_INFINITY),
    );
  }

  #write({ event, json }: EventRow, segment: number): void {
    const { seq, at, monotonic, subject, type, causes } = event;
    const pod = subject.pod ?? subject.podUid;
    this.#insert.run(
      seq,
      Math.round(at),
      Math.round(monotonic),
      this.#names.idOf(type, segment),
      this.#subjects.idOf(JSON.stringify(subject), segment),
      pod === undefined ? 0 : this.#names.idOf(`pod ${pod}`, segment),
      subject.image === undefined ? null : this.#names.idOf(`image ${subject.image}`, segment),
      encodeCauses(seq, causes),
      json,
    );
  }

  /** How much there is, and how old the oldest is. */
  extent(): EventExtent {
    const oldest = this.#oldest.get();
    return {
      rows: this.#rows.get()?.rows ?? 0,
      oldestAt: oldest?.maxAt,
      only: oldest?.first === this.#newest.get()?.first,
    };
  }

  /** Removes a slice of the oldest events. To be called in a transaction. */
  trimSlice(): number {
    const oldest = this.#oldest.get();
    if (oldest === undefined) return 0;
    const removed = this.#dropRows.run(oldest.last);
    if (removed < SLICE_ROWS) {
      this.#dropSegment.run(oldest.first);
      this.#trimmed += 1;
      if (this.#trimmed % SWEEP_EVERY === 0) this.#sweep();
    } else {
      const rows = Math.max(oldest.rows - removed, 0);
      this.#putSegment.run(oldest.first, oldest.last, rows, oldest.minAt, oldest.maxAt);
    }
    return removed;
  }

  #sweep(): void {
    const first = this.#oldest.get()?.first;
    if (first === undefined) return;
    this.#names.sweep(first);
    this.#subjects.sweep(first);
    this.#types.clear();
  }

  /** 0 for an empty journal. */
  lastSeq(): number {
    return this.#last.get()?.last ?? 0;
  }

  get(seq: number): JournalEvent | undefined {
    const row = this.#one.get(seq);
    return row === undefined ? undefined : this.#event(row);
  }

  /** One page, newest first. */
  query(query: EventQuery): readonly JournalEvent[] {
    const limit = Math.min(Math.max(Math.trunc(query.limit ?? DEFAULT_LIMIT), 1), MAX_LIMIT);
    const after = Math.max(query.after ?? 0, this.#seqSince(query.since) - 1);
    if (!Number.isFinite(after)) return [];
    const types = this.#typeIds(query.types);
    if (types?.length === 0) return [];
    const pod = query.pod === undefined ? undefined : this.#names.find(`pod ${query.pod}`);
    if (query.pod !== undefined && pod === undefined) return [];
    const scope: readonly (readonly [string, SqlValue])[] = pod === undefined ? [] : [["event.pod = ?", pod]];
    if (types === undefined || pod !== undefined) return this.#page(query, scope, types, after, limit);
    // Each type by its index, and the pages merged: one statement over all would sort everything.
    const pages = types.map((type) => this.#page(query, [["event.type = ?", type]], undefined, after, limit));
    return pages
      .flat()
      .sort((a, b) => b.seq - a.seq)
      .slice(0, limit);
  }

  /** Events that are about the node and no pod, newest first. */
  ofNode(limit: number): readonly JournalEvent[] {
    return this.#page({}, [["event.pod = ?", 0]], undefined, 0, limit);
  }

  /** Events about an image under any of its names, newest first. */
  ofImage(names: readonly string[], limit: number): readonly JournalEvent[] {
    const pages = names.flatMap((name) => {
      const id = this.#names.find(`image ${name}`);
      return id === undefined ? [] : [this.#page({}, [["event.image = ?", id]], undefined, 0, limit)];
    });
    const [only = []] = pages;
    if (pages.length < 2) return only;
    return pages
      .flat()
      .sort((a, b) => b.seq - a.seq)
      .slice(0, limit);
  }

  #page(
    query: EventQuery,
    scope: readonly (readonly [string, SqlValue])[],
    types: readonly number[] | undefined,
    after: number,
    limit: number,
  ): readonly JournalEvent[] {
    const where = [...scope];
    if (after > 0) where.push(["event.seq > ?", after]);
    if (query.before !== undefined) where.push(["event.seq < ?", query.before]);
    if (query.since !== undefined) where.push(["event.at >= ?", Math.round(query.since)]);
    if (query.podUid !== undefined) where.push(["s.pod_uid = ?", query.podUid]);
    if (query.container !== undefined) where.push(["s.container = ?", query.container]);
    const params = where.map(([, value]) => value);
    const clauses = where.map(([sql]) => sql);
    if (types !== undefined) {
      // The unary plus keeps the planner on the order of seq.
      clauses.push(`+event.type IN (${types.map(() => "?").join(", ")})`);
      params.push(...types);
    }
    const filter = clauses.length === 0 ? "" : `WHERE ${clauses.join(" AND ")}`;
    const sql = `SELECT ${COLUMNS} ${filter} ORDER BY event.seq DESC LIMIT ?`;
    return this.#statement(sql)
      .all(...params, limit)
      .map((row) => this.#event(row));
  }

  #statement(sql: string): JournalStatement<StoredRow> {
    const known = this.#queries.get(sql);
    if (known !== undefined) return known;
    const statement = this.#db.prepare<StoredRow>(sql);
    const oldest = this.#queries.keys().next().value;
    if (this.#queries.size >= MAX_STATEMENTS && oldest !== undefined) this.#queries.delete(oldest);
    this.#queries.set(sql, statement);
    return statement;
  }

  /** The first `seq` that can be of `since` or later; Infinity when none is. */
  #seqSince(since: number | undefined): number {
    if (since === undefined) return 1;
    return this.#firstSince.get(Math.round(since))?.seq ?? Number.POSITIVE_INFINITY;
  }

  #typeIds(patterns: readonly string[] | undefined): readonly number[] | undefined {
    if (patterns === undefined || patterns.length === 0) return undefined;
    const ids: number[] = [];
    for (const { id, text } of this.#typeNames.all()) if (matchesType(text, patterns)) ids.push(id);
    return ids;
  }

  #event(row: StoredRow): JournalEvent {
    return {
      seq: row.seq,
      at: row.at,
      monotonic: row.monotonic,
      type: this.#typeName(row.type),
      subject: JSON.parse(row.subject) as Subject,
      causes: decodeCauses(row.seq, row.causes),
      data: row.data === "" ? {} : (JSON.parse(row.data) as unknown),
    };
  }

  #typeName(id: number): string {
    const known = this.#types.get(id);
    if (known !== undefined) return known;
    const text = this.#nameOf.get(id)?.text ?? "";
    if (this.#types.size < MAX_CACHED_TYPES) this.#types.set(id, text);
    return text;
  }
}
