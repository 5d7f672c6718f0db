// SPDX-License-Identifier: Apache-2.0

export { openStore } from "./open-store.ts";
export type { StoreOptions } from "./open-store.ts";
export type { Checkpoint, SqlValue, Statement, Store, StoreHealth } from "./store.ts";
export type { Migration } from "./migrations.ts";
export { StoreErrorCode } from "./sqlite-errors.ts";
export { resilientCheckpoint } from "./resilient-checkpoint.ts";
export type { ResilientCheckpoint, ResilientCheckpointOptions } from "./resilient-checkpoint.ts";
export { lockStateFolder } from "./state-folder-lock.ts";
export type { StateFolderLock } from "./state-folder-lock.ts";
