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
import { Postings } from "./postings.ts";
import type { NameColumn } from "./postings.ts";

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
/** Rows that one statement writes: a call costs as much as a row. */
const TOGETHER = 16;
/** Rows that are removed at once when all there is is one segment. */
const SLICE_ROWS = 256;
/** Rows that are fetched by their numbers in one statement at least. */
const MIN_FETCH = 32;
/** And at most, but for a segment. */
const MAX_FETCH = 1024;
/** Segments trimmed between two sweeps of names. */
const SWEEP_EVERY = 16;

/** Events that have one name. */
interface Named {
  readonly column: NameColumn;
  readonly id: number;
}

/** A condition in SQL and what its marks stand for; "" for none. */
interface Condition {
  readonly is: string;
  readonly values: readonly SqlValue[];
}

/** Numbers of events, neither included. */
interface Range {
  readonly after: number;
  readonly before: number | undefined;
}

const ALL: Condition = { is: "", values: [] };
const NO_RANGE: Range = { after: 0, before: undefined };

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
  readonly #postings: Postings;
  readonly #insert: JournalStatement;
  readonly #insertMany: JournalStatement;
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
    this.#subjects = new InternedTexts(db, "journal_subject");
    this.#postings = new Postings(db);
    const insert =
      "INSERT OR REPLACE INTO event (seq, at, monotonic, type, subject, pod, image, causes, data) VALUES ";
    const row = "(?, ?, ?, ?, ?, ?, ?, ?, ?)";
    this.#insert = db.prepare(insert + row);
    this.#insertMany = db.prepare(insert + Array<string>(TOGETHER).fill(row).join(", "));
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
      "DELETE FROM event WHERE seq IN (SELECT seq FROM event WHERE seq <= ? ORDER BY seq LIMIT ?)",
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
    const newest = this.#newest.get();
    const isLate = ({ event }: EventRow): boolean => newest !== undefined && event.seq < newest.first;
    // One event may have been on its way while a reader's flush took those behind it. It is a segment of its own, in its place, and done with.
    const late = rows.filter(isLate);
    if (late.length > 0) {
      const { first, last } = this.#appendTo(undefined, late);
      this.#postings.add(first, last);
    }
    const others = late.length === 0 ? rows : rows.filter((row) => !isLate(row));
    if (others.length === 0) return;
    const fits = newest !== undefined && newest.rows + others.length <= SEGMENT_ROWS;
    if (newest !== undefined && !fits) this.#postings.add(newest.first, newest.last);
    this.#appendTo(fits ? newest : undefined, others);
  }

  /** Adds rows to a segment, or makes one of them. */
  #appendTo(segment: Segment | undefined, rows: readonly EventRow[]): Segment {
    const first = segment?.first ?? rows[0]?.event.seq ?? 0;
    for (let from = 0; from < rows.length;) {
      const count = rows.length - from >= TOGETHER ? TOGETHER : 1;
      const values = rows.slice(from, from + count).flatMap((row) => this.#values(row, first));
      (count === 1 ? this.#insert : this.#insertMany).run(...values);
      from += count;
    }
    const times = rows.map(({ event }) => Math.round(event.at));
    const extended: Segment = {
      first,
      last: Math.max(rows.at(-1)?.event.seq ?? first, segment?.last ?? first),
      rows: rows.length + (segment?.rows ?? 0),
      minAt: Math.min(...times, segment?.minAt ?? Number.POSITIVE_INFINITY),
      maxAt: Math.max(...times, segment?.maxAt ?? Number.NEGATIVE_INFINITY),
    };
    this.#put(extended);
    return extended;
  }

  #put({ first, last, rows, minAt, maxAt }: Segment): void {
    this.#putSegment.run(first, last, rows, minAt, maxAt);
  }

  #values({ event, json }: EventRow, segment: number): SqlValue[] {
    const { seq, at, monotonic, subject, type, causes } = event;
    const pod = subject.pod ?? subject.podUid;
    return [
      seq,
      Math.round(at),
      Math.round(monotonic),
      this.#names.idOf(type, segment),
      this.#subjects.idOf(JSON.stringify(subject), segment),
      pod === undefined ? 0 : this.#names.idOf(`pod ${pod}`, segment),
      subject.image === undefined ? null : this.#names.idOf(`image ${subject.image}`, segment),
      encodeCauses(seq, causes),
      json,
    ];
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

  /** Removes the oldest segment; a slice of it when it is the only one. To be called in a transaction. */
  trimSlice(): number {
    const oldest = this.#oldest.get();
    if (oldest === undefined) return 0;
    const { first, last } = oldest;
    if (first === this.#newest.get()?.first) {
      const some = this.#dropRows.run(last, SLICE_ROWS);
      this.#put({ ...oldest, rows: Math.max(oldest.rows - some, 0) });
      return some;
    }
    this.#postings.drop(first, last);
    const removed = this.#dropRows.run(last, -1);
    this.#dropSegment.run(first);
    this.#trimmed += 1;
    if (this.#trimmed % SWEEP_EVERY === 0) this.#sweep();
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
    if (pod !== undefined) return this.#named(query, { column: "pod", id: pod }, types, after, limit);
    if (types === undefined) return this.#page(query, ALL, { after, before: query.before }, limit);
    return merged(
      types.map((id) => this.#named(query, { column: "type", id }, undefined, after, limit)),
      limit,
    );
  }

  /** Events that are about the node and no pod, newest first. */
  ofNode(limit: number): readonly JournalEvent[] {
    return this.#named({}, { column: "pod", id: 0 }, undefined, 0, limit);
  }

  /** Events about an image under any of its names, newest first. */
  ofImage(names: readonly string[], limit: number): readonly JournalEvent[] {
    const pages = names.flatMap((name) => {
      const id = this.#names.find(`image ${name}`);
      return id === undefined ? [] : [this.#named({}, { column: "image", id }, undefined, 0, limit)];
    });
    return merged(pages, limit);
  }

  /** Events with one name: those of the newest segment are looked through, the others' places are known. */
  #named(
    query: EventQuery,
    { column, id }: Named,
    types: readonly number[] | undefined,
    after: number,
    limit: number,
  ): readonly JournalEvent[] {
    const newest = this.#newest.get();
    if (newest === undefined) return [];
    // The unary plus keeps the planner on the order of seq.
    const own = types === undefined ? "" : ` AND +event.type IN (${types.map(() => "?").join(", ")})`;
    const is = `event.${column} = ?${own}`;
    const values = [id, ...(types ?? [])];
    const range = { after: Math.max(after, newest.first - 1), before: query.before };
    const events = [...this.#page(query, { is, values }, range, limit)];
    let wanted: number[] = [];
    const fetch = (): void => {
      const listed = {
        is: `event.seq IN (SELECT value FROM json_each(?)) AND ${is}`,
        values: [JSON.stringify(wanted), ...values],
      };
      events.push(...this.#page(query, listed, NO_RANGE, limit - events.length));
      wanted = [];
    };
    const before = Math.min(query.before ?? Number.POSITIVE_INFINITY, newest.first);
    for (const seqs of this.#postings.places(id, before, after)) {
      wanted.push(...seqs);
      if (events.length + wanted.length < limit && wanted.length < MAX_FETCH) continue;
      if (wanted.length >= MIN_FETCH) fetch();
      if (events.length >= limit) return events;
    }
    if (wanted.length > 0 && events.length < limit) fetch();
    return events;
  }

  /** Rows for which `is` holds and the query's own conditions, newest first. */
  #page(query: EventQuery, { is, values }: Condition, range: Range, limit: number): readonly JournalEvent[] {
    const where: (readonly [string, SqlValue])[] = [];
    if (range.after > 0) where.push(["event.seq > ?", range.after]);
    if (range.before !== undefined) where.push(["event.seq < ?", range.before]);
    if (query.since !== undefined) where.push(["event.at >= ?", Math.round(query.since)]);
    if (query.podUid !== undefined) where.push(["s.text ->> 'podUid' = ?", query.podUid]);
    if (query.container !== undefined) where.push(["s.text ->> 'container' = ?", query.container]);
    const clauses = [...(is === "" ? [] : [is]), ...where.map(([sql]) => sql)];
    const filter = clauses.length === 0 ? "" : `WHERE ${clauses.join(" AND ")}`;
    const sql = `SELECT ${COLUMNS} ${filter} ORDER BY event.seq DESC LIMIT ?`;
    const subjects = new Map<string, Subject>();
    return this.#statement(sql)
      .all(...values, ...where.map(([, value]) => value), limit)
      .map((row) => this.#event(row, subjects));
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

  /** `subjects`: those that were read already; most events of a page share a few. */
  #event(row: StoredRow, subjects: Map<string, Subject> = new Map()): JournalEvent {
    const subject = subjects.get(row.subject) ?? (JSON.parse(row.subject) as Subject);
    subjects.set(row.subject, subject);
    return {
      seq: row.seq,
      at: row.at,
      monotonic: row.monotonic,
      type: this.#typeName(row.type),
      subject,
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

/** Pages of different names as one, newest first. */
function merged(pages: readonly (readonly JournalEvent[])[], limit: number): readonly JournalEvent[] {
  const [only = []] = pages;
  if (pages.length < 2) return only;
  return pages
    .flat()
    .sort((a, b) => b.seq - a.seq)
    .slice(0, limit);
}
