// SPDX-License-Identifier: Apache-2.0

/** Pure: whether a log is rotated, and what becomes of the files that were rotated before. kubelet: containerLogManager.rotateLog. */
import { formatBytes } from "../format-bytes.ts";
import type { LogFile } from "../ports.ts";
import { COMPRESSED, rotationSuffix, TEMPORARY, uncompressedName } from "./log-names.ts";
import type { LogRotationPolicy } from "./log-policy.ts";

/** What a plan is made from. */
export interface LogRotationFacts {
  /** The log's own name: `0.log`. */
  readonly log: string;
  readonly bytes: number;
  /** All files of its folder. */
  readonly files: readonly LogFile[];
  /** Names of files that are being compressed, and of what they are compressed into. */
  readonly busy: ReadonlySet<string>;
  /** Wall time. */
  readonly now: number;
}

/** A rotated file that goes, and why. */
export interface RotatedLogRemoval {
  readonly name: string;
  readonly bytes: number;
  readonly rule: "temporary" | "duplicate" | "excess";
  readonly reason: string;
}

/** What would be done: removals, then the rename, then the runtime reopens the log, then compression. */
export interface LogRotationPlan {
  readonly rotate: boolean;
  readonly reason: string;
  readonly removals: readonly RotatedLogRemoval[];
  /** The name that the log gets. */
  readonly rotatedTo: string;
  /** Names, oldest first. The one just rotated is not among them. */
  readonly compress: readonly string[];
}

/** Of the files that stay, one is written to and one was rotated last. */
const CURRENT_AND_LAST = 2;

/** See the top of the file. */
export function planLogRotation(facts: LogRotationFacts, policy: LogRotationPolicy): LogRotationPlan {
  const { log, bytes, files, busy, now } = facts;
  const size = formatBytes(bytes);
  if (policy.maxSizeBytes < 0) return stays(`rotation is off`);
  if (bytes < policy.maxSizeBytes) return stays(`${size}, less than ${formatBytes(policy.maxSizeBytes)}`);
  const removals: RotatedLogRemoval[] = [];
  const rotated = files.filter(({ name }) => name.startsWith(`${log}.`));
  const names = new Set(rotated.map(({ name }) => name));
  const kept = rotated.filter((file) => {
    const { name } = file;
    if (busy.has(name)) return !name.endsWith(TEMPORARY);
    if (name.endsWith(TEMPORARY))
      removals.push({ ...file, rule: "temporary", reason: "left over from a compression" });
    else if (!name.endsWith(COMPRESSED) && names.has(name + COMPRESSED))
      removals.push({ ...file, rule: "duplicate", reason: "its compressed form is there" });
    else return true;
    return false;
  });
  kept.sort((a, b) => compareRotated(a.name, b.name));
  const excess = Math.max(kept.length - (policy.maxFiles - CURRENT_AND_LAST), 0);
  for (const file of kept.slice(0, excess))
    removals.push({ ...file, rule: "excess", reason: `more than ${policy.maxFiles} files` });
  return {
    rotate: true,
    reason: `${size}, ${formatBytes(policy.maxSizeBytes)} or more`,
    removals,
    rotatedTo: laterName(`${log}.${rotationSuffix(now)}`, [...names].filter(isFinished)),
    compress: kept
      .slice(excess)
      .map(({ name }) => name)
      .filter((name) => !name.endsWith(COMPRESSED) && !busy.has(name)),
  };
}

/** A container's logs, oldest first and the one that is written last. kubelet: GetAllLogs. */
export function allLogs(log: string, names: readonly string[]): readonly string[] {
  const known = new Set(names);
  const rotated = names.filter(
    (name) =>
      name.startsWith(`${log}.`) &&
      !name.endsWith(TEMPORARY) &&
      (name.endsWith(COMPRESSED) || !known.has(name + COMPRESSED)),
  );
  return [...rotated.sort(compareRotated), ...(known.has(log) ? [log] : [])];
}

/** Older first: names end with the time of their rotation. */
function compareRotated(a: string, b: string): number {
  const [first, second] = [uncompressedName(a), uncompressedName(b)];
  if (first === second) return 0;
  return first < second ? -1 : 1;
}

function isFinished(name: string): boolean {
  return !name.endsWith(TEMPORARY);
}

const COUNT_DIGITS = 6;

/**
 * Later in order than every rotated file: also when two rotations fall into one second, and when the clock was set back since, lest the newest be
 * taken for the oldest.
 */
function laterName(name: string, rotated: readonly string[]): string {
  const newest = rotated.map(uncompressedName).reduce((a, b) => (a > b ? a : b), "");
  if (name > newest) return name;
  const [, base = newest, count = "1"] = /^(.*?)(?:_(\d{6}))?$/.exec(newest) ?? [];
  return `${base}_${String(Number(count) + 1).padStart(COUNT_DIGITS, "0")}`;
}

function stays(reason: string): LogRotationPlan {
  return { rotate: false, reason, removals: [], rotatedTo: "", compress: [] };
}
