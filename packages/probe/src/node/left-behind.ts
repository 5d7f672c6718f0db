// SPDX-License-Identifier: Apache-2.0

/** What commands left behind, from /proc, and its end. Only looked at when a command is about to time out, and after it has. */
import { readdir } from "node:fs/promises";
import { readFileSync } from "node:fs";
import type { ProbeProcesses } from "../ports.ts";
import {
  commandSessions,
  countLeftBehind,
  isInContainer,
  leftInSessions,
  parseProcStat,
} from "../proc-stat.ts";
import type { ProcStat } from "../proc-stat.ts";

/** So many processes are read before others get their turn: a millisecond or two. */
const CHUNK = 64;
const MS = 1000;
/** Ticks of the kernel's clock are 10 ms; a command may seem to have begun before we asked for it. */
const TICK_MS = 10;

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // It has ended.
    return "";
  }
}

const statOf = (pid: number | string): ProcStat | undefined => parseProcStat(readText(`/proc/${pid}/stat`));

/** All that live in the container now. */
async function processesOf(containerId: string): Promise<readonly ProcStat[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const found: ProcStat[] = [];
  for (const [index, pid] of pids.entries()) {
    if (index % CHUNK === CHUNK - 1) await new Promise<void>((resolve) => setImmediate(resolve));
    if (!isInContainer(readText(`/proc/${pid}/cgroup`), containerId)) continue;
    const stat = statOf(pid);
    if (stat !== undefined) found.push(stat);
  }
  return found;
}

/** Milliseconds after the machine's start, so long ago. Read first, and at once: on a busy machine everything else takes its time. */
function sinceBoot(withinMs: number): number {
  return Number.parseFloat(readText("/proc/uptime")) * MS - withinMs - TICK_MS;
}

/** False when it has ended by itself, or is another one by now. */
function kill({ pid, session, startedMs }: ProcStat): boolean {
  const now = statOf(pid);
  if (now?.session !== session || now.startedMs !== startedMs) return false;
  try {
    return process.kill(pid, "SIGKILL");
  } catch {
    // Ended in between.
    return false;
  }
}

/** Fits `ProbeManagerOptions.processes`. */
export const nodeProbeProcesses: Required<ProbeProcesses> = {
  async leftBehind(containerId, withinMs) {
    const sinceMs = sinceBoot(withinMs);
    return countLeftBehind(await processesOf(containerId), sinceMs);
  },
  async sessionsOf(containerId, command, withinMs) {
    const sinceMs = sinceBoot(withinMs);
    const processes = (await processesOf(containerId)).map((one) => {
      const words = readText(`/proc/${one.pid}/cmdline`).split("\0").slice(0, -1);
      return { ...one, words };
    });
    return commandSessions(processes, command, sinceMs);
  },
  async endSessions(containerId, sessions) {
    return leftInSessions(await processesOf(containerId), sessions).filter(kill).length;
  },
};
