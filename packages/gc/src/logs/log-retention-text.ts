// SPDX-License-Identifier: Apache-2.0

/** Pure: what people read of log retention. */
import { formatBytes } from "../format-bytes.ts";
import type { FolderRetention } from "./log-pruner.ts";

/** Headings of {@link logRetentionRows}. */
export const LOG_RETENTION_COLUMNS: readonly string[] = [
  "LOGS",
  "ATTEMPT",
  "FILES",
  "SIZE",
  "VERDICT",
  "RULE",
  "WHY",
];

/** Plans of all folders as lines of a table, each one attempt of one container. */
export function logRetentionRows(plans: readonly FolderRetention[]): readonly (readonly string[])[] {
  return plans.flatMap(({ folder, entries }) => {
    // The pod's folder and the container's: the rest is the same for all.
    const shown = folder.split("/").slice(-2).join("/");
    return entries.map(({ attempt, names, bytes, verdict, rule, reason }) => [
      shown,
      String(attempt),
      String(names.length),
      formatBytes(bytes),
      verdict,
      rule,
      reason,
    ]);
  });
}

/** What the plans come to, in one line. */
export function logRetentionSummary(plans: readonly FolderRetention[]): string {
  const all = plans.flatMap(({ entries }) => entries);
  const going = all.filter(({ verdict }) => verdict === "remove");
  const bytes = going.reduce((sum, entry) => sum + entry.bytes, 0);
  return `logs of ${going.length} of ${all.length} attempts would go and free ${formatBytes(bytes)}`;
}
