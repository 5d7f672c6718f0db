// SPDX-License-Identifier: Apache-2.0

/**
 * Migrations as data. Each owner numbers its own from 1 without gaps; what was applied is written down in the same transaction, so a
 * file is either wholly migrated or as it was. An owner that this version does not know is left alone.
 */
import type { Database } from "better-sqlite3";
import { HoldfastError } from "@holdfast/core/errors";
import { StoreErrorCode } from "./sqlite-errors.ts";

/** One step of one owner's tables. Never changed once released: a later step corrects it. */
export interface Migration {
  /** The package whose tables these are: `pod`, `pleg`, `journal` ... */
  readonly owner: string;
  /** From 1, without gaps. */
  readonly version: number;
  /** Any number of SQL statements, without BEGIN or COMMIT. */
  readonly sql: string;
}

/** The store's own tables. */
export const STORE_MIGRATIONS: readonly Migration[] = [
  {
    owner: "store",
    version: 1,
    sql: `CREATE TABLE checkpoint (
      namespace TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (namespace, key)
    ) STRICT, WITHOUT ROWID`,
  },
];

const LEDGER = `CREATE TABLE IF NOT EXISTS migration (
  owner TEXT NOT NULL, version INTEGER NOT NULL, applied_at INTEGER NOT NULL, PRIMARY KEY (owner, version)
) STRICT, WITHOUT ROWID`;

/** Groups migrations by owner, in order. Throws `TypeError` when an owner's versions are not 1, 2, 3 ... */
export function migrationsByOwner(
  migrations: readonly Migration[],
): ReadonlyMap<string, readonly Migration[]> {
  const byOwner = new Map<string, Migration[]>();
  for (const migration of migrations) {
    const known = byOwner.get(migration.owner);
    if (known === undefined) byOwner.set(migration.owner, [migration]);
    else known.push(migration);
  }
  for (const [owner, steps] of byOwner) {
    steps.sort((a, b) => a.version - b.version);
    const wrong = steps.findIndex((step, index) => step.version !== index + 1);
    if (wrong >= 0) throw new TypeError(`migrations of ${owner} are not numbered 1, 2, 3: no ${wrong + 1}`);
  }
  return byOwner;
}

/** Brings `db` up to date. Throws `STORE_NEWER` before anything is written, `STORE_MIGRATION` with everything rolled back. */
export function migrate(db: Database, path: string, migrations: readonly Migration[], nowMs: number): void {
  const applied = appliedVersions(db);
  const pending: Migration[] = [];
  for (const [owner, steps] of migrationsByOwner([...STORE_MIGRATIONS, ...migrations])) {
    const version = applied.get(owner) ?? 0;
    if (version > steps.length) {
      throw new HoldfastError(
        StoreErrorCode.newer,
        "permanent",
        `${path} was written by a newer version of Holdfast (${owner}: ${version}, known: ${steps.length}); run that version or move the file away`,
        { details: { path, owner, found: version, known: steps.length } },
      );
    }
    pending.push(...steps.slice(version));
  }
  if (pending.length === 0) return;
  db.exec("BEGIN IMMEDIATE");
  try {
    db.exec(LEDGER);
    const record = db.prepare("INSERT INTO migration (owner, version, applied_at) VALUES (?, ?, ?)");
    for (const step of pending) {
      applyStep(db, path, step);
      record.run(step.owner, step.version, Math.trunc(nowMs));
    }
    db.exec("COMMIT");
  } catch (error) {
    if (db.inTransaction) db.exec("ROLLBACK");
    throw error;
  }
}

function applyStep(db: Database, path: string, step: Migration): void {
  const failed = (cause: unknown): HoldfastError =>
    new HoldfastError(
      StoreErrorCode.migration,
      "permanent",
      `migration ${step.owner} ${step.version} failed on ${path}`,
      { cause, details: { path, owner: step.owner, version: step.version } },
    );
  try {
    db.exec(step.sql);
  } catch (error) {
    // A wrong statement is ours to mend; a full disk or a damaged file keeps its own meaning.
    if (error instanceof Error && "code" in error && error.code === "SQLITE_ERROR") throw failed(error);
    throw error;
  }
  if (!db.inTransaction) throw failed("it ended the transaction by itself");
}

function appliedVersions(db: Database): ReadonlyMap<string, number> {
  const ledger = db.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'migration'").get();
  if (ledger === undefined) return new Map();
  const rows = db.prepare("SELECT owner, max(version) AS version FROM migration GROUP BY owner").all() as {
    owner: string;
    version: number;
  }[];
  return new Map(rows.map((row) => [row.owner, row.version]));
}
