// SPDX-License-Identifier: Apache-2.0
//
// Sandboxes as containerd keeps them: ready from RunPodSandbox to StopPodSandbox, named and listed until RemovePodSandbox. The name is held
// from the first moment of RunPodSandbox, and let go when that fails or its caller gives up.

import {
  ListPodSandboxRequest,
  ListPodSandboxResponse,
  NamespaceMode,
  PodSandboxStatusRequest,
  PodSandboxStatusResponse,
  RemovePodSandboxRequest,
  RunPodSandboxRequest,
  StopPodSandboxRequest,
  StreamPodSandboxesRequest,
} from "@holdfast/cri";
import type { CriRuntimeService, PodSandboxConfig, PodSandboxFilter } from "@holdfast/cri";

import type { CallContext } from "./caller.ts";
import { noSuchSandbox, refuseGroupAlone, RuntimeFailure } from "./failure.ts";
import { sandboxState, toSandbox, toSandboxStatus } from "./messages.ts";
import type { MethodFactory } from "./method.ts";
import type { ContainerRecord, SandboxRecord } from "./state.ts";
import { matchesLabels } from "./state.ts";
import type { World } from "./world.ts";

/** What sandboxes need of the runtime besides their world. */
export interface SandboxPorts {
  readonly world: World;
  readonly runtimeHandlers: readonly string[];
  readonly networkReady: () => boolean;
  /** On containerd 1.6 stopping one that is not there is an error; later it is not. */
  readonly stopMissingFails: boolean;
}

type SandboxMethods = Pick<
  CriRuntimeService,
  | "runPodSandbox"
  | "stopPodSandbox"
  | "removePodSandbox"
  | "podSandboxStatus"
  | "listPodSandbox"
  | "streamPodSandboxes"
>;

export function createSandboxService(ports: SandboxPorts, { unary, page }: MethodFactory): SandboxMethods {
  const { world } = ports;
  const aboutId = ({ podSandboxId }: { podSandboxId: string }): string => podSandboxId;
  return {
    runPodSandbox: unary("RunPodSandbox", RunPodSandboxRequest, {
      target: ({ config }) =>
        config?.metadata === undefined ? "" : `${config.metadata.namespace}/${config.metadata.name}`,
      subject: ({ config }) => subjectOfConfig(config),
      deadlineMs: (_request, deadlines) => 2 * deadlines.runtimeRequestTimeoutMs,
      ownPace: true,
      handle: (request, context) => run(ports, request, context),
    }),
    stopPodSandbox: unary("StopPodSandbox", StopPodSandboxRequest, {
      target: aboutId,
      handle: async ({ podSandboxId }, { signal }) => {
        const sandbox = world.findSandbox(podSandboxId);
        if (sandbox !== undefined) await stop(world, sandbox, signal);
        else if (ports.stopMissingFails) throw noSuchSandbox(podSandboxId);
        return {};
      },
    }),
    removePodSandbox: unary("RemovePodSandbox", RemovePodSandboxRequest, {
      target: aboutId,
      handle: async ({ podSandboxId }, { signal }) => {
        await remove(world, podSandboxId, signal);
        return {};
      },
    }),
    podSandboxStatus: unary("PodSandboxStatus", PodSandboxStatusRequest, {
      target: aboutId,
      handle: ({ podSandboxId }) => status(world, podSandboxId),
      distort: (response, { wrongState }) =>
        wrongState === undefined || response.status === undefined
          ? response
          : { ...response, status: { ...response.status, state: wrongState as 0 } },
    }),
    listPodSandbox: unary("ListPodSandbox", ListPodSandboxRequest, {
      handle: ({ filter }) => ListPodSandboxResponse.fromPartial({ items: list(world, filter) }),
      distort: ({ items }, { truncateTo = items.length, wrongState }) => ({
        items: items
          .slice(0, truncateTo)
          .map((item) => (wrongState === undefined ? item : { ...item, state: wrongState as 0 })),
      }),
    }),
    streamPodSandboxes: page("StreamPodSandboxes", StreamPodSandboxesRequest, ({ filter }) =>
      list(world, filter).map((podSandbox) => ({ podSandboxes: [podSandbox] })),
    ),
  };
}

