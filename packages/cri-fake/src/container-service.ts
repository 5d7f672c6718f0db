// SPDX-License-Identifier: Apache-2.0
//
// Containers as containerd keeps them: created, running, exited; named and listed until RemoveContainer. Starting is possible once.

import {
  ContainerStatusRequest,
  CreateContainerRequest,
  ListContainersRequest,
  ListContainersResponse,
  MountPropagation,
  RemoveContainerRequest,
  ReopenContainerLogRequest,
  StartContainerRequest,
  StopContainerRequest,
  StreamContainersRequest,
  UpdateContainerResourcesRequest,
} from "@holdfast/cri";
import type { Container, ContainerFilter, CriRuntimeService, Mount } from "@holdfast/cri";

import type { CallContext } from "./caller.ts";
import { noSuchContainer, refuseGroupAlone, RuntimeFailure } from "./failure.ts";
import type { ImageStore } from "./images.ts";
import { insideOf } from "./inside.ts";
import { containerState, toContainer, toContainerStatus } from "./messages.ts";
import type { MethodFactory } from "./method.ts";
import type { Programs } from "./program.ts";
import { killAndWait, subjectOfConfig } from "./sandbox-service.ts";
import type { ContainerRecord } from "./state.ts";
import { matchesLabels } from "./state.ts";
import type { World } from "./world.ts";

/** What containers need of the runtime besides their world. */
export interface ContainerPorts {
  readonly world: World;
  readonly images: ImageStore;
  readonly programs: Programs;
  /** On containerd 1.6 stopping one that is not there is an error; later it is not. */
  readonly stopMissingFails: boolean;
  /** containerd 2 creates containers in a stopped sandbox too; they cannot be started. */
  readonly createsInStopped: boolean;
  /** containerd 2 knows mounts that are read-only all the way down; before, that wish is not seen. */
  readonly recursiveReadOnly: boolean;
  /** containerd 2 shows in a status whom a container runs as. */
  readonly showsUser: boolean;
}

type ContainerMethods = Pick<
  CriRuntimeService,
  | "createContainer"
  | "startContainer"
  | "stopContainer"
  | "removeContainer"
  | "listContainers"
  | "streamContainers"
  | "containerStatus"
  | "updateContainerResources"
  | "reopenContainerLog"
>;

const MS_PER_SECOND = 1000;

export function createContainerService(ports: ContainerPorts, methods: MethodFactory): ContainerMethods {
  return { ...createLife(ports, methods), ...createViews(ports, methods) };
}

function createLife(
  ports: ContainerPorts,
  { unary }: MethodFactory,
): Pick<ContainerMethods, "createContainer" | "startContainer" | "stopContainer" | "removeContainer"> {
  const { world } = ports;
  return {
    createContainer: unary("CreateContainer", CreateContainerRequest, {
      target: ({ podSandboxId, config }) => `${config?.metadata?.name ?? ""} in ${podSandboxId}`,
      subject: ({ podSandboxId, config }) => ({
        ...subjectOfConfig(world.findSandbox(podSandboxId)?.config),
        container: config?.metadata?.name,
      }),
      ownPace: true,
      handle: (request, context) => create(ports, request, context),
    }),
    startContainer: unary("StartContainer", StartContainerRequest, {
      target: aboutId,
      handle: ({ containerId }) => {
        start(ports, world.container(containerId));
        return {};
      },
    }),
    stopContainer: unary("StopContainer", StopContainerRequest, {
      target: aboutId,
      deadlineMs: ({ timeout }, { runtimeRequestTimeoutMs }) =>
        Math.max(Number(timeout), 0) * MS_PER_SECOND + runtimeRequestTimeoutMs,
      handle: async ({ containerId, timeout }, { signal }) => {
        const container = world.findContainer(containerId);
        if (container !== undefined) await stop(world, container, Number(timeout) * MS_PER_SECOND, signal);
        else if (ports.stopMissingFails) throw noSuchContainer(containerId);
        return {};
      },
    }),
    removeContainer: unary("RemoveContainer", RemoveContainerRequest, {
      target: aboutId,
      handle: async ({ containerId }, { signal }) => {
        const container = world.findContainer(containerId);
        if (container === undefined) return {};
        await killAndWait(world, container, signal);
        if (!container.removed) world.dropContainer(container);
        return {};
      },
    }),
  };
}

