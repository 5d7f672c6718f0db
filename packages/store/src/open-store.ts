// SPDX-License-Identifier: Apache-2.0

import { resolve } from "node:path";
import type { Clock } from "@holdfast/core/clock";
import { silentLogger } from "@holdfast/core/log";
import type { Logger } from "@holdfast/core/log";
import { systemClock } from "@holdfast/core/node";
import { migrationsByOwner } from "./migrations.ts";
import type { Migration } from "./migrations.ts";
import { SqliteStore } from "./sqlite-store.ts";
import type { Store } from "./store.ts";

/** How a store is opened. */
export interface StoreOptions {
  /** The file; its folder is made (0700) when it is missing. `:memory:` for tests. */
  readonly path: string;
  /**
   * What survives: with `full` everything written, a power failure too; each write then waits for the disk, and holds up the process. `soon`
   * (state.db): everything a second later, without waiting. `disposable` (journal.db): everything but a power failure; an fsync only when the log is
   * written back, every 4 MB.
   */
  readonly durability: "full" | "soon" | "disposable";
  /** Tables of the packages that use this store. Default none: the checkpoints are always there. */
  readonly migrations?: readonly Migration[];
  /** Names what is set aside, dates migrations, and times flushes. Default the machine's. */
  readonly clock?: Pick<Clock, "now" | "timer">;
  readonly logger?: Logger;
  /** How long a call may wait for another process, in milliseconds. It blocks the event loop. Default 1000. */
  readonly busyTimeoutMs?: number;
  /** The file's largest size; beyond it writes fail with `STORE_FULL`. Default 256 MiB. */
  readonly maxBytes?: number;
  /** The most memory that pages of the file take in this process; the kernel's cache holds the rest. Default 1 MiB. */
  readonly cacheBytes?: number;
  /**
   * A file up to this size is checked whole when it is opened: reading 200 MB holds up a start for one to three seconds. In a larger one damage shows when it
   * is met, and is answered alike. Default: no bound, and 16 MiB for what is `disposable`.
   */
  readonly checkBytes?: number;
  /** What to do when the disk is full, failing or read-only at the start. Default `throw`. An agent goes on with `memory`, and says so. */
  readonly onUnusable?: "throw" | "memory";
}

/**
 * Opens (or makes) a store, checks it and brings it up to date.
 *
 * Throws `STORE_NEWER` for a file of a newer version, `STORE_BUSY` when another process has it open, `STORE_MIGRATION`, `STORE_NODE`, and with
 * `onUnusable: "throw"` `STORE_FULL`, `STORE_IO` and `STORE_READ_ONLY`. A damaged file is set aside and logged, never thrown.
 */
export function openStore(options: StoreOptions): Store {
  const migrations = options.migrations ?? [];
  migrationsByOwner(migrations);
  const path = options.path === ":memory:" ? options.path : resolve(options.path);
  return new SqliteStore(
    {
      connection: {
        path,
        synchronous: options.durability === "full" ? "FULL" : "NORMAL",
        busyTimeoutMs: options.busyTimeoutMs ?? 1000,
        maxBytes: options.maxBytes ?? 256 << 20,
        cacheBytes: options.cacheBytes ?? 1 << 20,
        checkBytes:
          options.checkBytes ?? (options.durability === "disposable" ? 16 << 20 : Number.POSITIVE_INFINITY),
      },
      flushSoon: options.durability === "soon",
      migrations,
      clock: options.clock ?? systemClock,
      logger: options.logger ?? silentLogger,
    },
    options.onUnusable === "memory",
  );
}
