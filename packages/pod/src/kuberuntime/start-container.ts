// SPDX-License-Identifier: Apache-2.0

/**
 * Image, create, start, postStart: one container. kubelet: startContainer.
 *
 * Reads: the newest record of the container's name. Invariant: on a restart nothing but the create and the start is asked of the runtime
 * before the container runs, when its image is known. Lost on a crash: a container that was created and not started is found in state
 * Created; it is removed, and a fresh one is started (settle-created.ts).
 */
import type { DeepPartial, PodSandboxConfig } from "@holdfast/cri";
import type { Clock } from "@holdfast/core/clock";
import { errorText, isNotFound } from "@holdfast/core/errors";
import { formatPod } from "@holdfast/core/pod";
import type { Limiter } from "@holdfast/core/limiter";
import type { Logger } from "@holdfast/core/log";
import type { Container, Pod } from "@holdfast/core/pod-types";
import type { ContainerRecord } from "@holdfast/core/runtime-status";
import type {
  ContainerDeviceSource,
  ImageUse,
  MountedVolume,
  PodContainerManager,
  PodRuntime,
} from "../ports.ts";
import { containerConfig } from "./container-config.ts";
import type { ContainerFiles } from "./container-files.ts";
import type { Owner } from "./container-labels.ts";
import { createOrAdopt } from "./create-container.ts";
import type { CreatedContainer } from "./create-container.ts";
import { FIRST_START_PRIORITY, LATE_ABORT_MS } from "./create-sandbox.ts";
import type { PodFacts } from "./downward-api.ts";
import {
  ContainerCreated,
  ContainerCreating,
  ContainerFailed,
  ContainerStarted,
  ContainerStarting,
  HookFailed,
} from "./events.ts";
import { runHandler } from "./hooks.ts";
import type { ImageManager, KnownImage } from "./image-manager.ts";
import { killContainer } from "./kill-container.ts";
import type { KillDeps } from "./kill-container.ts";
import { lateSignal } from "./late-signal.ts";
import { containerFieldPath } from "./pod-recorder.ts";
import type { PodRecorder } from "./pod-recorder.ts";
import type { SecuritySettings } from "./security-context.ts";
import { PodSyncError } from "./sync-error.ts";
import type { StartedContainer } from "./sync-result.ts";

const RESTART_PRIORITY = 0;

/** Ports of a start. */
export interface StartContainerDeps extends KillDeps {
  readonly runtime: KillDeps["runtime"] &
    Pick<PodRuntime, "createContainer" | "startContainer" | "listContainers" | "removeContainer">;
  readonly clock: Clock;
  readonly limiter: Limiter;
  readonly logger: Logger;
  readonly owner: Owner;
  readonly images: ImageManager;
  readonly imageUse: ImageUse | undefined;
  readonly files: ContainerFiles;
  readonly resources: Pick<PodContainerManager, "containerResources">;
  readonly devices: ContainerDeviceSource | undefined;
  readonly security: SecuritySettings;
  readonly facts: (ips: readonly string[]) => PodFacts;
}

/** One container to start. */
export interface StartContainerRequest {
  readonly pod: Pod;
  readonly container: Container;
  /** The newest record of that name. */
  readonly previous: ContainerRecord | undefined;
  readonly sandboxId: string;
  readonly sandboxConfig: DeepPartial<PodSandboxConfig>;
  readonly ips: readonly string[];
  readonly volumes: ReadonlyMap<string, MountedVolume>;
  readonly recorder: PodRecorder;
  readonly signal: AbortSignal;
}

interface Begun {
  readonly containerId: string;
  /** Of the started event. */
  readonly seq: number;
}