function createViews(
  { world }: ContainerPorts,
  { unary, page }: MethodFactory,
): Omit<ContainerMethods, keyof ReturnType<typeof createLife>> {
  return {
    listContainers: unary("ListContainers", ListContainersRequest, {
      handle: ({ filter }) => ListContainersResponse.fromPartial({ containers: list(world, filter) }),
      distort: ({ containers }, { truncateTo = containers.length, wrongState }) => ({
        containers: containers
          .slice(0, truncateTo)
          .map((one) => (wrongState === undefined ? one : { ...one, state: wrongState as 0 })),
      }),
    }),
    streamContainers: page("StreamContainers", StreamContainersRequest, ({ filter }) =>
      list(world, filter).map((container) => ({ containers: [container] })),
    ),
    containerStatus: unary("ContainerStatus", ContainerStatusRequest, {
      target: aboutId,
      handle: ({ containerId, verbose }) => {
        const container = world.container(containerId);
        const pid = container.process?.pid ?? 0;
        const info = { sandboxID: container.sandbox.id, pid };
        return {
          status: toContainerStatus(container),
          info: verbose ? { info: JSON.stringify(info) } : ({} as Record<string, string>),
        };
      },
      distort: (response, { wrongState }) =>
        wrongState === undefined || response.status === undefined
          ? response
          : { ...response, status: { ...response.status, state: wrongState as 0 } },
    }),
    updateContainerResources: unary("UpdateContainerResources", UpdateContainerResourcesRequest, {
      target: aboutId,
      handle: ({ containerId, linux }) => {
        const container = world.findContainer(containerId);
        if (container === undefined)
          throw new RuntimeFailure("CRI_NOT_FOUND", "failed to find container: not found");
        const { resources } = container;
        if (linux !== undefined)
          container.resources = {
            securityContext: resources?.securityContext,
            resources: merged(resources?.resources, linux),
          };
        container.process?.memoryLimitChanged();
        return {};
      },
    }),
    reopenContainerLog: unary("ReopenContainerLog", ReopenContainerLogRequest, {
      target: aboutId,
      handle: ({ containerId }) => {
        const container = world.container(containerId);
        if (container.phase !== "running")
          throw new RuntimeFailure("CRI_UNKNOWN", "container is not running");
        world.options.logs.reopen(toContainerStatus(container).logPath);
        return {};
      },
    }),
  };
}

function aboutId({ containerId }: { containerId: string }): string {
  return containerId;
}

async function create(
  { world, images, createsInStopped, recursiveReadOnly, showsUser }: ContainerPorts,
  { podSandboxId, config, sandboxConfig }: CreateContainerRequest,
  { takeTime }: CallContext,
): Promise<{ containerId: string }> {
  const sandbox = world.findSandbox(podSandboxId);
  if (sandbox === undefined)
    throw new RuntimeFailure("CRI_NOT_FOUND", `failed to find sandbox id "${podSandboxId}": not found`);
  if (!sandbox.ready && !createsInStopped)
    throw new RuntimeFailure(
      "CRI_NOT_FOUND",
      `failed to get sandbox container task: no running task found: task ${sandbox.id} not found: not found`,
    );
  if (config?.metadata === undefined)
    throw new RuntimeFailure("CRI_UNKNOWN", "container config must include metadata");
  const { name, attempt } = config.metadata;
  const pod = sandboxConfig?.metadata ?? sandbox.config.metadata;
  const id = world.newId();
  const key = [name, pod?.name, pod?.namespace, pod?.uid, attempt].join("_");
  world.containerNames.reserve(key, id);
  try {
    const image = images.require(config.image ?? { image: "" });
    await takeTime();
    // It may have been removed meanwhile.
    if (!world.sandboxes.has(sandbox.id))
      throw new RuntimeFailure("CRI_NOT_FOUND", `failed to find sandbox id "${podSandboxId}": not found`);
    refuseGroupAlone("failed to get container spec opts", config.linux?.securityContext);
    if (recursiveReadOnly) refuseMounts(id, config.mounts);
    const container: ContainerRecord = {
      id,
      key,
      sandbox,
      config,
      imageId: image.id,
      inside: insideOf({ config, sandbox }, images.usersOf(image)),
      showsUser,
      watchers: new Set(),
      findImage: () => images.find({ image: image.id }),
      createdAt: world.stamp(),
      phase: "created",
      startedAt: 0n,
      finishedAt: 0n,
      exitCode: 0,
      reason: "",
      message: "",
      process: undefined,
      diskBytes: 0,
      resources: config.linux,
      removed: false,
    };
    world.containers.set(id, container);
    world.tellCri("CREATED", sandbox, container);
    return { containerId: id };
  } catch (error) {
    world.containerNames.release(key, id);
    throw error;
  }
}

