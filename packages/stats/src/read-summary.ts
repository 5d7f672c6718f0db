// SPDX-License-Identifier: Apache-2.0

/** One reading of everything. What fails is named and left out; nothing here remembers but through what it is given. */
import { errorText } from "@holdfast/core/errors";
import type { Clock } from "@holdfast/core/clock";
import type { CgroupIndex, PodCgroups } from "./cgroup/cgroup-index.ts";
import type { CgroupReader } from "./cgroup/cgroup-reader.ts";
import { ephemeralStorage, partFsStats, usageStats } from "./compute-stats.ts";
import type { RuntimeContainerFigures, RuntimeFigures } from "./cri/runtime-figures.ts";
import type { FilesystemReader } from "./disk/filesystem-reader.ts";
import type { PodDisk } from "./disk/pod-disk.ts";
import { readPodDisks } from "./disk/pod-disk.ts";
import { readNodeFilesystems } from "./disk/read-filesystems.ts";
import type { NodeFilesystems } from "./disk/read-filesystems.ts";
import type { TreeMeter } from "./disk/tree-meter.ts";
import { readBootTime, readMemInfo, readNodeNetwork, readNodeUsage, readRlimit } from "./node-stats.ts";
import type { SystemContainer } from "./node-stats.ts";
import type { MemInfo } from "./parse/parse-proc.ts";
import { readPodUsage } from "./pod-stats.ts";
import type { PodProcess, PodReadingContext, PodUsage } from "./pod-stats.ts";
import type { PressureMemory } from "./pressure-memory.ts";
import type { ListStatsPods, StatsHost, StatsPod, StatsProblem, StatsSample } from "./ports.ts";
import type { ContainerStats, NodeStats, PodStats } from "./summary.ts";
import { toTime } from "./to-time.ts";
import type { UsageRates } from "./usage-rate.ts";

/** What one reading leaves for the next. */
export interface ReadingMemory {
  /** Wall milliseconds; read once: /proc/stat is long, and the moment does not change. */
  bootedAt: number | undefined;
  processes: ReadonlyMap<string, PodProcess>;
  readonly pressures: PressureMemory;
}

/** What of it all is read. */
export type StatsForm = "all" | "cpu-and-memory" | "node" | "storage";

/** What one reading is made with. */
export interface ReadingContext {
  readonly clock: Clock;
  readonly host: StatsHost;
  readonly listPods: ListStatsPods;
  readonly runtime: RuntimeFigures | undefined;
  readonly cgroups: CgroupReader;
  readonly index: CgroupIndex;
  readonly rates: UsageRates;
  readonly filesystems: FilesystemReader;
  readonly trees: TreeMeter;
  readonly nodeName: string;
  readonly nodeFsPath: string;
  readonly systemContainers: readonly SystemContainer[];
  readonly startedAt: number;
  /** What stays the same from one reading to the next. */
  readonly memory: ReadingMemory;
  readonly ioCounters: boolean;
  readonly form: StatsForm;
  readonly maxAgeMs: number;
  readonly diskMaxAgeMs: number;
  readonly diskBudgetMs: number;
  readonly signal: AbortSignal;
}

/** Pods read between two breaths: about two milliseconds. */
const PODS_PER_BREATH = 8;
/** Problems that are kept; a thousand pods may all have the same. */
const MAX_PROBLEMS = 32;

