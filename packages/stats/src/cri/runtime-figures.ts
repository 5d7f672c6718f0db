// SPDX-License-Identifier: Apache-2.0

/**
 * The runtime's own figures: writable layers, its file systems, and containers whose cgroups this machine does not have (virtual machines).
 *
 * Owns: the last answers, with the moment of asking. Invariants: asked only when a sample needs it; ListContainerStats makes containerd ask every shim, so it is
 * asked at most once in the disk's age. Lost on a crash: nothing.
 */
import type { Clock } from "@holdfast/core/clock";
import type { ContainerStats as CriContainerStats, FilesystemUsage } from "@holdfast/cri";
import { known } from "../compute-stats.ts";
import type { UsageStats } from "../compute-stats.ts";
import type { StatsRuntime } from "../ports.ts";
import type { PSIStats } from "../summary.ts";
import { toTime } from "../to-time.ts";

/** One container, as the runtime sees it. */
export interface RuntimeContainerFigures {
  readonly usage: UsageStats;
  readonly writableLayer: RuntimeFilesystem | undefined;
}

/** A file system, or a part of one. */
export interface RuntimeFilesystem {
  readonly mountpoint: string;
  readonly usedBytes: number | undefined;
  readonly inodesUsed: number | undefined;
  /** Wall milliseconds at which the runtime measured it. */
  readonly measuredAt: number;
}

/** Where the runtime keeps images, and where writable layers. */
export interface RuntimeFilesystems {
  readonly image: RuntimeFilesystem | undefined;
  readonly container: RuntimeFilesystem | undefined;
}

/** Less than what a whole sample may take: a runtime that hangs costs its own figures only. */
const CALL_MS = 5000;
const NANOS_PER_MS = 1_000_000n;

/** See the top of the file. */
export class RuntimeFigures {
  readonly #runtime: StatsRuntime;
  readonly #clock: Clock;
  #containers:
    | { readonly at: number; readonly byId: ReadonlyMap<string, RuntimeContainerFigures> }
    | undefined;
  #filesystems: { readonly at: number; readonly value: RuntimeFilesystems } | undefined;

  constructor(runtime: StatsRuntime, clock: Clock) {
    this.#runtime = runtime;
    this.#clock = clock;
  }

  /** All containers by id, asked at most `maxAgeMs` ago. Rejects with the runtime's error. */
  async containers(
    maxAgeMs: number,
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, RuntimeContainerFigures>> {
    const at = this.#clock.monotonic();
    if (this.#containers !== undefined && at - this.#containers.at <= maxAgeMs) return this.#containers.byId;
    const { stats } = await this.#runtime.listContainerStats({}, { signal, deadlineMs: CALL_MS });
    const byId = new Map(stats.map((one) => [one.attributes?.id ?? "", toFigures(one)]));
    this.#containers = { at, byId };
    return byId;
  }

  /** Its file systems, asked at most `maxAgeMs` ago. kubelet: ImageFsInfo's first ones. Rejects with the runtime's error. */
  async filesystems(maxAgeMs: number, signal: AbortSignal): Promise<RuntimeFilesystems> {
    const at = this.#clock.monotonic();
    if (this.#filesystems !== undefined && at - this.#filesystems.at <= maxAgeMs)
      return this.#filesystems.value;
    const { imageFilesystems, containerFilesystems } = await this.#runtime.imageFsInfo(
      {},
      { signal, deadlineMs: CALL_MS },
    );
    const image = toFilesystem(imageFilesystems[0]);
    // containerd names none before 2.0: both are the same there.
    const value = { image, container: toFilesystem(containerFilesystems[0]) ?? image };
    this.#filesystems = { at, value };
    return value;
  }
}

function toFigures(stats: CriContainerStats): RuntimeContainerFigures {
  const { cpu, memory, swap, io } = stats;
  const usage = known({
    cpu:
      cpu?.usageCoreNanoSeconds === undefined
        ? undefined
        : known({
            time: wallTime(cpu.timestamp),
            usageNanoCores: count(cpu.usageNanoCores),
            usageCoreNanoSeconds: count(cpu.usageCoreNanoSeconds),
            psi: toPsi(cpu.psi),
          }),
    memory:
      memory?.workingSetBytes === undefined
        ? undefined
        : known({
            time: wallTime(memory.timestamp),
            availableBytes: count(memory.availableBytes) || undefined,
            usageBytes: count(memory.usageBytes),
            workingSetBytes: count(memory.workingSetBytes),
            rssBytes: count(memory.rssBytes),
            pageFaults: count(memory.pageFaults),
            majorPageFaults: count(memory.majorPageFaults),
            psi: toPsi(memory.psi),
          }),
    io: io?.psi === undefined ? undefined : known({ time: wallTime(io.timestamp), psi: toPsi(io.psi) }),
    swap:
      swap?.swapUsageBytes === undefined
        ? undefined
        : known({
            time: wallTime(swap.timestamp),
            swapAvailableBytes: count(swap.swapAvailableBytes),
            swapUsageBytes: count(swap.swapUsageBytes),
          }),
  }) as UsageStats;
  return { usage, writableLayer: toFilesystem(stats.writableLayer) };
}

function toFilesystem(usage: FilesystemUsage | undefined): RuntimeFilesystem | undefined {
  if (usage?.fsId === undefined || usage.fsId.mountpoint === "") return undefined;
  return {
    mountpoint: usage.fsId.mountpoint,
    usedBytes: count(usage.usedBytes),
    inodesUsed: count(usage.inodesUsed),
    measuredAt: Number(usage.timestamp / NANOS_PER_MS),
  };
}

function toPsi(psi: CriPsi | undefined): PSIStats | undefined {
  if (psi?.Some === undefined || psi.Full === undefined) return undefined;
  return { full: toPsiData(psi.Full), some: toPsiData(psi.Some) };
}

type CriPsi = NonNullable<NonNullable<CriContainerStats["cpu"]>["psi"]>;

function toPsiData({ Total, Avg10, Avg60, Avg300 }: NonNullable<CriPsi["Full"]>): PSIStats["full"] {
  return { total: Number(Total), avg10: Avg10, avg60: Avg60, avg300: Avg300 };
}

function count(value: { readonly value: bigint } | undefined): number | undefined {
  return value === undefined ? undefined : Number(value.value);
}

function wallTime(nanos: bigint): string {
  return toTime(Number(nanos / NANOS_PER_MS));
}
