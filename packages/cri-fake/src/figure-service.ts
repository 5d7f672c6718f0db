// SPDX-License-Identifier: Apache-2.0
//
// Figures of containers and sandboxes: what their programs use, in containerd's form. A container that does not run has only a writable
// layer, and no figures of its own; a sandbox without a cgroup parent has none at all, as on every containerd.

import {
  ContainerStats,
  ContainerStatsRequest,
  ListContainerStatsRequest,
  ListMetricDescriptorsRequest,
  ListPodSandboxMetricsRequest,
  ListPodSandboxStatsRequest,
  PodSandboxStats,
  PodSandboxStatsRequest,
  StreamContainerStatsRequest,
  StreamPodSandboxMetricsRequest,
  StreamPodSandboxStatsRequest,
} from "@holdfast/cri";
import type { CriRuntimeService } from "@holdfast/cri";

import type { ImageFs } from "./disk.ts";
import { RuntimeFailure } from "./failure.ts";
import type { MethodFactory } from "./method.ts";
import { matchesLabels } from "./state.ts";
import type { ContainerRecord, SandboxRecord } from "./state.ts";
import { cpuNanoCores, cpuNanosAt, memoryAt } from "./usage.ts";
import type { World } from "./world.ts";

/** What figures need of the runtime. */
export interface FigurePorts {
  readonly world: World;
  readonly imageFs: () => ImageFs;
  /** containerd 1.7 and later say which state a sandbox is not in; 1.6 does not look. */
  readonly statsNeedReady: boolean;
}

type FigureMethods = Pick<
  CriRuntimeService,
  | "containerStats"
  | "listContainerStats"
  | "streamContainerStats"
  | "podSandboxStats"
  | "listPodSandboxStats"
  | "streamPodSandboxStats"
  | "listMetricDescriptors"
  | "listPodSandboxMetrics"
  | "streamPodSandboxMetrics"
>;

export function createFigureService(
  ports: FigurePorts,
  { unary, missing, page }: MethodFactory,
): FigureMethods {
  const { world, imageFs } = ports;
  const listContainers = (filter: Filter | undefined): ContainerStats[] => {
    const disk = imageFs();
    return [...world.containers.values()]
      .filter((container) => isWanted(container, filter))
      .map((container) => statsOf(world, container, disk));
  };
  const listSandboxes = (filter: Filter | undefined): PodSandboxStats[] => {
    const disk = imageFs();
    return [...world.sandboxes.values()]
      .filter((sandbox) => sandbox.ready && isWanted(sandbox, filter))
      .map((sandbox) => podStatsOf(world, sandbox, disk));
  };
  return {
    containerStats: unary("ContainerStats", ContainerStatsRequest, {
      target: ({ containerId }) => containerId,
      handle: ({ containerId }) => {
        const container = world.findContainer(containerId);
        if (container === undefined)
          throw new RuntimeFailure("CRI_NOT_FOUND", "failed to find container: not found");
        if (container.process === undefined)
          throw new RuntimeFailure("CRI_UNKNOWN", "unexpected metrics response: []");
        return { stats: statsOf(world, container, imageFs()) };
      },
    }),
    listContainerStats: unary("ListContainerStats", ListContainerStatsRequest, {
      handle: ({ filter }) => ({ stats: listContainers(filter) }),
      distort: ({ stats }, { truncateTo = stats.length }) => ({ stats: stats.slice(0, truncateTo) }),
    }),
    streamContainerStats: page("StreamContainerStats", StreamContainerStatsRequest, ({ filter }) =>
      listContainers(filter).map((stats) => ({ containerStats: [stats] })),
    ),
    podSandboxStats: unary("PodSandboxStats", PodSandboxStatsRequest, {
      target: ({ podSandboxId }) => podSandboxId,
      handle: ({ podSandboxId }) => {
        const sandbox = world.findSandbox(podSandboxId);
        if (sandbox === undefined)
          throw new RuntimeFailure(
            "CRI_NOT_FOUND",
            `an error occurred when trying to find sandbox ${podSandboxId}: not found`,
          );
        if (ports.statsNeedReady && !sandbox.ready) throw notReady(sandbox.id);
        return { stats: podStatsOf(world, sandbox, imageFs()) };
      },
    }),
    listPodSandboxStats: unary("ListPodSandboxStats", ListPodSandboxStatsRequest, {
      handle: ({ filter }) => ({ stats: listSandboxes(filter) }),
    }),
    streamPodSandboxStats: page("StreamPodSandboxStats", StreamPodSandboxStatsRequest, ({ filter }) =>
      listSandboxes(filter).map((stats) => ({ podSandboxStats: [stats] })),
    ),
    listMetricDescriptors: missing("ListMetricDescriptors", ListMetricDescriptorsRequest),
    listPodSandboxMetrics: missing("ListPodSandboxMetrics", ListPodSandboxMetricsRequest),
    streamPodSandboxMetrics: page("StreamPodSandboxMetrics", StreamPodSandboxMetricsRequest, () => []),
  };
}

