// SPDX-License-Identifier: Apache-2.0

/** Counts what commands left behind, from /proc. Only asked after a command timed out. */
import { readdir, readFile } from "node:fs/promises";
import { readFileSync } from "node:fs";
import type { ProbeProcesses } from "../ports.ts";
import { countLeftBehind, isInContainer, parseProcStat } from "../proc-stat.ts";
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

/** Fits `ProbeManagerOptions.processes`. */
export const nodeProbeProcesses: ProbeProcesses = {
  async leftBehind(containerId, withinMs) {
    const uptimeMs = Number.parseFloat(await readFile("/proc/uptime", "utf8")) * MS;
    const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
    const found: ProcStat[] = [];
    for (const [index, pid] of pids.entries()) {
      if (index % CHUNK === CHUNK - 1) await new Promise<void>((resolve) => setImmediate(resolve));
      if (!isInContainer(readText(`/proc/${pid}/cgroup`), containerId)) continue;
      const stat = parseProcStat(readText(`/proc/${pid}/stat`));
      if (stat !== undefined) found.push(stat);
    }
    return countLeftBehind(found, uptimeMs - withinMs - TICK_MS);
  },
};