/** Rejects with a {@link PodSyncError} that has the waiting reason, or with the signal's reason. */
export async function startContainer(
  deps: StartContainerDeps,
  request: StartContainerRequest,
): Promise<StartedContainer> {
  const { container, recorder, signal, pod } = request;
  let containerId: string | undefined;
  try {
    const restartCount = await nextRestartCount(deps, request);
    const attempt = (restart: boolean): Promise<Begun> =>
      withImage(deps, request, restart, async (image) => {
        const config = await configure(deps, request, image, restartCount);
        return bringUp(deps, request, config, (id) => (containerId = id));
      });
    const restart = request.previous !== undefined;
    const begun = await attempt(restart).catch((error: unknown) => {
      // What was known of the image may be out of date: once more, and ask.
      if (containerId !== undefined || !isNotFound(error)) throw error;
      deps.images.invalidate(container);
      return attempt(false);
    });
    await deps.files
      .link(pod.metadata, container.name, restartCount, begun.containerId)
      .catch((error: unknown) =>
        deps.logger.warn("no link to the container's log", { err: errorText(error) }),
      );
    await postStart(deps, request, begun.containerId);
    return { ...begun, name: container.name, restartCount };
  } catch (error) {
    deps.files.distrust(pod.metadata);
    deps.images.invalidate(container);
    signal.throwIfAborted();
    const failure = PodSyncError.from("RunContainerError", error);
    if (!failure.isBackOff) announce(recorder, request, failure, containerId);
    throw failure;
  }
}

/** Nobody removes the image between the moment in which it is found and the one in which the runtime's list shows its container. */
async function withImage<T>(
  deps: StartContainerDeps,
  request: StartContainerRequest,
  restart: boolean,
  work: (image: KnownImage) => Promise<T>,
): Promise<T> {
  const { container, pod, signal } = request;
  if (deps.imageUse === undefined) return work(await deps.images.ensureImageExists({ ...request, restart }));
  return deps.imageUse.use(
    container.image,
    async (hold) => {
      const image = await deps.images.ensureImageExists({ ...request, restart });
      if (!(await hold.add(image.id))) return work(image);
      // It was just being removed: what was known of it may be gone.
      deps.images.invalidate(container);
      return work(await deps.images.ensureImageExists({ ...request, restart: false }));
    },
    { by: `${formatPod(pod)}/${container.name}`, signal },
  );
}

async function nextRestartCount(
  deps: StartContainerDeps,
  { pod, container, previous }: StartContainerRequest,
): Promise<number> {
  return previous === undefined ? deps.files.restartCount(pod, container) : previous.restartCount + 1;
}

async function configure(
  deps: StartContainerDeps,
  { pod, container, ips, volumes, signal }: StartContainerRequest,
  image: KnownImage,
  restartCount: number,
): Promise<ReturnType<typeof containerConfig>> {
  try {
    return containerConfig(pod, container, {
      owner: deps.owner,
      restartCount,
      imageId: image.id,
      imageUser: image.user,
      facts: deps.facts(ips),
      volumes,
      files: await deps.files.prepare(pod, container, restartCount, ips),
      resources: deps.resources.containerResources(pod, container),
      devices: await deps.devices?.containerDevices(pod, container, signal),
      security: deps.security,
    });
  } catch (error) {
    throw PodSyncError.from("CreateContainerConfigError", error);
  }
}

/** Create and start share one place in the limiter: what was created is started before another one is created. */
async function bringUp(
  deps: StartContainerDeps,
  request: StartContainerRequest,
  config: ReturnType<typeof containerConfig>,
  onCreated: (id: string) => void,
): Promise<Begun> {
  const { previous, signal } = request;
  const priority = previous === undefined ? FIRST_START_PRIORITY : RESTART_PRIORITY;
  using late = lateSignal(deps.clock, signal, LATE_ABORT_MS);
  return deps.limiter.run(
    async () => {
      const { created, after } = await create(deps, request, config, late.signal);
      onCreated(created.containerId);
      signal.throwIfAborted();
      return start(deps, request, created, config.metadata?.attempt ?? 0, after, late.signal);
    },
    { priority, signal },
  );
}

