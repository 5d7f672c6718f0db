// SPDX-License-Identifier: Apache-2.0

import type { JournalDatabase } from "./ports.ts";

/** The newest `seq` in the file, 0 for none: the bus goes on after it. Needed before there is a bus, and so before there is a journal. */
export function lastJournalSeq(database: JournalDatabase): number {
  return database.prepare<{ last: number | null }>("SELECT max(seq) AS last FROM event").get()?.last ?? 0;
}
