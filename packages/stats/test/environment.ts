// SPDX-License-Identifier: Apache-2.0

import { ManualClock } from "@holdfast/core/manual-clock";
import type { ContainerStats as CriContainerStats, ImageFsInfoResponse } from "@holdfast/cri";
import { SummaryProvider } from "@holdfast/stats";
import type { StatsPod, StatsRuntime, SummaryProviderOptions } from "@holdfast/stats";
import { DISK, fixturePod, LOG, MemoryHost, v1Tree, WEB } from "./fixtures.ts";

/** Where the runtime keeps images and writable layers. */
export const LAYERS = "/var/lib/containerd/snapshots";
/** When the runtime measured them. */
export const MEASURED = BigInt(Date.UTC(2026, 5, 1)) * 1_000_000n;

/** A runtime that has known figures, fails or hangs. */
export class FakeFigures implements StatsRuntime {
  calls: string[] = [];
  fail = false;
  hang = false;
  stats: CriContainerStats[] = [writable(WEB, 8192, 2), writable(LOG, 4096, 1), writable("unknown", 1, 1)];
  info: ImageFsInfoResponse = {
    imageFilesystems: [layer(500_000, 50), layer(1, 1)],
    containerFilesystems: [],
  };

  readonly listContainerStats = async (): Promise<{ stats: CriContainerStats[] }> => {
    this.calls.push("listContainerStats");
    await this.#trouble();
    return { stats: this.stats };
  };

  readonly imageFsInfo = async (): Promise<ImageFsInfoResponse> => {
    this.calls.push("imageFsInfo");
    await this.#trouble();
    return this.info;
  };

  async #trouble(): Promise<void> {
    if (this.hang) await new Promise(() => {});
    if (this.fail) throw new Error("the runtime is away");
  }
}

/** What takes so much on the runtime's file system. */
export function layer(
  usedBytes: number,
  inodesUsed: number,
): NonNullable<CriContainerStats["writableLayer"]> {
  return {
    timestamp: MEASURED,
    fsId: { mountpoint: LAYERS },
    usedBytes: { value: BigInt(usedBytes) },
    inodesUsed: { value: BigInt(inodesUsed) },
  };
}

/** A container of which only the writable layer is known. */
export function writable(id: string, usedBytes: number, inodesUsed: number): CriContainerStats {
  return {
    attributes: { id, metadata: undefined, labels: {}, annotations: {} },
    cpu: undefined,
    memory: undefined,
    swap: undefined,
    io: undefined,
    writableLayer: layer(usedBytes, inodesUsed),
  };
}

/** Statistics of a machine in memory with one pod. */
export interface Environment {
  readonly clock: ManualClock;
  readonly host: MemoryHost;
  readonly runtime: FakeFigures;
  readonly provider: SummaryProvider;
  pods: readonly StatsPod[];
}

/** Makes it; v1 with pressure if nothing else is said. */
export function environment(
  options: Partial<SummaryProviderOptions> = {},
  files = v1Tree({ hybrid: true }),
): Environment {
  const clock = new ManualClock();
  const host = new MemoryHost(files);
  host.disks.set(LAYERS, DISK);
  host.trees.set("/var/log/pods/web/web", { usedBytes: 1000, inodesUsed: 2, complete: true });
  host.trees.set("/pods/scratch", { usedBytes: 3000, inodesUsed: 3, complete: true });
  host.trees.set("/pods/secret", { usedBytes: 50, inodesUsed: 1, complete: true });
  const runtime = new FakeFigures();
  const one: Environment = {
    clock,
    host,
    runtime,
    pods: [fixturePod()],
    provider: new SummaryProvider({
      clock,
      host,
      runtime,
      pods: () => one.pods,
      nodeName: "here",
      nodeFsPath: "/var/lib/holdfast",
      ...options,
    }),
  };
  return one;
}