async function create(
  deps: StartContainerDeps,
  { pod, container, sandboxId, sandboxConfig, recorder }: StartContainerRequest,
  config: ReturnType<typeof containerConfig>,
  signal: AbortSignal,
): Promise<{ readonly created: CreatedContainer; readonly after: number }> {
  const restartCount = config.metadata?.attempt ?? 0;
  const about = { container: container.name };
  const intent = recorder.emit(ContainerCreating, { restartCount, image: container.image }, about);
  try {
    const created = await createOrAdopt(deps, {
      podUid: pod.metadata.uid,
      sandboxId,
      config,
      sandboxConfig,
      signal,
      // Its log goes on: the successor has the same number.
      onLeftOver: (id) => deps.files.removeLink(pod.metadata, { name: container.name, id }),
    });
    const { containerId, adopted } = created;
    const after = recorder.emit(
      ContainerCreated,
      {
        eventType: "Normal",
        reason: "Created",
        message: "Container created",
        fieldPath: containerFieldPath(pod, container.name),
        containerId,
        restartCount,
        adopted,
      },
      { ...about, containerId, after: intent },
    );
    return { created, after };
  } catch (error) {
    throw PodSyncError.from("CreateContainerError", error);
  }
}

async function start(
  deps: StartContainerDeps,
  { pod, container, recorder }: StartContainerRequest,
  { containerId, running }: CreatedContainer,
  restartCount: number,
  created: number,
  signal: AbortSignal,
): Promise<Begun> {
  const about = { container: container.name, containerId };
  const after = recorder.emit(ContainerStarting, { containerId, restartCount }, { ...about, after: created });
  if (!running) {
    try {
      await deps.runtime.startContainer({ containerId }, { signal });
    } catch (error) {
      throw PodSyncError.from("RunContainerError", error);
    }
  }
  const seq = recorder.emit(
    ContainerStarted,
    {
      eventType: "Normal",
      reason: "Started",
      message: "Container started",
      fieldPath: containerFieldPath(pod, container.name),
      containerId,
      restartCount,
    },
    { ...about, after },
  );
  return { containerId, seq };
}

async function postStart(
  deps: StartContainerDeps,
  { pod, container, recorder, signal }: StartContainerRequest,
  containerId: string,
): Promise<void> {
  const handler = container.lifecycle?.postStart;
  if (handler === undefined) return;
  try {
    await runHandler(deps, containerId, handler, { deadlineMs: deps.hookDeadlineMs, signal });
  } catch (error) {
    signal.throwIfAborted();
    recorder.emit(
      HookFailed,
      {
        eventType: "Warning",
        reason: "FailedPostStartHook",
        message: "PostStartHook failed",
        fieldPath: containerFieldPath(pod, container.name),
        containerId,
      },
      { container: container.name, containerId },
    );
    await killContainer(deps, {
      pod,
      name: container.name,
      containerId,
      reason: "FailedPostStartHook",
      message: "FailedPostStartHook",
      recorder,
      signal,
    }).catch((kill: unknown) =>
      deps.logger.warn("container with a failed postStart hook was not stopped", { err: errorText(kill) }),
    );
    throw new PodSyncError("PostStartHookError", errorText(error), { cause: error, announced: true });
  }
}

function announce(
  recorder: PodRecorder,
  { pod, container }: StartContainerRequest,
  failure: PodSyncError,
  containerId: string | undefined,
): void {
  if (failure.announced) return;
  const name = container.name;
  // Equal failures of different containers are one event: the id would make each of them new.
  const text = containerId === undefined ? failure.message : failure.message.replaceAll(containerId, name);
  recorder.emit(
    ContainerFailed,
    {
      eventType: "Warning",
      reason: "Failed",
      message: `Error: ${text}`,
      fieldPath: containerFieldPath(pod, name),
      waiting: failure.reason,
      ...(containerId === undefined ? {} : { containerId }),
    },
    { container: name, ...(containerId === undefined ? {} : { containerId }) },
  );
}
