// SPDX-License-Identifier: Apache-2.0

/** What one pod uses, from the kernel's files. */
import type { PodCgroups } from "./cgroup/cgroup-index.ts";
import type { CgroupFigures, CgroupParts, CgroupPressure } from "./cgroup/cgroup-figures.ts";
import type { CgroupReader } from "./cgroup/cgroup-reader.ts";
import { networkStats, usageStats } from "./compute-stats.ts";
import type { UsageStats } from "./compute-stats.ts";
import { parseNetDev } from "./parse/parse-net-dev.ts";
import { parseFirstPid } from "./parse/parse-proc.ts";
import type { KernelFiles, StatsPod } from "./ports.ts";
import type { PressureMemory } from "./pressure-memory.ts";
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
  /** The machine has swap. */
  readonly swap: boolean;
  /** The machine's own network: `net:[...]`. */
  readonly hostNetwork: string | undefined;
  readonly pressures: PressureMemory;
  /** By sandbox id: of the round before, and of this one. */
  readonly processes: {
    readonly before: ReadonlyMap<string, PodProcess>;
    readonly now: Map<string, PodProcess>;
  };
}

/** A process through which a pod's network is seen. */
export interface PodProcess {
  readonly pid: number;
  readonly network: string | undefined;
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
  const { onlyCpuAndMemory } = context;
  const parts = {
    swap: context.swap,
    pressure: !onlyCpuAndMemory,
    pids: !onlyCpuAndMemory,
    io: context.ioCounters && !onlyCpuAndMemory,
  };
  // Before its containers: their pressure may follow from it.
  const own = cgroups.pod === undefined ? undefined : context.cgroups.read(cgroups.pod, parts);
  const all = readContainers(context, pod, cgroups, parts, own?.pressure);
  const figures = own ?? sumOf([...all.values()]);
  const shown = (subject: string, of: CgroupFigures): UsageStats =>
    usageStats(
      of,
      toTime(context.now()),
      of.cpuNanos === undefined ? undefined : context.rate(subject, of.cpuNanos),
    );
  return {
    usage: figures === undefined ? {} : shown(`pod ${pod.uid}`, figures),
    pids: figures?.pids,
    network: onlyCpuAndMemory ? undefined : readPodNetwork(context, pod, cgroups),
    containers: new Map([...all].map(([id, of]) => [id, shown(id, of)])),
  };
}

/** Each container's cgroup. Its pids are read only when the pod has none of its own to count them. */
function readContainers(
  { cgroups: reader, pressures }: PodReadingContext,
  pod: StatsPod,
  cgroups: PodCgroups,
  parts: CgroupParts,
  pressure: CgroupPressure | undefined,
): ReadonlyMap<string, CgroupFigures> {
  const known = pressure === undefined ? undefined : pressures.containersOf(pod.uid, pressure);
  const read = new Map<string, CgroupFigures>();
  for (const { id } of pod.containers) {
    const path = cgroups.containers.get(id);
    if (path === undefined) continue;
    const follows = known?.get(id);
    const figures = reader.read(path, {
      ...parts,
      pids: parts.pids === true && cgroups.pod === undefined,
      pressure: parts.pressure === true && follows === undefined,
    });
    if (figures !== undefined)
      read.set(id, follows === undefined ? figures : { ...figures, pressure: follows });
  }
  if (pressure !== undefined) {
    const of = [...read].flatMap(([id, figures]) =>
      figures.pressure === undefined ? [] : [[id, figures.pressure] as const],
    );
    pressures.remember(pod.uid, pressure, new Map(of));
  }
  return read;
}

/** The pod's interfaces, seen through any of its processes; undefined in the host's network. */
function readPodNetwork(
  context: PodReadingContext,
  pod: StatsPod,
  cgroups: PodCgroups,
): NetworkStats | undefined {
  const { files, hostNetwork, now } = context;
  const seen = findProcess(context, pod, cgroups);
  if (seen === undefined || (seen.network !== undefined && seen.network === hostNetwork)) return undefined;
  const file = `/proc/${seen.pid}/net/dev`;
  const text = files.read(file);
  return text === undefined ? undefined : networkStats(parseNetDev(text, file), toTime(now()));
}

/** A process of the pod. The one of the last time is taken while its network is the same: another process by that number would be in another one. */
function findProcess(
  { files, cgroups: reader, processes }: PodReadingContext,
  pod: StatsPod,
  cgroups: PodCgroups,
): PodProcess | undefined {
  const known = processes.before.get(pod.sandboxId);
  const network = known?.network === undefined ? undefined : files.link(`/proc/${known.pid}/ns/net`);
  if (known !== undefined && network !== undefined && network === known.network) {
    processes.now.set(pod.sandboxId, known);
    return known;
  }
  for (const id of [pod.sandboxId, ...pod.containers.map((container) => container.id)]) {
    const path = cgroups.containers.get(id);
    const pid = path === undefined ? undefined : parseFirstPid(reader.procs(path) ?? "");
    if (pid === undefined) continue;
    const found = { pid, network: files.link(`/proc/${pid}/ns/net`) };
    processes.now.set(pod.sandboxId, found);
    return found;
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
