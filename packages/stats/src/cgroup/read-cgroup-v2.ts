// SPDX-License-Identifier: Apache-2.0

import { countAfter, parseCount, parseLimit } from "../parse/parse-count.ts";
import { parseIoStat } from "../parse/parse-io.ts";
import { parsePressure } from "../parse/parse-pressure.ts";
import type { KernelFiles } from "../ports.ts";
import type { PSIStats } from "../summary.ts";
import { computeWorkingSet } from "./cgroup-figures.ts";
import type {
  CgroupFigures,
  CgroupMemory,
  CgroupParts,
  CgroupPressure,
  CgroupSwap,
} from "./cgroup-figures.ts";
import type { CgroupLayout } from "./cgroup-reader.ts";

const NANOS_PER_MICRO = 1000;

/** One cgroup of version 2. `at` is "" for the root, which has no memory.current and no limits. */
export function readCgroupV2(
  files: KernelFiles,
  layout: CgroupLayout,
  at: string,
  parts: CgroupParts,
): CgroupFigures | undefined {
  const folder = `${layout.memory ?? ""}${at}`;
  const cpuFile = `${folder}/cpu.stat`;
  const cpu = files.read(cpuFile);
  const memory = readMemory(files, folder, at === "");
  if (cpu === undefined && memory === undefined) return undefined;
  const micros = cpu === undefined ? undefined : countAfter(cpu, "usage_usec", cpuFile);
  const count = (name: string): number | undefined => {
    const file = `${folder}/${name}`;
    const text = files.read(file);
    return text === undefined ? undefined : parseCount(text, file);
  };
  const ioFile = `${folder}/io.stat`;
  const io = parts.io === true ? files.read(ioFile) : undefined;
  return {
    cpuNanos: micros === undefined ? undefined : micros * NANOS_PER_MICRO,
    memory,
    swap: parts.swap === true && at !== "" ? readSwap(files, folder) : undefined,
    pids: parts.pids === true && at !== "" ? count("pids.current") : undefined,
    pressure: parts.pressure === true ? readPressure(files, layout, at) : undefined,
    io: io === undefined ? undefined : parseIoStat(io, ioFile),
  };
}

/** Pressure of a cgroup; of the whole machine for the root, where each version and kernel has it at the same place. */
export function readPressure(
  files: KernelFiles,
  { pressure }: CgroupLayout,
  at: string,
): CgroupPressure | undefined {
  if (pressure === undefined && at !== "") return undefined;
  const of = (kind: string): PSIStats | undefined => {
    const file = at === "" ? `/proc/pressure/${kind}` : `${pressure}${at}/${kind}.pressure`;
    const text = files.read(file);
    return text === undefined ? undefined : parsePressure(text, file);
  };
  const cpu = of("cpu");
  return cpu === undefined ? undefined : { cpu, memory: of("memory"), io: of("io") };
}

function readMemory(files: KernelFiles, folder: string, isRoot: boolean): CgroupMemory | undefined {
  const statFile = `${folder}/memory.stat`;
  const stat = files.read(statFile);
  if (stat === undefined) return undefined;
  const rssBytes = countAfter(stat, "anon", statFile);
  const usageFile = `${folder}/memory.current`;
  const current = isRoot ? undefined : files.read(usageFile);
  // kubelet: the root's usage is what the statistics add up to.
  const usageBytes =
    current === undefined
      ? (rssBytes ?? 0) + (countAfter(stat, "file", statFile) ?? 0)
      : parseCount(current, usageFile);
  const limitFile = `${folder}/memory.max`;
  const limit = isRoot ? undefined : files.read(limitFile);
  return {
    usageBytes,
    workingSetBytes: computeWorkingSet(usageBytes, countAfter(stat, "inactive_file", statFile) ?? 0),
    rssBytes,
    pageFaults: countAfter(stat, "pgfault", statFile),
    majorPageFaults: countAfter(stat, "pgmajfault", statFile),
    limitBytes: limit === undefined ? undefined : parseLimit(limit, limitFile),
  };
}

function readSwap(files: KernelFiles, folder: string): CgroupSwap | undefined {
  const usageFile = `${folder}/memory.swap.current`;
  const usage = files.read(usageFile);
  if (usage === undefined) return undefined;
  const limitFile = `${folder}/memory.swap.max`;
  const limit = files.read(limitFile);
  return {
    usageBytes: parseCount(usage, usageFile),
    limitBytes: limit === undefined ? undefined : parseLimit(limit, limitFile),
  };
}
