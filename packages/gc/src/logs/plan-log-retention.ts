// SPDX-License-Identifier: Apache-2.0

/** Pure: which logs go of attempts that are no container's any more. The kubelet removes logs with their container; here they have limits of their own. */
import { formatBytes } from "../format-bytes.ts";
import type { LogFile } from "../ports.ts";
import { attemptOfLog } from "./log-names.ts";
import type { LogRetentionPolicy } from "./log-policy.ts";

/** The logs of one container name of one pod. */
export interface LogFolderFacts {
  readonly files: readonly LogFile[];
  /** Attempts of which the runtime has a container. */
  readonly attempts: ReadonlySet<number>;
}

/** One attempt's logs, and what becomes of them. */
export interface LogRetentionEntry {
  readonly attempt: number;
  readonly names: readonly string[];
  readonly bytes: number;
  readonly verdict: "remove" | "keep";
  readonly rule: "container" | "newest" | "kept" | "attempts" | "bytes";
  readonly reason: string;
}

/** Newest first. Files that are no logs are not touched. */
export function planLogRetention(
  { files, attempts }: LogFolderFacts,
  { keepAttempts, maxBytesPerContainer }: LogRetentionPolicy,
): readonly LogRetentionEntry[] {
  const byAttempt = new Map<number, LogFile[]>();
  for (const file of files) {
    const attempt = attemptOfLog(file.name);
    if (attempt === undefined) continue;
    const known = byAttempt.get(attempt);
    if (known === undefined) byAttempt.set(attempt, [file]);
    else known.push(file);
  }
  const ordered = [...byAttempt.keys()].sort((a, b) => b - a);
  const newest = ordered[0];
  let kept = 0;
  let keptBytes = 0;
  return ordered.map((attempt) => {
    const own = byAttempt.get(attempt) ?? [];
    const bytes = own.reduce((sum, file) => sum + file.bytes, 0);
    const entry = { attempt, names: own.map(({ name }) => name), bytes };
    if (attempts.has(attempt))
      return { ...entry, verdict: "keep", rule: "container", reason: "its container is there" };
    // Its container may be about to be created, and a count of restarts begins at its number.
    if (attempt === newest) {
      kept += 1;
      keptBytes += bytes;
      return { ...entry, verdict: "keep", rule: "newest", reason: "the newest" };
    }
    if (keepAttempts >= 0 && kept >= keepAttempts)
      return {
        ...entry,
        verdict: "remove",
        rule: "attempts",
        reason: `older than the ${keepAttempts} that are kept`,
      };
    if (maxBytesPerContainer >= 0 && kept > 0 && keptBytes + bytes > maxBytesPerContainer) {
      // Older ones go as well, also where they would fit: what is left has no holes.
      keptBytes = Number.POSITIVE_INFINITY;
      const reason = `more than ${formatBytes(maxBytesPerContainer)}`;
      return { ...entry, verdict: "remove", rule: "bytes", reason };
    }
    kept += 1;
    keptBytes += bytes;
    return { ...entry, verdict: "keep", rule: "kept", reason: "within the limits" };
  });
}
