// SPDX-License-Identifier: Apache-2.0
//
// What a running program uses, and how its ports are, at a time after its start. Pure.

import type { Program, ServedPort } from "./program.ts";

const MS_PER_SECOND = 1000;
const NANOS_PER_MS = 1_000_000;
const DEFAULT_MEMORY = 1_048_576;
const DEFAULT_CORES = 0.01;

/** Bytes of memory after so many milliseconds. */
export function memoryAt(
  { memoryBytes = DEFAULT_MEMORY, memoryGrowthPerSecond = 0 }: Program,
  ms: number,
): number {
  return Math.max(Math.round(memoryBytes + (memoryGrowthPerSecond * ms) / MS_PER_SECOND), 0);
}

/** Nanoseconds of CPU time after so many milliseconds. */
export function cpuNanosAt({ cpuCores = DEFAULT_CORES }: Program, ms: number): number {
  return Math.round(cpuCores * ms * NANOS_PER_MS);
}

/** Nanoseconds of CPU time in a second. */
export function cpuNanoCores({ cpuCores = DEFAULT_CORES }: Program): number {
  return Math.round(cpuCores * MS_PER_SECOND * NANOS_PER_MS);
}

/** Bytes in the writable layer after so many milliseconds, were there room. */
export function diskAt({ diskBytes = 0, diskGrowthPerSecond = 0 }: Program, ms: number): number {
  return Math.max(Math.round(diskBytes + (diskGrowthPerSecond * ms) / MS_PER_SECOND), 0);
}

/** Milliseconds after the start at which it uses more memory than `limit` bytes; Infinity when never. 0 is no limit. */
export function outOfMemoryAt(
  { memoryBytes = DEFAULT_MEMORY, memoryGrowthPerSecond = 0 }: Program,
  limit: number,
): number {
  if (limit <= 0) return Number.POSITIVE_INFINITY;
  if (memoryBytes > limit) return 0;
  if (memoryGrowthPerSecond <= 0) return Number.POSITIVE_INFINITY;
  return ((limit - memoryBytes) / memoryGrowthPerSecond) * MS_PER_SECOND;
}

/** How a port is. */
export type PortState = "closed" | "well" | "unwell" | "silent";

/** How a port is after so many milliseconds. */
export function portStateAt(port: ServedPort, ms: number): PortState {
  const never = Number.POSITIVE_INFINITY;
  const { listenAfterMs = 0, failAfterMs = never, recoverAfterMs = never, hangAfterMs = never } = port;
  if (ms < listenAfterMs) return "closed";
  if (ms >= hangAfterMs) return "silent";
  const unwell = ms >= failAfterMs && (ms < recoverAfterMs || recoverAfterMs < failAfterMs);
  if (!unwell) return "well";
  return port.kind === "tcp" ? "closed" : "unwell";
}

/** Milliseconds after the start at which a port's state may change, in order. */
export function portChangesAt(port: ServedPort): number[] {
  const { listenAfterMs = 0, failAfterMs, recoverAfterMs, hangAfterMs } = port;
  return [listenAfterMs, failAfterMs, recoverAfterMs, hangAfterMs]
    .filter((ms): ms is number => ms !== undefined && Number.isFinite(ms))
    .sort((a, b) => a - b);
}
