// SPDX-License-Identifier: Apache-2.0

import { countAfter, parseCount } from "../parse/parse-count.ts";
import { parseBlkio } from "../parse/parse-io.ts";
import type { IoCounters } from "../parse/parse-io.ts";
import type { KernelFiles } from "../ports.ts";
import { computeWorkingSet, NO_LIMIT_BYTES } from "./cgroup-figures.ts";
import type { CgroupFigures, CgroupMemory, CgroupParts, CgroupSwap } from "./cgroup-figures.ts";
import type { CgroupLayout } from "./cgroup-reader.ts";
import { readPressure } from "./read-cgroup-v2.ts";

/** One cgroup of version 1: one folder in each hierarchy. `at` is "" for the root. Its pressure comes from the v2 tree beside it, if there is one. */
export function readCgroupV1(
  files: KernelFiles,
  layout: CgroupLayout,
  at: string,
  parts: CgroupParts,
): CgroupFigures | undefined {
  const count = (folder: string | undefined, name: string): number | undefined => {
    if (folder === undefined) return undefined;
    const file = `${folder}${at}/${name}`;
    const text = files.read(file);
    return text === undefined ? undefined : parseCount(text, file);
  };
  const cpuNanos = count(layout.cpu, "cpuacct.usage");
  const memory = layout.memory === undefined ? undefined : readMemory(files, `${layout.memory}${at}`, count);
  if (cpuNanos === undefined && memory === undefined) return undefined;
  return {
    cpuNanos,
    memory: memory?.figures,
    swap: parts.swap === true ? memory?.swap : undefined,
    pids: parts.pids === true && at !== "" ? count(layout.pids, "pids.current") : undefined,
    pressure: parts.pressure === true ? readPressure(files, layout, at) : undefined,
    io: parts.io === true && layout.blkio !== undefined ? readIo(files, `${layout.blkio}${at}`) : undefined,
  };

  function readMemory(
    from: KernelFiles,
    folder: string,
    counted: typeof count,
  ): { readonly figures: CgroupMemory; readonly swap: CgroupSwap | undefined } | undefined {
    const statFile = `${folder}/memory.stat`;
    const stat = from.read(statFile);
    const usageBytes = counted(layout.memory, "memory.usage_in_bytes");
    if (stat === undefined || usageBytes === undefined) return undefined;
    const of = (key: string): number | undefined => countAfter(stat, key, statFile);
    // It is the least of this limit and those above: when there is none, the cgroup's own need not be read.
    const least = of("hierarchical_memory_limit");
    const own =
      least !== undefined && least >= NO_LIMIT_BYTES
        ? least
        : counted(layout.memory, "memory.limit_in_bytes");
    const swap = of("total_swap");
    return {
      figures: {
        usageBytes,
        workingSetBytes: computeWorkingSet(usageBytes, of("total_inactive_file") ?? 0),
        rssBytes: of("total_rss"),
        pageFaults: of("total_pgfault"),
        majorPageFaults: of("total_pgmajfault"),
        limitBytes: own === undefined || own >= NO_LIMIT_BYTES ? undefined : own,
      },
      // v1 limits memory and swap together: there is no limit of swap alone.
      swap: swap === undefined ? undefined : { usageBytes: swap, limitBytes: undefined },
    };
  }
}

function readIo(files: KernelFiles, folder: string): IoCounters | undefined {
  const both = (name: string): ReturnType<typeof parseBlkio> | undefined => {
    // The recursive file also has what is below; the throttling layer's exists with every scheduler.
    const file = `${folder}/${name}_recursive`;
    const text = files.read(file);
    return text === undefined ? undefined : parseBlkio(text, file);
  };
  const bytes = both("blkio.throttle.io_service_bytes");
  const operations = both("blkio.throttle.io_serviced");
  if (bytes === undefined || operations === undefined) return undefined;
  return {
    readBytes: bytes.read,
    writeBytes: bytes.write,
    readOperations: operations.read,
    writeOperations: operations.write,
  };
}
