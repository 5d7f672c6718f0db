// SPDX-License-Identifier: Apache-2.0

/** What the journal needs from others. `apps/agent` puts them together. */
import type { Pod } from "@holdfast/core/pod-types";
import type { RuntimePodStatus } from "@holdfast/core/runtime-status";

/** What SQLite takes and gives. */
export type SqlValue = string | number | bigint | Uint8Array | null;

/** A prepared statement. It stays usable when the store replaces a damaged file by a fresh one. */
export interface JournalStatement<Row = unknown> {
  /** Returns how many rows were changed. */
  run(...params: SqlValue[]): number;
  get(...params: SqlValue[]): Row | undefined;
  all(...params: SqlValue[]): Row[];
}

/**
 * A SQLite file with {@link JOURNAL_MIGRATIONS} applied. Filled by the store (journal.db, `durability: "disposable"`). All calls are synchronous and
 * may throw; when the file turns out to be damaged, `work` may be called a second time, on a fresh file.
 */
export interface JournalDatabase {
  prepare<Row = unknown>(sql: string): JournalStatement<Row>;
  transaction<T>(work: () => T): T;
}

/** The runtime's own record of containers. Filled by the PLEG's cache. */
export interface RuntimeRecords {
  get(podUid: string): { readonly status: Pick<RuntimePodStatus, "containers"> };
}

/** The newest specs. Only names of fields that differ are kept of them. Filled by the pod sources. */
export interface PodSpecs {
  get(podUid: string): Pick<Pod, "metadata" | "spec"> | undefined;
}

/** Which part of which file holds a container's last lines. */
export interface LogPosition {
  readonly file: string;
  /** Bytes. */
  readonly offset: number;
  readonly length: number;
}

/** Which container's log is meant. */
export interface LogOwner {
  readonly podUid: string;
  readonly namespace: string;
  readonly podName: string;
  readonly container: string;
  readonly restartCount: number;
}

/** Where logs are. Text never enters the journal: only where it lies. */
export interface LogTails {
  /** Where the last lines of an ended container are now; undefined when it wrote none. */
  locate(owner: LogOwner): Promise<LogPosition | undefined>;
  /** The lines, without the runtime's prefixes; undefined when the file was rotated or removed. */
  read(position: LogPosition): Promise<readonly string[] | undefined>;
}
