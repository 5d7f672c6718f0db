// SPDX-License-Identifier: Apache-2.0

import type { Health } from "@holdfast/core/lifecycle";

/** What SQLite takes and gives. */
export type SqlValue = string | number | bigint | Uint8Array | null;

/** A prepared statement. It stays usable when the store replaces a damaged file by a fresh one. */
export interface Statement<Row = unknown> {
  /** Returns how many rows were changed. */
  run(...params: SqlValue[]): number;
  get(...params: SqlValue[]): Row | undefined;
  all(...params: SqlValue[]): Row[];
}

/** The part of a store that one manager gets: its own keys, and nothing else. Managers declare this shape as a port of theirs. */
export interface Checkpoint {
  get(key: string): string | undefined;
  set(key: string, value: string): void;
  delete(key: string): void;
  /** Keys that begin with `prefix` and their values, in order of key. */
  entries(prefix: string): readonly (readonly [string, string])[];
}

/** What a store says about itself. `failures` are problems of now; `setAside` is history. */
export interface StoreHealth extends Health {
  /** Files set aside as damaged since the store was opened, oldest first, at most 3. */
  readonly setAside: readonly string[];
  /** The file could not be opened and everything is kept in memory only, until the next start. */
  readonly memoryOnly: boolean;
}

/**
 * One SQLite file behind a few methods. All of them are synchronous. Errors: `STORE_FULL`, `STORE_IO`, `STORE_BUSY` (retryable), `STORE_SQL`,
 * `STORE_CLOSED` (permanent). Damage found on the way does not surface: the file is replaced and the call is made again.
 */
export interface Store extends Disposable {
  get(namespace: string, key: string): string | undefined;
  set(namespace: string, key: string, value: string): void;
  delete(namespace: string, key: string): void;
  /** Keys of `namespace` that begin with `prefix` (default: all) and their values, in order of key. */
  entries(namespace: string, prefix?: string): readonly (readonly [string, string])[];
  /** The keys of one namespace as a port. */
  checkpoint(namespace: string): Checkpoint;
  /** For a package with tables of its own. Keep what it returns: preparing is the costly part. */
  prepare<Row = unknown>(sql: string): Statement<Row>;
  /** Prepares (or takes from a small cache) and runs. */
  run(sql: string, ...params: SqlValue[]): number;
  all<Row = unknown>(sql: string, ...params: SqlValue[]): Row[];
  /**
   * All or nothing, and one write to the disk. `work` is synchronous; a nested call joins the outer one. When the file turns out to be damaged
   * `work` is called a second time, on the fresh file.
   */
  transaction<T>(work: () => T): T;
  health(): StoreHealth;
  /** Writes the log back and closes. Idempotent. */
  close(): void;
}
