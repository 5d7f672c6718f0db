// SPDX-License-Identifier: Apache-2.0

/** Lines of /proc, and what they say about commands that left processes behind. Pure: the texts are given. */

/** What is read of /proc/PID/stat. */
export interface ProcStat {
  readonly pid: number;
  readonly parent: number;
  /** The process that leads its session. */
  readonly session: number;
  /** Since the machine's start. */
  readonly startedMs: number;
}

/** A process and how it was called. */
export interface CalledProcess extends ProcStat {
  readonly words: readonly string[];
}

/** The kernel shows hundredths of a second, whatever its own clock is. */
const MS_PER_TICK = 10;

/** Undefined when the text is none, or of a process that has ended and is only not buried yet. A name may hold spaces and brackets. */
export function parseProcStat(text: string): ProcStat | undefined {
  const pid = Number.parseInt(text, 10);
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const parent = Number(fields[1]);
  const session = Number(fields[3]);
  const ticks = Number(fields[19]);
  if (!Number.isSafeInteger(pid) || !Number.isSafeInteger(session) || !Number.isSafeInteger(ticks))
    return undefined;
  return fields[0] === "Z" ? undefined : { pid, parent, session, startedMs: ticks * MS_PER_TICK };
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

/**
 * The sessions that a command leads while it runs: called as we called it, begun since `sinceMs`, and by nobody in the container. The kernel gives no number of a
 * session away again while a process is left in it, so what is found there later is the command's, and nobody else's.
 */
export function commandSessions(
  processes: readonly CalledProcess[],
  command: readonly string[],
  sinceMs: number,
): readonly number[] {
  const inside = new Set(processes.map(({ pid }) => pid));
  return processes
    .filter(
      ({ pid, parent, session, startedMs, words }) =>
        pid === session && !inside.has(parent) && startedMs >= sinceMs && isCalled(words, command),
    )
    .map(({ session }) => session);
}

/** Those of `sessions` that live on without their leader. */
export function leftInSessions(
  processes: readonly ProcStat[],
  sessions: readonly number[],
): readonly ProcStat[] {
  const alive = new Set(processes.map(({ pid }) => pid));
  return processes.filter(({ session }) => sessions.includes(session) && !alive.has(session));
}

/**
 * A script stands behind its interpreter, a program that was searched for behind its folder; and a shell becomes the last command of what it was given, where it can.
 */
function isCalled(words: readonly string[], command: readonly string[]): boolean {
  const [program = "", ...rest] = command;
  const [first = "", ...others] = words.slice(words.length - command.length);
  if (words.length >= command.length && others.every((word, index) => word === rest[index]))
    return program !== "" && (first === program || first.endsWith(`/${program}`));
  const script = command.at(-2) === "-c" ? (command.at(-1) ?? "").trimEnd() : "";
  return words.length > 0 && ` ${script}`.endsWith(` ${words.join(" ")}`);
}
