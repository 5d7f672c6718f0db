// SPDX-License-Identifier: Apache-2.0

/**
 * One agent per state folder. The lock is SQLite's exclusive lock on `lock.db`, which the kernel lets go of when its holder dies, however it
 * dies; `lock.pid` beside it only says who that is. It is a file of its own because closing any descriptor of `lock.db` in this process
 * would drop the lock (POSIX locks belong to process and file).
 */
import { mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import Database from "better-sqlite3";
import { HoldfastError } from "@holdfast/core/errors";
import { requireNode } from "./connection.ts";
import type { Connection } from "./connection.ts";
import { storeErrorFrom, StoreErrorCode } from "./sqlite-errors.ts";

/** A held lock. It is let go of by `release`, or by the kernel when the process ends. */
export interface StateFolderLock extends Disposable {
  readonly folder: string;
  release(): void;
}

/** Keeps held locks from being collected with a handle that nobody keeps. */
const held = new Set<Connection>();

/**
 * Takes the exclusive lock on `folder` (made 0700 when it is missing), without waiting.
 * Throws `STORE_LOCKED` with the holder's pid in `details.pid` when another process, or this one, has it.
 */
export function lockStateFolder(folder: string): StateFolderLock {
  requireNode();
  const absolute = resolve(folder);
  const file = join(absolute, "lock.db");
  const pidFile = join(absolute, "lock.pid");
  const db = takeLock(absolute, file, pidFile);
  held.add(db);
  writePid(pidFile);
  const release = (): void => {
    if (!held.delete(db)) return;
    rmSync(pidFile, { force: true });
    db.close();
  };
  return { folder: absolute, release, [Symbol.dispose]: release };
}

function takeLock(folder: string, file: string, pidFile: string): Connection {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    try {
      return lockFile(file);
    } catch (error) {
      if (sqliteCode(error) !== "SQLITE_NOTADB") throw error;
      // Garbage could be read, so nobody holds it. Emptied in place: a new file would have a lock of its own.
      truncateSync(file);
      return lockFile(file);
    }
  } catch (error) {
    if (!sqliteCode(error).startsWith("SQLITE_BUSY")) throw storeErrorFrom(error, file, "locking");
    const pid = readPid(pidFile);
    const holder = pid === undefined ? "another process" : `process ${pid}`;
    throw new HoldfastError(
      StoreErrorCode.locked,
      "permanent",
      `${holder} already runs on the state folder ${folder}; stop it, or give this agent a folder of its own`,
      { details: { folder, pid } },
    );
  }
}

function lockFile(file: string): Connection {
  const db = new Database(file, { timeout: 0 });
  try {
    // No journal file: nothing is ever written.
    db.pragma("journal_mode = MEMORY");
    db.exec("BEGIN EXCLUSIVE");
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

function sqliteCode(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

function writePid(pidFile: string): void {
  try {
    writeFileSync(pidFile, `${process.pid}\n`, { mode: 0o600 });
  } catch {
    // A full disk: the lock holds all the same, only its holder stays nameless.
    rmSync(pidFile, { force: true });
  }
}

function readPid(pidFile: string): number | undefined {
  try {
    const pid = Number.parseInt(readFileSync(pidFile, "utf8").slice(0, 32), 10);
    return Number.isInteger(pid) && pid > 0 ? pid : undefined;
  } catch {
    // Not written yet, or not by us: the message does without.
    return undefined;
  }
}
