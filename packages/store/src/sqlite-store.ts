// SPDX-License-Identifier: Apache-2.0

/**
 * The store over one SQLite file. It owns the connection, its prepared statements, and what happens when the file turns out to be damaged.
 *
 * Invariants: errors leave this file typed; a damaged file is set aside before anybody sees the error, and the call is made once more on a fresh
 * one; a statement of an older connection is prepared again by itself. Lost on a crash: with `full` nothing that `set` or `transaction` returned
 * from; with `disposable` what a power failure finds not yet written.
 */
import type { Statement as NativeStatement } from "better-sqlite3";
import type { Clock } from "@holdfast/core/clock";
import { errorText, HoldfastError } from "@holdfast/core/errors";
import type { Logger } from "@holdfast/core/log";
import { openConnection } from "./connection.ts";
import type { Connection, ConnectionOptions } from "./connection.ts";
import { LogFlusher } from "./log-flusher.ts";
import { migrate } from "./migrations.ts";
import type { Migration } from "./migrations.ts";
import { KEPT_SET_ASIDE, setAside } from "./set-aside.ts";
import { isCorruption, sqliteErrorFrom, storeErrorFrom, StoreErrorCode } from "./sqlite-errors.ts";
import type { Checkpoint, SqlValue, Statement, Store, StoreHealth } from "./store.ts";

/** A checkpoint is a small thing; whoever writes more has made a mistake. */
const MAX_VALUE_LENGTH = 1 << 20;
/** How many statements `run` and `all` remember by their text. */
const STATEMENT_CACHE = 64;

type Mode = "run" | "get" | "all";

/** What the store is made of: resolved options. */
export interface SqliteStoreParts {
  readonly connection: ConnectionOptions;
  readonly migrations: readonly Migration[];
  readonly clock: Pick<Clock, "now" | "timer">;
  readonly logger: Logger;
  /** Brought to the disk a second later. */
  readonly flushSoon: boolean;
}

/** A statement that knows its text, so that it can be prepared again on a fresh connection. */
class PreparedStatement<Row> implements Statement<Row> {
  readonly #store: SqliteStore;
  readonly #sql: string;
  #native: NativeStatement<unknown[]> | undefined;
  #connection: Connection | undefined;

  constructor(store: SqliteStore, sql: string) {
    this.#store = store;
    this.#sql = sql;
  }

  run(...params: SqlValue[]): number {
    return this.#store.execute(this, "run", params) as number;
  }
  get(...params: SqlValue[]): Row | undefined {
    return this.#store.execute(this, "get", params) as Row | undefined;
  }
  all(...params: SqlValue[]): Row[] {
    return this.#store.execute(this, "all", params) as Row[];
  }

  call(connection: Connection, mode: Mode, params: SqlValue[]): unknown {
    let native = this.#native;
    if (native === undefined || this.#connection !== connection) {
      native = connection.prepare<unknown[]>(this.#sql);
      this.#native = native;
      this.#connection = connection;
    }
    if (mode === "get") return native.get(...params);
    if (mode === "all") return native.all(...params);
    return native.run(...params).changes;
  }
}

/** See {@link Store}. Made by `openStore`. */
export class SqliteStore implements Store {
  readonly #parts: SqliteStoreParts;
  readonly #cache = new Map<string, PreparedStatement<unknown>>();
  readonly #get: Statement<{ value: string }>;
  readonly #set: Statement;
  readonly #delete: Statement;
  readonly #entries: Statement<{ key: string; value: string }>;
  readonly #entriesFrom: Statement<{ key: string; value: string }>;
  readonly #begin: PreparedStatement<unknown>;
  readonly #commit: PreparedStatement<unknown>;
  readonly #setAside: string[] = [];
  #path: string;
  #connection: Connection;
  #flusher: LogFlusher | undefined;
  #closed = false;
  #inTransaction = false;
  /** What SQLite rolled the transaction back for: what follows in the same work must not be written by itself. */
  #rolledBackBy: unknown;
  #writeProblem: string | undefined;
  #memoryProblem: string | undefined;

