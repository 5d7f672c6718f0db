// SPDX-License-Identifier: Apache-2.0

import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";

/** What a process costs while nothing happens. */
export interface IdleCost {
  /** Percent of one core. */
  readonly cpuPercent: number;
  readonly rssMb: number;
  /** The part that is the process's own: heap, stacks, buffers. */
  readonly rssAnonMb: number;
  readonly seconds: number;
}

/** The kernel's clock ticks, as `getconf CLK_TCK` gives on every Linux of today. */
const TICKS_PER_SECOND = 100;
/** What /proc calls kB is 1024 bytes; the budgets are in 10^6 bytes. */
const MB_PER_KB = 1024 / 1e6;

/** Watches `pid` for `seconds`. */
export async function idleCost(pid: number, seconds: number): Promise<IdleCost> {
  const [ticksBefore, startedAt] = [cpuTicks(pid), performance.now()];
  await pause(seconds * 1000);
  const ticks = cpuTicks(pid) - ticksBefore;
  const elapsed = (performance.now() - startedAt) / 1000;
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const kb = (key: string): number =>
    Number(new RegExp(`^${key}:\\s+(\\d+) kB$`, "m").exec(status)?.[1] ?? 0);
  return {
    cpuPercent: (ticks / TICKS_PER_SECOND / elapsed) * 100,
    rssMb: kb("VmRSS") * MB_PER_KB,
    rssAnonMb: kb("RssAnon") * MB_PER_KB,
    seconds: elapsed,
  };
}

/** Seconds of CPU that a piece of work took: the agent's own, and the whole machine's (runtime, kernel and this benchmark included). */
export interface CpuSeconds {
  readonly agent: number;
  readonly machine: number;
}

/** Measures `work`; `pid` is the agent's, 0 for none. */
export async function cpuOf<T>(pid: number, work: () => Promise<T>): Promise<[T, CpuSeconds]> {
  const own = (): number => (pid === 0 ? 0 : cpuTicks(pid));
  const [ownBefore, machineBefore] = [own(), machineTicks()];
  const result = await work();
  return [
    result,
    {
      agent: (own() - ownBefore) / TICKS_PER_SECOND,
      machine: (machineTicks() - machineBefore) / TICKS_PER_SECOND,
    },
  ];
}

/** Everything but idle, waiting for a disk and stolen time: /proc/stat's user, nice, system, irq and softirq. */
function machineTicks(): number {
  const [line = ""] = readFileSync("/proc/stat", "utf8").split("\n", 1);
  const [user, nice, system, , , irq, softirq] = line.split(/\s+/).slice(1).map(Number);
  return (user ?? 0) + (nice ?? 0) + (system ?? 0) + (irq ?? 0) + (softirq ?? 0);
}

function cpuTicks(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return Number(fields[11]) + Number(fields[12]);
}
