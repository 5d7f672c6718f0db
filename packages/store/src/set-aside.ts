// SPDX-License-Identifier: Apache-2.0

/**
 * Puts a damaged database out of the way under a name that sorts by time, with its write-ahead log, and keeps only the newest few: what is
 * wrong with a disk must not also fill it.
 */
import { existsSync, readdirSync, renameSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { rfc3339 } from "@holdfast/core/rfc3339";

/** How many damaged files are kept per database. */
export const KEPT_SET_ASIDE = 3;

/** Renames `path` to `path.corrupt-YYYYMMDDTHHMMSSmmmZ` and returns the new name. Throws the file system's error. */
export function setAside(path: string, nowMs: number): string {
  const stamp = rfc3339(nowMs).replaceAll(/[-:.]/g, "");
  let target = `${path}.corrupt-${stamp}`;
  for (let again = 2; existsSync(target) && again <= KEPT_SET_ASIDE + 2; again++)
    target = `${path}.corrupt-${stamp}-${again}`;
  renameSync(path, target);
  // A log left behind would be replayed into the fresh file.
  if (existsSync(`${path}-wal`)) renameSync(`${path}-wal`, `${target}-wal`);
  rmSync(`${path}-shm`, { force: true });
  rmSync(`${path}-journal`, { force: true });
  prune(path);
  return target;
}

/** Names of what was set aside for `path`, oldest first, without logs. */
export function listSetAside(path: string): readonly string[] {
  const prefix = `${basename(path)}.corrupt-`;
  return readdirSync(dirname(path))
    .filter((name) => name.startsWith(prefix) && !name.endsWith("-wal"))
    .sort()
    .map((name) => join(dirname(path), name));
}

function prune(path: string): void {
  for (const old of listSetAside(path).slice(0, -KEPT_SET_ASIDE)) {
    rmSync(old, { force: true });
    rmSync(`${old}-wal`, { force: true });
  }
}
