// SPDX-License-Identifier: Apache-2.0

/** Carries out what {@link planLogRetention} says, for every pod that is proved ours. */
import type { Publisher } from "@holdfast/bus";
import { podUidOfLogFolder } from "../container/plan-log-folders.ts";
import { LogsRemoved } from "../events.ts";
import type { LogFiles } from "../ports.ts";
import type { LogRetentionPolicy } from "./log-policy.ts";
import type { LogTarget } from "./log-targets.ts";
import { planLogRetention } from "./plan-log-retention.ts";
import type { LogRetentionEntry } from "./plan-log-retention.ts";

/** What pruning works with. */
export interface LogPrunerDeps {
  readonly files: LogFiles;
  readonly podLogsDir: string;
  readonly ownsPod: (uid: string) => boolean;
  readonly policy: LogRetentionPolicy;
  readonly publish: Publisher;
}

/** Plans of all folders with the logs of one container name. */
export interface FolderRetention {
  readonly folder: string;
  readonly podUid: string;
  readonly container: string;
  readonly entries: readonly LogRetentionEntry[];
}

/** What would go where. */
export async function planAllRetention(
  { files, podLogsDir, ownsPod, policy }: LogPrunerDeps,
  targets: readonly LogTarget[],
  signal: AbortSignal,
): Promise<readonly FolderRetention[]> {
  const attempts = new Map<string, Set<number>>();
  for (const { folder, attempt } of targets) {
    const known = attempts.get(folder);
    if (known === undefined) attempts.set(folder, new Set([attempt]));
    else known.add(attempt);
  }
  const plans: FolderRetention[] = [];
  for (const pod of await files.folders(podLogsDir)) {
    const podUid = podUidOfLogFolder(pod);
    if (!ownsPod(podUid)) continue;
    for (const container of await files.folders(`${podLogsDir}/${pod}`)) {
      signal.throwIfAborted();
      const folder = `${podLogsDir}/${pod}/${container}`;
      const facts = { files: await files.list(folder), attempts: attempts.get(folder) ?? new Set() };
      plans.push({ folder, podUid, container, entries: planLogRetention(facts, policy) });
    }
  }
  return plans;
}

/** Removes what the plans say; returns how many bytes. */
export async function pruneLogs(
  { files, publish }: LogPrunerDeps,
  plans: readonly FolderRetention[],
  signal: AbortSignal,
): Promise<number> {
  let bytes = 0;
  for (const { folder, podUid, container, entries } of plans)
    for (const entry of entries) {
      if (entry.verdict === "keep") continue;
      signal.throwIfAborted();
      for (const name of entry.names) await files.remove(`${folder}/${name}`);
      bytes += entry.bytes;
      const { attempt, rule, reason } = entry;
      const data = { path: `${folder}/${attempt}.log`, bytes: entry.bytes, rule, reason };
      publish.publish(LogsRemoved, data, { subject: { podUid, container } });
    }
  return bytes;
}