/** Which pod a configuration is about, for faults. */
export function subjectOfConfig(config: PodSandboxConfig | undefined): {
  podUid: string | undefined;
  podName: string | undefined;
  podNamespace: string | undefined;
} {
  const { uid, name, namespace } = config?.metadata ?? {};
  return { podUid: uid, podName: name, podNamespace: namespace };
}

/** Ends a container at once and waits until the CRI shows it. */
export async function killAndWait(
  world: World,
  container: ContainerRecord,
  signal: AbortSignal,
): Promise<void> {
  container.process?.kill();
  await world.exitShown(container, signal);
}

async function run(
  { world, runtimeHandlers, networkReady }: SandboxPorts,
  { config, runtimeHandler }: RunPodSandboxRequest,
  { takeTime }: CallContext,
): Promise<{ podSandboxId: string }> {
  const metadata = config?.metadata;
  if (config === undefined || metadata === undefined)
    throw new RuntimeFailure("CRI_UNKNOWN", "sandbox config must include metadata");
  const id = world.newId();
  const key = [metadata.name, metadata.namespace, metadata.uid, metadata.attempt].join("_");
  world.sandboxNames.reserve(key, id);
  try {
    if (runtimeHandler !== "" && !runtimeHandlers.includes(runtimeHandler))
      throw new RuntimeFailure(
        "CRI_UNKNOWN",
        `failed to get sandbox runtime: no runtime for "${runtimeHandler}" is configured`,
      );
    await takeTime();
    // The word is spelt so.
    refuseGroupAlone("failed to generate sanbdox container spec options", config.linux?.securityContext);
    const hostNetwork = config.linux?.securityContext?.namespaceOptions?.network === NamespaceMode.NODE;
    if (!hostNetwork && !networkReady())
      throw new RuntimeFailure(
        "CRI_UNKNOWN",
        `failed to setup network for sandbox "${id}": cni plugin not initialized`,
      );
    const ip = hostNetwork ? "" : world.options.addresses.lease(id);
    const createdAt = world.stamp();
    const pid = world.newPid();
    world.addSandbox({ id, key, config, runtimeHandler, createdAt, pid, ip, ready: true });
    return { podSandboxId: id };
  } catch (error) {
    world.sandboxNames.release(key, id);
    throw error;
  }
}

async function stop(world: World, sandbox: SandboxRecord, signal: AbortSignal): Promise<void> {
  for (const container of world.containersOf(sandbox)) await killAndWait(world, container, signal);
  world.endSandbox(sandbox);
}

/** One that is not there is no error; one that is ready is stopped first; its containers go with it. */
async function remove(world: World, id: string, signal: AbortSignal): Promise<void> {
  const sandbox = world.findSandbox(id);
  if (sandbox === undefined) return;
  await stop(world, sandbox, signal);
  for (const container of world.containersOf(sandbox)) world.dropContainer(container);
  if (world.sandboxes.has(sandbox.id)) world.dropSandbox(sandbox);
}

function status(world: World, id: string): PodSandboxStatusResponse {
  const sandbox = world.findSandbox(id);
  if (sandbox === undefined)
    throw id === ""
      ? new RuntimeFailure("CRI_UNKNOWN", "an error occurred when try to find sandbox: prefix can't be empty")
      : new RuntimeFailure("CRI_NOT_FOUND", "an error occurred when try to find sandbox: not found");
  // No containerd fills the containers' statuses in here.
  return PodSandboxStatusResponse.fromPartial({ status: toSandboxStatus(sandbox) });
}

function list(world: World, filter: PodSandboxFilter | undefined): ReturnType<typeof toSandbox>[] {
  const id = filter?.id === undefined || filter.id === "" ? undefined : filter.id;
  const wanted = id === undefined ? undefined : world.findSandbox(id);
  return [...world.sandboxes.values()]
    .filter((sandbox) => id === undefined || sandbox === wanted)
    .filter((sandbox) => filter?.state === undefined || filter.state.state === sandboxState(sandbox))
    .filter((sandbox) => matchesLabels(sandbox.config.labels, filter?.labelSelector))
    .map(toSandbox);
}
