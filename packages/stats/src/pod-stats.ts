// SPDX-License-Identifier: Apache-2.0

/** What one pod uses, from the kernel's files. */
import type { PodCgroups } from "./cgroup/cgroup-index.ts";
import type { CgroupFigures } from "./cgroup/cgroup-figures.ts";
import type { CgroupReader } from "./cgroup/cgroup-reader.ts";
import { networkStats, usageStats } from "./compute-stats.ts";
import type { UsageStats } from "./compute-stats.ts";
import { parseNetDev } from "./parse/parse-net-dev.ts";
import { parseFirstPid } from "./parse/parse-proc.ts";
import type { KernelFiles, StatsPod } from "./ports.ts";
import type { NetworkStats } from "./summary.ts";
import { toTime } from "./to-time.ts";

/** What reading needs. */
export interface PodReadingContext {
  readonly files: KernelFiles;
  readonly cgroups: CgroupReader;
  /** Wall milliseconds. */
  readonly now: () => number;
  readonly rate: (subject: string, nanos: number) => number | undefined;
  readonly onlyCpuAndMemory: boolean;
  readonly ioCounters: boolean;
  /** The machine's own network: `net:[...]`. */
  readonly hostNetwork: string | undefined;
}

/** What was read. */
export interface PodUsage {
  readonly usage: UsageStats;
  readonly pids: number | undefined;
  readonly network: NetworkStats | undefined;
  /** By id; one whose cgroup is not known is missing. */
  readonly containers: ReadonlyMap<string, UsageStats>;
}

/** Reads a pod's cgroups and its network. A pod without a cgroup of its own is the sum of its containers. */
export function readPodUsage(context: PodReadingContext, pod: StatsPod, cgroups: PodCgroups): PodUsage {
  const parts = {
    swap: true,
    pressure: !context.onlyCpuAndMemory,
    pids: !context.onlyCpuAndMemory,
    io: context.ioCounters && !context.onlyCpuAndMemory,
  };
  const containers = new Map<string, UsageStats>();
  const all: CgroupFigures[] = [];
  const shown = (subject: string, figures: CgroupFigures): UsageStats =>
    usageStats(
      figures,
      toTime(context.now()),
      figures.cpuNanos === undefined ? undefined : context.rate(subject, figures.cpuNanos),
    );
  // A container's own pids are nobody's key; the pod's are read once.
  const ofContainer = { ...parts, pids: parts.pids && cgroups.pod === undefined };
  for (const { id } of pod.containers) {
    const path = cgroups.containers.get(id);
    const figures = path === undefined ? undefined : context.cgroups.read(path, ofContainer);
    if (figures === undefined) continue;
    containers.set(id, shown(id, figures));
    all.push(figures);
  }
  const own = cgroups.pod === undefined ? undefined : context.cgroups.read(cgroups.pod, parts);
  const figures = own ?? sumOf(all);
  return {
    usage: figures === undefined ? {} : shown(`pod ${pod.uid}`, figures),
    pids: figures?.pids,
    network: context.onlyCpuAndMemory ? undefined : readPodNetwork(context, pod, cgroups),
    containers,
  };
}

/** The pod's interfaces, seen through any of its processes; undefined in the host's network. */
function readPodNetwork(
  { files, cgroups: reader, hostNetwork, now }: PodReadingContext,
  pod: StatsPod,
  cgroups: PodCgroups,
): NetworkStats | undefined {
  for (const id of [pod.sandboxId, ...pod.containers.map((container) => container.id)]) {
    const path = cgroups.containers.get(id);
    const pid = path === undefined ? undefined : parseFirstPid(reader.procs(path) ?? "");
    if (pid === undefined) continue;
    const own = files.link(`/proc/${pid}/ns/net`);
    if (own !== undefined && own === hostNetwork) return undefined;
    const file = `/proc/${pid}/net/dev`;
    const text = files.read(file);
    if (text !== undefined) return networkStats(parseNetDev(text, file), toTime(now()));
  }
  return undefined;
}

/** Sums what can be summed; limits and pressure cannot. */
function sumOf(all: readonly CgroupFigures[]): CgroupFigures | undefined {
  if (all.length === 0) return undefined;
  const sum = (of: (figures: CgroupFigures) => number | undefined): number | undefined => {
    const values = all.flatMap((figures) => of(figures) ?? []);
    return values.length === 0 ? undefined : values.reduce((total, value) => total + value, 0);
  };
  const workingSetBytes = sum(({ memory }) => memory?.workingSetBytes);
  const swapped = sum(({ swap }) => swap?.usageBytes);
  return {
    cpuNanos: sum(({ cpuNanos }) => cpuNanos),
    memory:
      workingSetBytes === undefined
        ? undefined
        : {
            usageBytes: sum(({ memory }) => memory?.usageBytes) ?? 0,
            workingSetBytes,
            rssBytes: sum(({ memory }) => memory?.rssBytes),
            pageFaults: sum(({ memory }) => memory?.pageFaults),
            majorPageFaults: sum(({ memory }) => memory?.majorPageFaults),
            limitBytes: undefined,
          },
    swap: swapped === undefined ? undefined : { usageBytes: swapped, limitBytes: undefined },
    pids: sum(({ pids }) => pids),
    pressure: undefined,
    io: undefined,
  };
}
