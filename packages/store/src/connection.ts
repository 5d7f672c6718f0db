// SPDX-License-Identifier: Apache-2.0

/**
 * Opens one SQLite file the way Holdfast wants it: private, write-ahead log, one process, checked.
 *
 * The locking mode is EXCLUSIVE: a second opener is refused with `STORE_BUSY`, there is no shared-memory file (whose memory map kills a
 * process by SIGBUS when the disk is full), and reads take no locks. Nobody in this process may open the file by other means: closing
 * any descriptor of it drops POSIX locks.
 */
import { chmodSync, closeSync, mkdirSync, openSync, statSync } from "node:fs";
import { dirname } from "node:path";
// The agent's bundle points this name at better-sqlite3/linux-x64 or /linux-arm64 (TOOLCHAIN.md, 2).
import Database from "better-sqlite3";
import { HoldfastError } from "@holdfast/core/errors";
import { StoreErrorCode } from "./sqlite-errors.ts";

/** An open database of the native library. */
export type Connection = Database.Database;

/** What {@link openConnection} needs to know. */
export interface ConnectionOptions {
  /** The file, or `:memory:`. */
  readonly path: string;
  readonly synchronous: "FULL" | "NORMAL";
  readonly busyTimeoutMs: number;
  readonly maxBytes: number;
  readonly cacheBytes: number;
  /** Files up to this size are checked whole. */
  readonly checkBytes: number;
}

/** Node-API version that the prebuilt library needs: Node 20 has 9 and dies of SIGSEGV. */
const NEEDED_NODE_API = 10;
/** What stays of the write-ahead log after it was written back. */
const WAL_KEPT_BYTES = 4 << 20;

/** Opens and checks. Throws SQLite's errors untranslated; the caller closes nothing. */
export function openConnection(options: ConnectionOptions): Connection {
  requireNode();
  const inMemory = options.path === ":memory:";
  if (!inMemory) createPrivately(options.path);
  const db = new Database(options.path, { timeout: options.busyTimeoutMs });
  try {
    db.pragma("locking_mode = EXCLUSIVE");
    db.pragma("journal_mode = WAL");
    db.pragma(`synchronous = ${options.synchronous}`);
    db.pragma(`journal_size_limit = ${WAL_KEPT_BYTES}`);
    db.pragma("foreign_keys = ON");
    db.pragma("trusted_schema = OFF");
    const pageSize = db.pragma("page_size", { simple: true }) as number;
    db.pragma(`max_page_count = ${Math.max(Math.ceil(options.maxBytes / pageSize), 1)}`);
    // The library's own default is 16 MB, which the check below would fill with pages of a large file that nobody asks for again.
    db.pragma(`cache_size = -${Math.max(Math.ceil(options.cacheBytes / 1024), 1)}`);
    if (!inMemory && statSync(options.path).size <= options.checkBytes) check(db);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/** Throws `STORE_NODE` where the native library would crash the process. */
export function requireNode(napiVersion: string | undefined = process.versions["napi"]): void {
  if (Number(napiVersion ?? 0) >= NEEDED_NODE_API) return;
  throw new HoldfastError(
    StoreErrorCode.node,
    "permanent",
    `Node ${process.version} is too old: the store needs Node 22 or later`,
  );
}

/** The folder 0700 when it has to be made, the file 0600 always. SQLite gives its log the mode of the file. */
function createPrivately(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  closeSync(openSync(path, "a", 0o600));
  if ((statSync(path).mode & 0o777) !== 0o600) chmodSync(path, 0o600);
}

function check(db: Connection): void {
  const verdict = db.pragma("quick_check(1)", { simple: true });
  if (verdict === "ok") return;
  throw Object.assign(new Error(`quick_check: ${String(verdict)}`), { code: "SQLITE_CORRUPT" });
}
