// SPDX-License-Identifier: Apache-2.0

/**
 * Translates what SQLite throws into errors that callers can act on: the one place that knows SQLite's result codes.
 */
import { HoldfastError } from "@holdfast/core/errors";
import type { ErrorKind } from "@holdfast/core/errors";

/** Codes of the errors that this package throws. */
export const StoreErrorCode = {
  /** `retryable`: no space left, or the file reached its `maxBytes`. Nothing of the write was kept. */
  full: "STORE_FULL",
  /** `retryable`: the disk failed to read or write, or the file cannot be opened at the moment. */
  io: "STORE_IO",
  /** `retryable`: another process holds the file for longer than the busy timeout. */
  busy: "STORE_BUSY",
  /** `retryable`: the file is damaged. It is set aside before a caller sees this. */
  corrupt: "STORE_CORRUPT",
  /** `permanent`: the file was written by a newer version. It is left untouched. */
  newer: "STORE_NEWER",
  /** `permanent`: a migration's SQL failed. Nothing of it was kept. */
  migration: "STORE_MIGRATION",
  /** `permanent`: the statement is wrong or breaks a constraint. */
  sql: "STORE_SQL",
  /** `retryable`: the file or its folder may not be written: a disk remounted read-only can be mended. */
  readOnly: "STORE_READ_ONLY",
  /** `permanent`: used after `close`. */
  closed: "STORE_CLOSED",
  /** `bad-input`: a value above 1 MiB. */
  tooLarge: "STORE_VALUE_TOO_LARGE",
  /** `permanent`: another agent runs on the same state folder. */
  locked: "STORE_LOCKED",
  /** `permanent`: this Node would crash in the native part. */
  node: "STORE_NODE",
} as const;

/** Longest prefix of the result code -> what it means for a caller. Order matters: the first match wins. */
const MEANINGS: readonly (readonly [prefix: string, code: string, kind: ErrorKind, text: string])[] = [
  ["SQLITE_FULL", StoreErrorCode.full, "retryable", "no space left"],
  // The index of the write-ahead log could not be enlarged: a full disk, seen from another side.
  ["SQLITE_IOERR_SHMSIZE", StoreErrorCode.full, "retryable", "no space left"],
  ["SQLITE_IOERR_CORRUPTFS", StoreErrorCode.corrupt, "retryable", "file is damaged"],
  ["SQLITE_IOERR", StoreErrorCode.io, "retryable", "disk input or output failed"],
  ["SQLITE_CANTOPEN", StoreErrorCode.io, "retryable", "file cannot be opened"],
  ["SQLITE_PROTOCOL", StoreErrorCode.busy, "retryable", "another process holds the file"],
  ["SQLITE_BUSY", StoreErrorCode.busy, "retryable", "another process holds the file"],
  ["SQLITE_LOCKED", StoreErrorCode.busy, "retryable", "another statement holds the table"],
  ["SQLITE_CORRUPT", StoreErrorCode.corrupt, "retryable", "file is damaged"],
  ["SQLITE_NOTADB", StoreErrorCode.corrupt, "retryable", "file is no database"],
  ["SQLITE_READONLY", StoreErrorCode.readOnly, "retryable", "file may not be written"],
  ["SQLITE_PERM", StoreErrorCode.readOnly, "retryable", "file may not be written"],
];

/** Errno of file calls made around SQLite -> the same meanings. */
const ERRNO: Readonly<Record<string, string>> = {
  ENOSPC: "SQLITE_FULL",
  EDQUOT: "SQLITE_FULL",
  EROFS: "SQLITE_READONLY",
  EACCES: "SQLITE_READONLY",
  EPERM: "SQLITE_READONLY",
};

/** The typed error for what came out of SQLite; everything else (errors of our own, of a caller's work, bugs) comes back untouched. */
export function sqliteErrorFrom(error: unknown, path: string, attempted: string): unknown {
  const raw = codeOf(error);
  return raw?.startsWith("SQLITE_") === true ? translated(error, raw, { raw, path, attempted }) : error;
}

/** The same, where file calls are made too. */
export function storeErrorFrom(error: unknown, path: string, attempted: string): unknown {
  const raw = codeOf(error);
  if (raw === undefined || !(error instanceof Error) || !("syscall" in error))
    return sqliteErrorFrom(error, path, attempted);
  return translated(error, ERRNO[raw] ?? "SQLITE_IOERR", { raw, path, attempted });
}

function codeOf(error: unknown): string | undefined {
  if (HoldfastError.is(error) || !(error instanceof Error) || !("code" in error)) return undefined;
  return String(error.code);
}

function translated(
  error: unknown,
  code: string,
  where: { readonly raw: string; readonly path: string; readonly attempted: string },
): HoldfastError {
  const { raw, path, attempted } = where;
  const meaning = MEANINGS.find(([prefix]) => code.startsWith(prefix));
  const details = { path, sqlite: raw };
  if (meaning === undefined) {
    return new HoldfastError(StoreErrorCode.sql, "permanent", `${attempted} ${path}`, {
      cause: error,
      details,
    });
  }
  const [, ours, kind, text] = meaning;
  return new HoldfastError(ours, kind, `${attempted} ${path}: ${text}`, { cause: error, details });
}

/** Whether `error` says that the file is damaged. */
export function isCorruption(error: unknown): boolean {
  return HoldfastError.is(error) && error.code === StoreErrorCode.corrupt;
}
