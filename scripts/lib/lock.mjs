// SPDX-License-Identifier: Apache-2.0
/* One set-up at a time in this clone: a lock file that names its holder. A holder that died does not hold it. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readText } from "./host.mjs";
import { home } from "./paths.mjs";
import { livingPid, processIdentity } from "./processes.mjs";
import { waitFor } from "./run.mjs";
import { note, SetupError } from "./say.mjs";

const WAIT_MS = 10 * 60_000;

/**
 * Runs `work` while nobody else in this clone runs work under the same name. Not re-entrant.
 * @template T
 * @param {string} name
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function withLock(name, work) {
  mkdirSync(join(home, "locks"), { recursive: true });
  const file = join(home, "locks", name);
  if (!take(file)) {
    note(`waiting for another set-up (pid ${readText(file).split(" ")[0]}) to finish with "${name}"`);
    if (!(await waitFor(() => take(file), WAIT_MS, 200)))
      throw new SetupError(`"${name}" is still being set up by another process`, `see ${file}`);
  }
  try {
    return await work();
  } finally {
    rmSync(file, { force: true });
  }
}

function take(file) {
  try {
    writeFileSync(file, processIdentity(process.pid) ?? "", { flag: "wx" });
    return true;
  } catch (error) {
    if (error.code !== "EEXIST") throw error;
    // Half-written only for an instant: an empty file is a holder that is just about to write its name.
    if (readText(file) !== "" && livingPid(file) === undefined) rmSync(file, { force: true });
    return false;
  }
}
