// SPDX-License-Identifier: Apache-2.0
//
// The runtime about itself, and figures of containers: enough for who asks for them, made up but growing.

import {
  CgroupDriver,
  CheckpointContainerRequest,
  ContainerStats,
  ContainerStatsRequest,
  ListContainerStatsRequest,
  ListMetricDescriptorsRequest,
  ListPodSandboxMetricsRequest,
  ListPodSandboxStatsRequest,
  PodSandboxStats,
  PodSandboxStatsRequest,
  RuntimeConfigRequest,
  StatusRequest,
  StreamContainerStatsRequest,
  StreamPodSandboxMetricsRequest,
  StreamPodSandboxStatsRequest,
  UpdatePodSandboxResourcesRequest,
  UpdateRuntimeConfigRequest,
  VersionRequest,
} from "@holdfast/cri";
import type { CriRuntimeService, RuntimeCondition } from "@holdfast/cri";

import { noSuchSandbox, RuntimeFailure } from "./failure.ts";
import type { MethodFactory } from "./method.ts";
import { matchesLabels } from "./state.ts";
import type { ContainerRecord, SandboxRecord } from "./state.ts";
import type { World } from "./world.ts";

/** What the runtime says of itself. */
export interface StatusPorts {
  readonly world: World;
  readonly runtimeVersion: string;
  /** Undefined where Status does not tell of handlers and features: before containerd 2. */
  readonly shownHandlers: readonly string[] | undefined;
  readonly conditions: () => readonly RuntimeCondition[];
  readonly cgroupDriver: "systemd" | "cgroupfs";
}

type SelfMethods = Pick<
  CriRuntimeService,
  | "version"
  | "status"
  | "runtimeConfig"
  | "updateRuntimeConfig"
  | "updatePodSandboxResources"
  | "checkpointContainer"
>;
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

export function createSelfService(ports: StatusPorts, { unary, missing }: MethodFactory): SelfMethods {
  return {
    version: unary("Version", VersionRequest, {
      handle: () => ({
        version: "0.1.0",
        runtimeName: "containerd",
        runtimeVersion: ports.runtimeVersion,
        runtimeApiVersion: "v1",
      }),
    }),
    status: unary("Status", StatusRequest, {
      handle: () => ({
        status: { conditions: ports.conditions().map((condition) => ({ ...condition })) },
        info: {},
        runtimeHandlers: (ports.shownHandlers ?? []).map((name) => ({
          name,
          features: { recursiveReadOnlyMounts: true, userNamespaces: false },
        })),
        features:
          ports.shownHandlers === undefined
            ? undefined
            : { supplementalGroupsPolicy: true, userNamespacesHostNetwork: false },
      }),
    }),
    runtimeConfig: unary("RuntimeConfig", RuntimeConfigRequest, {
      handle: () => ({
        linux: {
          cgroupDriver: ports.cgroupDriver === "systemd" ? CgroupDriver.SYSTEMD : CgroupDriver.CGROUPFS,
        },
      }),
    }),
    updateRuntimeConfig: unary("UpdateRuntimeConfig", UpdateRuntimeConfigRequest, { handle: () => ({}) }),
    updatePodSandboxResources: missing(
      "UpdatePodSandboxResources",
      UpdatePodSandboxResourcesRequest,
      ({ podSandboxId }) => podSandboxId,
    ),
    checkpointContainer: missing(
      "CheckpointContainer",
      CheckpointContainerRequest,
      ({ containerId }) => containerId,
    ),
  };
}

export function createFigureService(
  { world }: StatusPorts,
  { unary, missing, page }: MethodFactory,
): FigureMethods {
  const running = (filter: Filter | undefined): ContainerStats[] =>
    [...world.containers.values()]
      .filter((container) => container.phase === "running" && isWanted(container, filter))
      .map((container) => statsOf(world, container));
  const ready = (filter: Filter | undefined): PodSandboxStats[] =>
    [...world.sandboxes.values()]
      .filter((sandbox) => sandbox.ready && isWanted(sandbox, filter))
      .map((sandbox) => podStatsOf(world, sandbox));
  return {
    containerStats: unary("ContainerStats", ContainerStatsRequest, {
      target: ({ containerId }) => containerId,
      handle: ({ containerId }) => {
        const container = world.findContainer(containerId);
        if (container === undefined)
          throw new RuntimeFailure("CRI_NOT_FOUND", "failed to find container: not found");
        if (container.phase !== "running")
          throw new RuntimeFailure("CRI_UNKNOWN", "unexpected metrics response: []");
        return { stats: statsOf(world, container) };
      },
    }),
    listContainerStats: unary("ListContainerStats", ListContainerStatsRequest, {
      handle: ({ filter }) => ({ stats: running(filter) }),
    }),
    streamContainerStats: page("StreamContainerStats", StreamContainerStatsRequest, ({ filter }) =>
      running(filter).map((stats) => ({ containerStats: [stats] })),
    ),
    podSandboxStats: unary("PodSandboxStats", PodSandboxStatsRequest, {
      target: ({ podSandboxId }) => podSandboxId,
      handle: ({ podSandboxId }) => {
        const sandbox = world.findSandbox(podSandboxId);
        if (sandbox === undefined) throw noSuchSandbox(podSandboxId);
        return { stats: podStatsOf(world, sandbox) };
      },
    }),
    listPodSandboxStats: unary("ListPodSandboxStats", ListPodSandboxStatsRequest, {
      handle: ({ filter }) => ({ stats: ready(filter) }),
    }),
    streamPodSandboxStats: page("StreamPodSandboxStats", StreamPodSandboxStatsRequest, ({ filter }) =>
      ready(filter).map((stats) => ({ podSandboxStats: [stats] })),
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

/** One hundredth of a core, and a megabyte. */
const CPU_SHARE = 100n;
const MEMORY_BYTES = 1_048_576n;

function isWanted(one: ContainerRecord | SandboxRecord, filter: Filter | undefined): boolean {
  if (filter === undefined) return true;
  const sandboxId = "sandbox" in one ? one.sandbox.id : one.id;
  return (
    one.id.startsWith(filter.id) &&
    sandboxId.startsWith(filter.podSandboxId ?? "") &&
    matchesLabels(one.config.labels, filter.labelSelector)
  );
}

function statsOf(world: World, container: ContainerRecord): ContainerStats {
  const { metadata, labels, annotations } = container.config;
  const timestamp = world.stamp();
  return ContainerStats.fromPartial({
    attributes: { id: container.id, metadata, labels, annotations },
    cpu: { timestamp, usageCoreNanoSeconds: { value: (timestamp - container.startedAt) / CPU_SHARE } },
    memory: { timestamp, workingSetBytes: { value: MEMORY_BYTES } },
    writableLayer: { timestamp, usedBytes: { value: 0n }, inodesUsed: { value: 1n } },
  });
}

function podStatsOf(world: World, sandbox: SandboxRecord): PodSandboxStats {
  const { metadata, labels, annotations } = sandbox.config;
  const containers = world
    .containersOf(sandbox)
    .filter(({ phase }) => phase === "running")
    .map((container) => statsOf(world, container));
  const timestamp = world.stamp();
  const cpu = containers.reduce((total, one) => total + (one.cpu?.usageCoreNanoSeconds?.value ?? 0n), 0n);
  return PodSandboxStats.fromPartial({
    attributes: { id: sandbox.id, metadata, labels, annotations },
    linux: {
      cpu: { timestamp, usageCoreNanoSeconds: { value: cpu } },
      memory: { timestamp, workingSetBytes: { value: MEMORY_BYTES * BigInt(containers.length) } },
      containers,
    },
  });
}
