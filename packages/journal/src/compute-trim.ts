// SPDX-License-Identifier: Apache-2.0

/** Pure: whether the oldest events have to go. */

/** The bounds of a journal. */
export interface JournalLimits {
  readonly maxEvents: number;
  readonly maxBytes: number;
  readonly maxAgeMs: number;
}

/** How much there is. */
export interface JournalExtent {
  readonly rows: number;
  /** Bytes of the file in use. */
  readonly bytes: number;
  /** Wall milliseconds of the newest event of the oldest segment; undefined for an empty journal. */
  readonly oldestAt: number | undefined;
  /** All there is is one segment: a wall clock that was stepped must not empty the journal. */
  readonly only: boolean;
}

/** Why the oldest events go; undefined when they stay. `now` is wall time in milliseconds. */
export function computeTrim(
  extent: JournalExtent,
  limits: JournalLimits,
  now: number,
): "events" | "bytes" | "age" | undefined {
  if (extent.rows > limits.maxEvents) return "events";
  if (extent.bytes > limits.maxBytes && !extent.only) return "bytes";
  if (extent.oldestAt !== undefined && !extent.only && now - extent.oldestAt > limits.maxAgeMs) return "age";
  return undefined;
}