  /** Opens the file. With `memoryFallback`, whatever is wrong with the disk leaves a store that lives in memory. */
  constructor(parts: SqliteStoreParts, memoryFallback: boolean) {
    this.#parts = parts;
    this.#path = parts.connection.path;
    this.#get = new PreparedStatement(this, "SELECT value FROM checkpoint WHERE namespace = ? AND key = ?");
    this.#set = new PreparedStatement(
      this,
      `INSERT INTO checkpoint (namespace, key, value) VALUES (?, ?, ?)
       ON CONFLICT (namespace, key) DO UPDATE SET value = excluded.value`,
    );
    this.#delete = new PreparedStatement(this, "DELETE FROM checkpoint WHERE namespace = ? AND key = ?");
    this.#entries = new PreparedStatement(
      this,
      "SELECT key, value FROM checkpoint WHERE namespace = ? ORDER BY key",
    );
    this.#entriesFrom = new PreparedStatement(
      this,
      `SELECT key, value FROM checkpoint WHERE namespace = ? AND key >= ? AND key <= ? || char(1114111, 1114111)
       AND substr(key, 1, length(?)) = ? ORDER BY key`,
    );
    this.#begin = new PreparedStatement(this, "BEGIN IMMEDIATE");
    this.#commit = new PreparedStatement(this, "COMMIT");
    this.#connection = this.#openFirst(memoryFallback);
    if (parts.flushSoon && this.#path !== ":memory:")
      this.#flusher = new LogFlusher(`${this.#path}-wal`, parts.clock, parts.logger);
  }

  get(namespace: string, key: string): string | undefined {
    return this.#get.get(namespace, key)?.value;
  }

  set(namespace: string, key: string, value: string): void {
    if (value.length > MAX_VALUE_LENGTH) {
      throw new HoldfastError(
        StoreErrorCode.tooLarge,
        "bad-input",
        `value of ${namespace}/${key} has ${value.length} characters, ${MAX_VALUE_LENGTH} at most`,
      );
    }
    this.#set.run(namespace, key, value);
  }

  delete(namespace: string, key: string): void {
    this.#delete.run(namespace, key);
  }

  entries(namespace: string, prefix: string = ""): readonly (readonly [string, string])[] {
    const rows =
      prefix === ""
        ? this.#entries.all(namespace)
        : this.#entriesFrom.all(namespace, prefix, prefix, prefix, prefix);
    return rows.map((row) => [row.key, row.value] as const);
  }

  checkpoint(namespace: string): Checkpoint {
    return {
      get: (key) => this.get(namespace, key),
      set: (key, value) => this.set(namespace, key, value),
      delete: (key) => this.delete(namespace, key),
      entries: (prefix) => this.entries(namespace, prefix),
    };
  }

  prepare<Row = unknown>(sql: string): Statement<Row> {
    return new PreparedStatement<Row>(this, sql);
  }

  run(sql: string, ...params: SqlValue[]): number {
    return this.#cached(sql).run(...params);
  }

  all<Row = unknown>(sql: string, ...params: SqlValue[]): Row[] {
    return this.#cached(sql).all(...params) as Row[];
  }

  transaction<T>(work: () => T): T {
    this.#requireOpen();
    if (this.#inTransaction) return work();
    try {
      return this.#transact(work);
    } catch (error) {
      this.#replaceOrThrow(error);
      return this.#transact(work);
    }
  }

  health(): StoreHealth {
    const failures = [this.#memoryProblem, this.#writeProblem].filter((text) => text !== undefined);
    return { failures, setAside: [...this.#setAside], memoryOnly: this.#memoryProblem !== undefined };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#flusher?.close();
    try {
      this.#connection.close();
    } catch (err) {
      // A log that could not be written back is replayed at the next start.
      this.#parts.logger.warn("store did not close cleanly", { path: this.#path, err });
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Runs one statement; for {@link PreparedStatement} only. */
  execute(statement: PreparedStatement<unknown>, mode: Mode, params: SqlValue[]): unknown {
    this.#requireOpen();
    try {
      return this.#executeOnce(statement, mode, params);
    } catch (error) {
      // Within a transaction the whole of it has to be made again, not this statement.
      if (this.#inTransaction) throw error;
      this.#replaceOrThrow(error);
      return this.#executeOnce(statement, mode, params);
    }
  }

  #executeOnce(statement: PreparedStatement<unknown>, mode: Mode, params: SqlValue[]): unknown {
    if (this.#rolledBackBy !== undefined) throw this.#rolledBackBy;
    try {
      const result = statement.call(this.#live(), mode, params);
      if (mode === "run" && !this.#inTransaction) this.#written();
      return result;
    } catch (cause) {
      const error = sqliteErrorFrom(cause, this.#path, mode === "run" ? "writing" : "reading");
      if (mode === "run") this.#noteWriteProblem(error);
      if (this.#inTransaction && !this.#connection.inTransaction) this.#rolledBackBy = error;
      throw error;
    }
  }

  /** The connection; opened again when replacing a damaged file had not got that far. */
  #live(): Connection {
    if (!this.#connection.open) this.#connection = this.#open(this.#path);
    return this.#connection;
  }

  #transact<T>(work: () => T): T {
    try {
      this.#begin.call(this.#live(), "run", []);
      this.#inTransaction = true;
      const result = work();
      if (this.#rolledBackBy !== undefined) throw this.#rolledBackBy;
      if (result instanceof Promise) throw new TypeError("a transaction's work must be synchronous");
      this.#commit.call(this.#connection, "run", []);
      this.#written();
      return result;
    } catch (cause) {
      this.#rollBack();
      const error = sqliteErrorFrom(cause, this.#path, "writing");
      this.#noteWriteProblem(error);
      throw error;
    } finally {
      this.#inTransaction = false;
      this.#rolledBackBy = undefined;
    }
  }

  #written(): void {
    this.#writeProblem = undefined;
    this.#flusher?.written();
  }

  #rollBack(): void {
    try {
      // SQLite has rolled back by itself after some errors, a full disk among them.
      if (this.#connection.inTransaction) this.#connection.exec("ROLLBACK");
    } catch (err) {
      this.#parts.logger.debug("rollback failed", { path: this.#path, err });
    }
  }

  #cached(sql: string): PreparedStatement<unknown> {
    const known = this.#cache.get(sql);
    if (known !== undefined) return known;
    const statement = new PreparedStatement<unknown>(this, sql);
    const oldest = this.#cache.keys().next().value;
    if (this.#cache.size >= STATEMENT_CACHE && oldest !== undefined) this.#cache.delete(oldest);
    this.#cache.set(sql, statement);
    return statement;
  }

  #requireOpen(): void {
    if (this.#closed)
      throw new HoldfastError(StoreErrorCode.closed, "permanent", `store ${this.#path} is closed`);
  }

  #noteWriteProblem(error: unknown): void {
    if (HoldfastError.is(error) && error.kind === "retryable" && !isCorruption(error))
      this.#writeProblem = errorText(error);
  }

  #openFirst(memoryFallback: boolean): Connection {
    try {
      try {
        return this.#open(this.#path);
      } catch (error) {
        if (!isCorruption(error)) throw error;
        return this.#openFresh(error);
      }
    } catch (error) {
      const refused = !HoldfastError.is(error) || !DISK_PROBLEMS.has(error.code);
      if (!memoryFallback || refused) throw error;
      this.#memoryProblem = `kept in memory only, lost at the next start: ${errorText(error)}`;
      this.#parts.logger.error("store cannot use its file and goes on in memory", {
        path: this.#path,
        err: error,
      });
      this.#path = ":memory:";
      return this.#open(":memory:");
    }
  }

  #open(path: string): Connection {
    const { connection, migrations, clock } = this.#parts;
    try {
      const db = openConnection({ ...connection, path });
      try {
        migrate(db, path, migrations, clock.now());
        return db;
      } catch (error) {
        db.close();
        throw error;
      }
    } catch (error) {
      throw storeErrorFrom(error, path, "opening");
    }
  }

  /** Replaces a damaged file, or throws `error` again when that is not what is wrong. */
  #replaceOrThrow(error: unknown): void {
    if (!isCorruption(error)) throw error;
    try {
      this.#connection.close();
    } catch (err) {
      this.#parts.logger.debug("damaged store did not close cleanly", { path: this.#path, err });
    }
    this.#connection = this.#openFresh(error);
  }

  #openFresh(reason: unknown): Connection {
    let kept: string;
    try {
      kept = setAside(this.#path, this.#parts.clock.now());
    } catch (error) {
      throw storeErrorFrom(error, this.#path, "setting aside");
    }
    this.#setAside.push(kept);
    if (this.#setAside.length > KEPT_SET_ASIDE) this.#setAside.shift();
    this.#parts.logger.error("store was damaged, set aside, and begun afresh", {
      path: this.#path,
      setAside: kept,
      err: reason,
    });
    return this.#open(this.#path);
  }
}

/** Problems of the disk that a store in memory gets around. A second opener or a newer file is not among them. */
const DISK_PROBLEMS: ReadonlySet<string> = new Set([
  StoreErrorCode.full,
  StoreErrorCode.io,
  StoreErrorCode.readOnly,
]);
