// SPDX-License-Identifier: Apache-2.0

/** What pods' logs and volumes take. One folder after the other, so that a place for statfs is always left. */
import { errorText } from "@holdfast/core/errors";
import type { Clock } from "@holdfast/core/clock";
import { partFsStats } from "../compute-stats.ts";
import type { StatsPod } from "../ports.ts";
import type { FsStats, VolumeStats } from "../summary.ts";
import { toTime } from "../to-time.ts";
import type { MeasuredTree, TreeMeter } from "./tree-meter.ts";

/** One volume, and whether it counts towards ephemeral storage. */
export interface PodVolume {
  readonly stats: VolumeStats;
  readonly ephemeral: boolean;
}

/** One pod's. */
export interface PodDisk {
  /** By container id. */
  readonly logs: ReadonlyMap<string, FsStats>;
  readonly volumes: readonly PodVolume[];
}

/** How it is read. */
export interface PodDiskOptions {
  readonly clock: Clock;
  readonly trees: TreeMeter;
  readonly maxAgeMs: number;
  /** What all of it may take; folders that are not reached keep their last figures. */
  readonly budgetMs: number;
  /** The file system that they lie on. */
  readonly whole: FsStats | undefined;
  readonly signal: AbortSignal;
  readonly onProblem: (message: string) => void;
}

/** Measures the folders of all pods, in their order. A folder that fails is named and left out. */
export async function readPodDisks(
  pods: readonly StatsPod[],
  options: PodDiskOptions,
): Promise<readonly PodDisk[]> {
  const { clock, trees, maxAgeMs, budgetMs, whole, signal, onProblem } = options;
  const endsAt = clock.monotonic() + budgetMs;
  let late = 0;
  const measure = async (path: string, flat: boolean): Promise<FsStats | undefined> => {
    try {
      const isLate = clock.monotonic() >= endsAt;
      if (isLate) late += 1;
      const tree = isLate ? trees.last(path, flat) : await trees.measure(path, { maxAgeMs, flat, signal });
      return tree === undefined ? undefined : treeStats(tree, whole);
    } catch (error) {
      signal.throwIfAborted();
      onProblem(errorText(error));
      return undefined;
    }
  };
  const disks: PodDisk[] = [];
  for (const pod of pods) {
    const logs = new Map<string, FsStats>();
    for (const { id, logFolder } of pod.containers) {
      const stats = logFolder === undefined ? undefined : await measure(logFolder, true);
      if (stats !== undefined) logs.set(id, stats);
    }
    const volumes: PodVolume[] = [];
    for (const { name, path, ephemeral } of pod.volumes ?? []) {
      const stats = await measure(path, false);
      if (stats !== undefined) volumes.push({ stats: { ...stats, name }, ephemeral });
    }
    disks.push({ logs, volumes });
  }
  if (late > 0) onProblem(`${late} folders were not measured within ${budgetMs} ms`);
  return disks;
}

function treeStats(tree: MeasuredTree, whole: FsStats | undefined): FsStats {
  return partFsStats(tree, whole, toTime(tree.measuredAt));
}