/** Reads it. Rejects only with the signal's reason: what else fails is named in `problems`. */
export async function readSummary(context: ReadingContext): Promise<StatsSample> {
  const { clock, signal, form } = context;
  const at = clock.monotonic();
  const problems: StatsProblem[] = [];
  const tell = (part: string, message: string): void => {
    if (problems.length < MAX_PROBLEMS) problems.push({ part, message });
  };
  const part = async <T>(name: string, work: () => T | Promise<T>): Promise<T | undefined> => {
    try {
      return await work();
    } catch (error) {
      signal.throwIfAborted();
      tell(name, errorText(error));
      return undefined;
    }
  };
  const withDisk = form !== "cpu-and-memory";
  const readingDisk = withDisk ? readNodeFilesystems(diskContext(context, part)) : undefined;
  // When the reading is given up before it is waited for, nobody else would hear of its end.
  readingDisk?.catch(() => undefined);
  const listed = form === "node" ? [] : ((await part("pods", () => context.listPods(signal))) ?? []);
  const pods = listed.filter(({ containers }) => containers.length > 0);
  const usage = form === "storage" ? undefined : await readUsage(context, pods, part);
  const fromRuntime = await readRuntime(context, pods, usage?.pods, part);
  const filesystems = await readingDisk;
  const disks = withDisk
    ? await readPodDisks(pods, {
        clock,
        trees: context.trees,
        maxAgeMs: context.diskMaxAgeMs,
        budgetMs: context.diskBudgetMs,
        whole: filesystems?.fs,
        signal,
        onProblem: (message) => tell("pods", message),
      })
    : undefined;
  signal.throwIfAborted();
  return {
    at,
    summary: {
      node: withFilesystems(usage?.node ?? emptyNode(context), filesystems),
      pods: pods.map((pod, index) =>
        podStats(pod, usage?.pods[index], disks?.[index], fromRuntime, filesystems, toTime(clock.now())),
      ),
    },
    layout: filesystems?.layout,
    problems,
  };
}

type Part = <T>(name: string, work: () => T | Promise<T>) => Promise<T | undefined>;

/** Everything that cgroups and /proc say. */
async function readUsage(
  context: ReadingContext,
  pods: readonly StatsPod[],
  part: Part,
): Promise<{ readonly node: NodeStats | undefined; readonly pods: readonly (PodUsage | undefined)[] }> {
  const info = await part("node.memory", () => readMemInfo(context.host.files));
  const node = await part("node", () => readNode(context, info));
  if (context.form === "node") return { node, pods: [] };
  return { node, pods: await readUsages(context, pods, part, (info?.swapTotalBytes ?? 0) > 0) };
}

function diskContext(context: ReadingContext, part: Part): Parameters<typeof readNodeFilesystems>[0] {
  const { clock, filesystems, runtime, nodeFsPath, diskMaxAgeMs, signal } = context;
  return { filesystems, runtime, nodeFsPath, maxAgeMs: diskMaxAgeMs, signal, part, now: () => clock.now() };
}

function emptyNode({ nodeName, startedAt }: ReadingContext): NodeStats {
  return { nodeName, startTime: toTime(startedAt) };
}

function readNode(context: ReadingContext, info: MemInfo | undefined): NodeStats {
  const { host, clock, cgroups, form, memory } = context;
  const onlyCpuAndMemory = form === "cpu-and-memory";
  const swap = (info?.swapTotalBytes ?? 0) > 0;
  memory.bootedAt ??= readBootTime(host.files);
  const { files } = host;
  const rate = (subject: string) => (nanos: number) =>
    context.rates.update(subject, nanos, clock.monotonic());
  const systemContainers = context.systemContainers.flatMap(({ name, cgroupPath }): ContainerStats[] => {
    const figures = cgroups.read(cgroupPath, { swap, pressure: !onlyCpuAndMemory });
    if (figures === undefined) return [];
    const { cpuNanos } = figures;
    const nanoCores = cpuNanos === undefined ? undefined : rate(`system ${name}`)(cpuNanos);
    return [
      {
        name,
        startTime: toTime(context.startedAt),
        ...usageStats(figures, toTime(clock.now()), nanoCores),
      },
    ];
  });
  const time = toTime(clock.now());
  const network = form === "all" ? readNodeNetwork(files, time) : undefined;
  return {
    nodeName: context.nodeName,
    startTime: toTime(memory.bootedAt ?? context.startedAt),
    systemContainers,
    ...readNodeUsage(cgroups, time, rate("node"), context.ioCounters && !onlyCpuAndMemory, info),
    ...(!onlyCpuAndMemory && { rlimit: readRlimit(files, time) }),
    ...(network !== undefined && { network }),
  };
}

