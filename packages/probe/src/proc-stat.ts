// SPDX-License-Identifier: Apache-2.0

/** Lines of /proc, and what they say about commands that left processes behind. Pure: the texts are given. */

/** What is read of /proc/PID/stat. */
export interface ProcStat {
  readonly pid: number;
  /** The process that leads its session. */
  readonly session: number;
  /** Since the machine's start. */
  readonly startedMs: number;
}

/** The kernel shows hundredths of a second, whatever its own clock is. */
const MS_PER_TICK = 10;

/** Undefined when the text is none: the process has ended meanwhile. A name may hold spaces and brackets. */
export function parseProcStat(text: string): ProcStat | undefined {
  const pid = Number.parseInt(text, 10);
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const session = Number(fields[3]);
  const ticks = Number(fields[19]);
  if (!Number.isSafeInteger(pid) || !Number.isSafeInteger(session) || !Number.isSafeInteger(ticks))
    return undefined;
  return { pid, session, startedMs: ticks * MS_PER_TICK };
}

/** Whether a process belongs to that container, by the text of its /proc/PID/cgroup: the path ends in the id with every cgroup driver. */
export function isInContainer(cgroup: string, containerId: string): boolean {
  return containerId !== "" && cgroup.includes(containerId);
}

/**
 * How many of a container's processes a command left: begun since `sinceMs`, in a session whose leader, the command itself, is gone. A program of
 * the container stays in the session of its first process; only one that makes itself a daemon within these seconds looks the same.
 */
export function countLeftBehind(processes: readonly ProcStat[], sinceMs: number): number {
  const alive = new Set(processes.map(({ pid }) => pid));
  return processes.filter(({ session, startedMs }) => startedMs >= sinceMs && !alive.has(session)).length;
}
