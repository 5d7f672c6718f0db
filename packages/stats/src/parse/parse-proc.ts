// SPDX-License-Identifier: Apache-2.0

import { badFormat, parseCount } from "./parse-count.ts";

/** What is read of /proc/meminfo. Bytes. */
export interface MemInfo {
  readonly totalBytes: number;
  readonly swapTotalBytes: number;
  readonly swapFreeBytes: number;
}

const BYTES_PER_KB = 1024;

/** /proc/meminfo. */
export function parseMemInfo(text: string, file = "/proc/meminfo"): MemInfo {
  const bytes = (key: string): number => {
    const match = new RegExp(`^${key}: +(\\d{1,20}) kB$`, "m").exec(text);
    if (match?.[1] === undefined) throw badFormat(file, text);
    return Number(match[1]) * BYTES_PER_KB;
  };
  return {
    totalBytes: bytes("MemTotal"),
    swapTotalBytes: bytes("SwapTotal"),
    swapFreeBytes: bytes("SwapFree"),
  };
}

/** How many processes and threads there are: the second part of the fourth field of /proc/loadavg. */
export function parseRunningTasks(text: string, file = "/proc/loadavg"): number {
  const [, , , tasks = ""] = text.trim().split(/\s+/);
  const match = /^\d{1,10}\/(\d{1,10})$/.exec(tasks);
  if (match?.[1] === undefined) throw badFormat(file, text);
  return Number(match[1]);
}

/** `btime` of /proc/stat: seconds since the epoch at which the machine was booted. */
export function parseBootTime(text: string, file = "/proc/stat"): number {
  const match = /^btime (\d{1,12})$/m.exec(text);
  if (match?.[1] === undefined) throw badFormat(file, text);
  return parseCount(match[1], file);
}

/** The first process id in a cgroup.procs; undefined when there is none, or none that this process may see (0: another pid namespace's). */
export function parseFirstPid(text: string): number | undefined {
  const match = /^\s*([1-9]\d{0,9})$/m.exec(text);
  return match?.[1] === undefined ? undefined : Number(match[1]);
}