async function readUsages(
  context: ReadingContext,
  pods: readonly StatsPod[],
  part: Part,
  swap: boolean,
): Promise<readonly (PodUsage | undefined)[]> {
  const { clock, host, index, rates, memory } = context;
  const onlyCpuAndMemory = context.form === "cpu-and-memory";
  const processes = { before: memory.processes, now: new Map<string, PodProcess>() };
  const reading: PodReadingContext = {
    files: host.files,
    cgroups: context.cgroups,
    now: () => clock.now(),
    rate: (subject, nanos) => rates.update(subject, nanos, clock.monotonic()),
    onlyCpuAndMemory,
    ioCounters: context.ioCounters,
    swap,
    pressures: memory.pressures,
    processes,
    hostNetwork: onlyCpuAndMemory ? undefined : host.files.link("/proc/1/ns/net"),
  };
  const found =
    (await part("pods", () =>
      index.find(
        pods.map(({ uid, sandboxId, containers, cgroupPath }) => ({
          uid,
          ids: [...containers.map(({ id }) => id), sandboxId],
          cgroupPath,
        })),
      ),
    )) ?? [];
  const usages: (PodUsage | undefined)[] = [];
  for (const [at, pod] of pods.entries()) {
    const cgroups: PodCgroups = found[at] ?? { pod: undefined, containers: new Map() };
    usages.push(await part(`pods ${pod.namespace}/${pod.name}`, () => readPodUsage(reading, pod, cgroups)));
    if (at % PODS_PER_BREATH === PODS_PER_BREATH - 1) {
      await host.breathe();
      context.signal.throwIfAborted();
    }
  }
  rates.prune(clock.monotonic());
  if (!onlyCpuAndMemory) {
    memory.processes = processes.now;
    memory.pressures.nextRound();
  }
  return usages;
}

/** The runtime is asked for writable layers, and for containers without a cgroup here; for the latter no old answer will do. */
async function readRuntime(
  { runtime, form, signal, maxAgeMs, diskMaxAgeMs }: ReadingContext,
  pods: readonly StatsPod[],
  usages: readonly (PodUsage | undefined)[] | undefined,
  part: Part,
): Promise<ReadonlyMap<string, RuntimeContainerFigures>> {
  const isMissing = pods.some((pod, index) =>
    pod.containers.some(
      ({ id }) => usages !== undefined && usages[index]?.containers.get(id)?.memory === undefined,
    ),
  );
  if (runtime === undefined || pods.length === 0 || (form === "cpu-and-memory" && !isMissing))
    return new Map();
  const age = isMissing ? maxAgeMs : diskMaxAgeMs;
  return (await part("pods", () => runtime.containers(age, signal))) ?? new Map();
}

function withFilesystems(node: NodeStats, filesystems: NodeFilesystems | undefined): NodeStats {
  return {
    ...node,
    ...(filesystems?.fs !== undefined && { fs: filesystems.fs }),
    ...(filesystems?.runtime !== undefined && { runtime: filesystems.runtime }),
  };
}

function podStats(
  pod: StatsPod,
  usage: PodUsage | undefined,
  disk: PodDisk | undefined,
  fromRuntime: ReadonlyMap<string, RuntimeContainerFigures>,
  filesystems: NodeFilesystems | undefined,
  time: string,
): PodStats {
  const { uid, name, namespace } = pod;
  const layersOn = filesystems?.runtime?.containerFs;
  const containers = pod.containers.map((container): ContainerStats => {
    const runtime = fromRuntime.get(container.id);
    const layer = disk === undefined ? undefined : runtime?.writableLayer;
    const logs = disk?.logs.get(container.id);
    return {
      name: container.name,
      startTime: toTime(container.createdAt),
      ...(usage === undefined ? undefined : (usage.containers.get(container.id) ?? runtime?.usage)),
      ...(layer !== undefined && { rootfs: partFsStats(layer, layersOn, toTime(layer.measuredAt)) }),
      ...(logs !== undefined && { logs }),
    };
  });
  const volumes = disk?.volumes ?? [];
  const local = volumes.filter(({ ephemeral }) => ephemeral).map(({ stats }) => stats);
  const storage = disk === undefined ? undefined : ephemeralStorage(containers, local, filesystems?.fs, time);
  return {
    podRef: { name, namespace, uid },
    startTime: toTime(pod.createdAt),
    containers,
    ...usage?.usage,
    ...(usage?.network !== undefined && { network: usage.network }),
    ...(disk !== undefined && volumes.length > 0 && { volume: volumes.map(({ stats }) => stats) }),
    ...(storage !== undefined && { "ephemeral-storage": storage }),
    ...(usage?.pids !== undefined && { process_stats: { process_count: usage.pids } }),
  };
}