/** As containerd checks what it is to mount. No mount of the host is shared or a slave here. */
function refuseMounts(id: string, mounts: readonly Mount[]): void {
  for (const { hostPath, recursiveReadOnly, readonly, propagation } of mounts) {
    if (!recursiveReadOnly) continue;
    const problem =
      propagation !== MountPropagation.PROPAGATION_PRIVATE
        ? `path "${hostPath}" is mounted on "/" but it is not a shared or slave mount`
        : readonly
          ? undefined
          : `recursive read-only mount conflicts with RW mount (hostPath="${hostPath}")`;
    if (problem !== undefined)
      throw new RuntimeFailure(
        "CRI_UNKNOWN",
        `failed to generate container "${id}" spec: failed to generate spec: ${problem}`,
      );
  }
}

function start({ world, programs }: ContainerPorts, container: ContainerRecord): void {
  const { id, phase, sandbox, config } = container;
  if (phase !== "created")
    throw new RuntimeFailure(
      "CRI_UNKNOWN",
      `failed to set starting state for container "${id}": container is in CONTAINER_${phase.toUpperCase()} state`,
    );
  const { uid = "", name = "", namespace = "" } = sandbox.config.metadata ?? {};
  const program = programs({
    containerId: id,
    podUid: uid,
    podName: name,
    podNamespace: namespace,
    name: config.metadata?.name ?? "",
    attempt: config.metadata?.attempt ?? 0,
    image: config.image?.image ?? "",
    command: config.command,
    args: config.args,
    env: Object.fromEntries(config.envs.map(({ key, value }) => [key, String(value)])),
    labels: config.labels,
    annotations: config.annotations,
    inside: container.inside,
  });
  const failure = sandbox.ready ? program.startError : `sandbox container "${sandbox.id}" is not running`;
  if (failure !== undefined) {
    world.failStart(container, failure);
    throw new RuntimeFailure("CRI_UNKNOWN", failure);
  }
  world.start(container, program);
}

/** SIGTERM, the grace, SIGKILL. Without grace SIGKILL at once. */
async function stop(
  world: World,
  container: ContainerRecord,
  graceMs: number,
  signal: AbortSignal,
): Promise<void> {
  if (container.phase !== "running") return;
  if (graceMs > 0) {
    container.process?.terminate();
    const over = new AbortController();
    const timer = world.options.clock.timer(graceMs, () => over.abort(GRACE_OVER));
    try {
      await world.exitShown(container, AbortSignal.any([signal, over.signal]));
      return;
    } catch (reason) {
      if (reason !== GRACE_OVER) throw reason;
    } finally {
      timer.cancel();
    }
  }
  await killAndWait(world, container, signal);
}

const GRACE_OVER = new Error("grace period is over");

function list(world: World, filter: ContainerFilter | undefined): Container[] {
  const { id = "", podSandboxId = "", state, labelSelector } = filter ?? {};
  const wanted = id === "" ? undefined : world.findContainer(id);
  const sandbox = podSandboxId === "" ? undefined : world.findSandbox(podSandboxId);
  return [...world.containers.values()]
    .filter((container) => id === "" || container === wanted)
    .filter((container) => podSandboxId === "" || container.sandbox === sandbox)
    .filter((container) => state === undefined || state.state === containerState(container))
    .filter((container) => matchesLabels(container.config.labels, labelSelector))
    .map(toContainer);
}

/** A field that is not given (0, empty) stays as it was. */
function merged<Resources extends object>(old: Resources | undefined, update: Resources): Resources {
  const given = Object.entries(update).filter(
    ([, value]) =>
      value !== 0n && value !== "" && !(Array.isArray(value) && value.length === 0) && !isEmptyMap(value),
  );
  return { ...(old ?? update), ...Object.fromEntries(given) };
}

function isEmptyMap(value: unknown): boolean {
  return typeof value === "object" && value !== null && Object.keys(value).length === 0;
}