interface Filter {
  readonly id: string;
  readonly podSandboxId?: string;
  readonly labelSelector: Readonly<Record<string, string>>;
}

function isWanted(one: ContainerRecord | SandboxRecord, filter: Filter | undefined): boolean {
  if (filter === undefined) return true;
  const sandboxId = "sandbox" in one ? one.sandbox.id : one.id;
  return (
    one.id.startsWith(filter.id) &&
    sandboxId.startsWith(filter.podSandboxId ?? "") &&
    matchesLabels(one.config.labels, filter.labelSelector)
  );
}

function statsOf(world: World, container: ContainerRecord, disk: ImageFs): ContainerStats {
  const { id, process: main, resources } = container;
  const { metadata, labels, annotations } = container.config;
  const timestamp = world.stamp();
  const stats = ContainerStats.fromPartial({
    attributes: { id, metadata, labels, annotations },
    writableLayer: {
      timestamp,
      fsId: { mountpoint: disk.mountpoint },
      usedBytes: { value: disk.layerBytes.get(id) ?? 0 },
      inodesUsed: { value: INODES_OF_LAYER },
    },
  });
  if (main === undefined) return stats;
  const used = memoryAt(main.program, main.ageMs);
  const limit = Number(resources?.resources?.memoryLimitInBytes ?? 0n);
  const { cpu, memory } = ContainerStats.fromPartial({
    cpu: {
      timestamp,
      usageCoreNanoSeconds: { value: cpuNanosAt(main.program, main.ageMs) },
      usageNanoCores: { value: cpuNanoCores(main.program) },
    },
    memory: {
      timestamp,
      workingSetBytes: { value: used },
      // Without a limit there is nothing that is left of it.
      availableBytes: { value: limit > 0 ? Math.max(limit - used, 0) : 0 },
      usageBytes: { value: used },
      rssBytes: { value: used },
      pageFaults: { value: Math.ceil(used / PAGE) },
      majorPageFaults: { value: 0 },
    },
  });
  return { ...stats, cpu, memory };
}

const INODES_OF_LAYER = 8;
const PAGE = 4096;

function podStatsOf(world: World, sandbox: SandboxRecord, disk: ImageFs): PodSandboxStats {
  if ((sandbox.config.linux?.cgroupParent ?? "") === "") throw noCgroup(sandbox.id);
  const { metadata, labels, annotations } = sandbox.config;
  const containers = world
    .containersOf(sandbox)
    .filter((container) => container.process !== undefined)
    .map((container) => statsOf(world, container, disk));
  const timestamp = world.stamp();
  const total = (pick: (one: ContainerStats) => { value: bigint } | undefined): { value: bigint } => ({
    value: containers.reduce((all, one) => all + (pick(one)?.value ?? 0n), 0n),
  });
  return PodSandboxStats.fromPartial({
    attributes: { id: sandbox.id, metadata, labels, annotations },
    linux: {
      cpu: {
        timestamp,
        usageCoreNanoSeconds: total(({ cpu }) => cpu?.usageCoreNanoSeconds),
        usageNanoCores: total(({ cpu }) => cpu?.usageNanoCores),
      },
      memory: {
        timestamp,
        workingSetBytes: total(({ memory }) => memory?.workingSetBytes),
        usageBytes: total(({ memory }) => memory?.usageBytes),
        rssBytes: total(({ memory }) => memory?.rssBytes),
        pageFaults: total(({ memory }) => memory?.pageFaults),
      },
      process: { timestamp, processCount: { value: BigInt(containers.length + 1) } },
      containers,
    },
  });
}

function noCgroup(id: string): RuntimeFailure {
  return new RuntimeFailure(
    "CRI_UNKNOWN",
    `failed to decode pod sandbox metrics ${id}: failed getting metrics for sandbox ${id}: failed to get cgroup metrics for ` +
      `sandbox ${id} because cgroupPath is empty`,
  );
}

function notReady(id: string): RuntimeFailure {
  return new RuntimeFailure(
    "CRI_UNAVAILABLE",
    `failed to decode pod sandbox metrics ${id}: failed to get pod sandbox stats since sandbox container "${id}" is not in ready ` +
      "state: unavailable",
  );
}
