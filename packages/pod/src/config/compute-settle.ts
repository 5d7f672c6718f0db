// SPDX-License-Identifier: Apache-2.0

/** When a file that is perhaps still being written may be believed. Pure. */

/** How long a file that is being written must have been quiet. */
export const WRITE_QUIET_MS = 20;
/** How long a file must have been quiet before it is called broken: it may be half-written. */
export const BROKEN_QUIET_MS = 2000;
/** How often a broken file is looked at until then. */
export const BROKEN_RETRY_MS = 50;
/** A file that nobody announced and that was written this recently may still be written. */
export const RECENT_WRITE_MS = 100;
/** How long a file must be gone before it counts as deleted: editors save by moving a new file into its place. */
export const DELETION_SETTLE_MS = 100;

/** What one look at a file found. */
export interface SettleFacts {
  /** The file could not be understood. */
  readonly failed: boolean;
  /** Someone was seen writing into it, rather than moving a whole file into its place. */
  readonly written: boolean;
  /** Milliseconds since its last known change. */
  readonly quietMs: number;
}

/** Milliseconds until the file should be looked at again; undefined when what was read counts. */
export function settleWait({ failed, written, quietMs }: SettleFacts): number | undefined {
  const required = failed ? BROKEN_QUIET_MS : written ? WRITE_QUIET_MS : 0;
  if (quietMs >= required) return undefined;
  return Math.min(required - quietMs, failed ? BROKEN_RETRY_MS : WRITE_QUIET_MS);
}
