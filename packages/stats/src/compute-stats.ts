// SPDX-License-Identifier: Apache-2.0

/** Pure: from figures as they were read to the Summary's shape. What is not known is left out. */
import { computeAvailable } from "./cgroup/cgroup-figures.ts";
import type { CgroupFigures } from "./cgroup/cgroup-figures.ts";
import type { FilesystemFigures } from "./disk/filesystem-reader.ts";
import type {
  CPUStats,
  FsStats,
  InterfaceStats,
  IOStats,
  MemoryStats,
  NetworkStats,
  SwapStats,
  Time,
  VolumeStats,
} from "./summary.ts";

/** kubelet: defaultNetworkInterfaceName. */
const DEFAULT_INTERFACE = "eth0";

/** The parts of {@link PodStats}, {@link ContainerStats} and {@link NodeStats} that a cgroup fills. */
export interface UsageStats {
  readonly cpu?: CPUStats;
  readonly memory?: MemoryStats;
  readonly io?: IOStats;
  readonly swap?: SwapStats;
}

/** Drops what is undefined: the Summary has no such fields. */
export function known<T extends object>(fields: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const kept: Partial<Record<keyof T, unknown>> = {};
  for (const key of Object.keys(fields) as (keyof T)[])
    if (fields[key] !== undefined) kept[key] = fields[key];
  return kept as { [K in keyof T]: Exclude<T[K], undefined> };
}

/** What a cgroup says, as the Summary has it. */
export function usageStats(
  figures: CgroupFigures,
  time: Time,
  usageNanoCores: number | undefined,
): UsageStats {
  const { cpuNanos, memory, pressure, swap, io } = figures;
  return known({
    cpu:
      cpuNanos === undefined
        ? undefined
        : known({ time, usageNanoCores, usageCoreNanoSeconds: cpuNanos, psi: pressure?.cpu }),
    memory:
      memory === undefined
        ? undefined
        : known({
            time,
            availableBytes: computeAvailable(memory.limitBytes, memory.workingSetBytes),
            usageBytes: memory.usageBytes,
            workingSetBytes: memory.workingSetBytes,
            rssBytes: memory.rssBytes,
            pageFaults: memory.pageFaults,
            majorPageFaults: memory.majorPageFaults,
            psi: pressure?.memory,
          }),
    io:
      pressure?.io === undefined && io === undefined ? undefined : known({ time, psi: pressure?.io, ...io }),
    swap:
      swap === undefined
        ? undefined
        : known({
            time,
            swapAvailableBytes: computeAvailable(swap.limitBytes, swap.usageBytes),
            swapUsageBytes: swap.usageBytes,
          }),
  }) as UsageStats;
}

/** Interfaces of one network; `main` is flattened, else `eth0`. Undefined when there is none. */
export function networkStats(
  interfaces: readonly InterfaceStats[],
  time: Time,
  main: string = DEFAULT_INTERFACE,
): NetworkStats | undefined {
  if (interfaces.length === 0) return undefined;
  const first = interfaces.find(({ name }) => name === main);
  return { time, ...(first ?? { name: "" }), interfaces };
}

/** A whole file system. */
export function wholeFsStats(figures: FilesystemFigures, time: Time): FsStats {
  return {
    time,
    availableBytes: figures.availableBytes,
    capacityBytes: figures.capacityBytes,
    usedBytes: figures.usedBytes,
    ...(figures.inodes !== undefined && {
      inodesFree: figures.inodes.free,
      inodes: figures.inodes.total,
      inodesUsed: figures.inodes.used,
    }),
  };
}

/** What something takes of a file system: its own use beside the whole's room. */
export function partFsStats(
  used: { readonly usedBytes?: number | undefined; readonly inodesUsed?: number | undefined },
  whole: FsStats | undefined,
  time: Time,
): FsStats {
  return known({
    time,
    availableBytes: whole?.availableBytes,
    capacityBytes: whole?.capacityBytes,
    usedBytes: used.usedBytes,
    inodesFree: whole?.inodesFree,
    inodes: whole?.inodes,
    inodesUsed: used.inodesUsed,
  }) as FsStats;
}

/** Use of ephemeral storage: writable layers, logs and local ephemeral volumes; undefined when none of them is known. kubelet: calcEphemeralStorage. */
export function ephemeralStorage(
  containers: readonly { readonly rootfs?: FsStats; readonly logs?: FsStats }[],
  volumes: readonly VolumeStats[],
  whole: FsStats | undefined,
  time: Time,
): FsStats | undefined {
  const parts = [...containers.flatMap(({ rootfs, logs }) => [rootfs, logs]), ...volumes].filter(
    (part) => part !== undefined,
  );
  if (parts.length === 0) return undefined;
  const sum = (key: "usedBytes" | "inodesUsed"): number | undefined => {
    const values = parts.flatMap((part) => part[key] ?? []);
    return values.length === 0 ? undefined : values.reduce((total, value) => total + value, 0);
  };
  return partFsStats({ usedBytes: sum("usedBytes"), inodesUsed: sum("inodesUsed") }, whole, time);
}
