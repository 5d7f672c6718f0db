// SPDX-License-Identifier: Apache-2.0

/** The agent's state folder: its lock, its identity, its two stores. */
import { randomUUID } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "@holdfast/core/clock";
import { errorText } from "@holdfast/core/errors";
import type { Health } from "@holdfast/core/lifecycle";
import type { Logger } from "@holdfast/core/log";
import { JOURNAL_MIGRATIONS } from "@holdfast/journal";
import type { JournalDatabase } from "@holdfast/journal";
import { lockStateFolder, openStore, resilientCheckpoint } from "@holdfast/store";
import type { ResilientCheckpoint, Store } from "@holdfast/store";

/** Everything that outlives the agent's process, opened and locked. */
export interface StateFolder extends Disposable {
  /** A name for this folder's agent, made once: ownership of pods hangs on it. */
  readonly instanceId: string;
  /** `pods/`: each pod's folder is below. */
  readonly podsDir: string;
  /** journal.db. Absent where no history is kept. */
  readonly journal?: JournalDatabase;
  /** Values of one manager; they never fail, also on a full disk. What is set within `togetherMs` is written together; default: each at once. */
  checkpoint(namespace: string, togetherMs?: number): ResilientCheckpoint;
  health(): Health;
}

const INSTANCE_ID = /^[0-9a-f-]{36}$/;

/** Opens `stateDir`. Throws STORE_LOCKED when another agent has it. */
export function openStateFolder(stateDir: string, clock: Clock, logger: Logger): StateFolder {
  const lock = lockStateFolder(stateDir);
  const podsDir = join(stateDir, "pods");
  mkdirSync(podsDir, { recursive: true, mode: 0o750 });
  const store: Store = openStore({
    path: join(stateDir, "state.db"),
    // What a power failure takes with it is a second of statuses of pods that it ended anyway.
    durability: "soon",
    clock,
    logger,
    onUnusable: "memory",
  });
  const journal = openJournal(stateDir, clock, logger);
  const checkpoints = new Map<string, ResilientCheckpoint>();
  return {
    instanceId: readInstanceId(join(stateDir, "instance-id"), logger),
    podsDir,
    ...(journal.store !== undefined && { journal: journal.store }),
    checkpoint(namespace, togetherMs = 0) {
      const known =
        checkpoints.get(namespace) ?? resilientCheckpoint({ store, namespace, clock, logger, togetherMs });
      checkpoints.set(namespace, known);
      return known;
    },
    health: () => ({
      failures: [
        ...store.health().failures,
        ...journal.failures().map((failure) => `journal: ${failure}`),
        ...[...checkpoints.values()].flatMap((checkpoint) => checkpoint.health().failures),
      ],
    }),
    [Symbol.dispose]() {
      for (const checkpoint of checkpoints.values()) checkpoint[Symbol.dispose]();
      store.close();
      journal.store?.close();
      lock.release();
    },
  };
}

/** History is disposable: whatever is wrong with its file, pods are looked after. */
function openJournal(
  stateDir: string,
  clock: Clock,
  logger: Logger,
): { readonly store: Store | undefined; readonly failures: () => readonly string[] } {
  try {
    const store = openStore({
      path: join(stateDir, "journal.db"),
      durability: "disposable",
      migrations: JOURNAL_MIGRATIONS,
      clock,
      logger: logger.child({ store: "journal" }),
      onUnusable: "memory",
    });
    return { store, failures: () => store.health().failures };
  } catch (error) {
    logger.error("no history is kept: the journal cannot be opened", { err: error });
    return { store: undefined, failures: () => [`no history is kept: ${errorText(error)}`] };
  }
}

/** A plain file, so that losing state.db does not disown the pods. */
function readInstanceId(path: string, logger: Logger): string {
  try {
    const known = readFileSync(path, "utf8").trim();
    if (INSTANCE_ID.test(known)) return known;
    logger.error("the instance id is damaged and is made anew; pods made before are no longer ours", {
      path,
    });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  const fresh = randomUUID();
  writeFileSync(`${path}.new`, `${fresh}\n`, { mode: 0o600, flush: true });
  renameSync(`${path}.new`, path);
  return fresh;
}
