// SPDX-License-Identifier: Apache-2.0

/** What one cgroup says of itself and all below it, whichever version it is of. */
import type { IoCounters } from "../parse/parse-io.ts";
import type { PSIStats } from "../summary.ts";

/** Memory of a cgroup, in bytes. */
export interface CgroupMemory {
  readonly usageBytes: number;
  /** Usage less inactive page cache, never below zero. kubelet: WorkingSet. */
  readonly workingSetBytes: number;
  readonly rssBytes: number | undefined;
  readonly pageFaults: number | undefined;
  readonly majorPageFaults: number | undefined;
  /** The cgroup's own limit; undefined without one. */
  readonly limitBytes: number | undefined;
}

/** Swap of a cgroup, in bytes. */
export interface CgroupSwap {
  readonly usageBytes: number;
  /** Undefined without a limit. */
  readonly limitBytes: number | undefined;
}

/** How long things were waited for. */
export interface CgroupPressure {
  readonly cpu: PSIStats | undefined;
  readonly memory: PSIStats | undefined;
  readonly io: PSIStats | undefined;
}

/** One reading. What its version, its kernel or its controllers do not offer is undefined. */
export interface CgroupFigures {
  /** CPU time used since the cgroup was made. */
  readonly cpuNanos: number | undefined;
  readonly memory: CgroupMemory | undefined;
  readonly swap: CgroupSwap | undefined;
  /** Processes and threads. */
  readonly pids: number | undefined;
  readonly pressure: CgroupPressure | undefined;
  /** Only when asked for. */
  readonly io: IoCounters | undefined;
}

/** What to read beside CPU and memory. Each costs a file or three a cgroup. */
export interface CgroupParts {
  readonly pids?: boolean;
  readonly pressure?: boolean;
  readonly swap?: boolean;
  readonly io?: boolean;
}

/** Limits from here on mean none. kubelet: maxMemorySize, 2^62. */
export const NO_LIMIT_BYTES: number = 2 ** 62;

/** Usage less inactive page cache. kubelet: setMemoryStats. */
export function computeWorkingSet(usageBytes: number, inactiveFileBytes: number): number {
  return Math.max(usageBytes - inactiveFileBytes, 0);
}

/** What is left under a limit; undefined without one. kubelet: AvailableBytes. */
export function computeAvailable(
  limitBytes: number | undefined,
  workingSetBytes: number,
): number | undefined {
  if (limitBytes === undefined || limitBytes >= NO_LIMIT_BYTES) return undefined;
  return Math.max(limitBytes - workingSetBytes, 0);
}
