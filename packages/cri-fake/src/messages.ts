// SPDX-License-Identifier: Apache-2.0
//
// Records as the CRI shows them. Pure; every message is made anew, so that a caller can do to it what it likes.

import {
  Container,
  ContainerState,
  ContainerStatus,
  NamespaceMode,
  PodSandbox,
  PodSandboxState,
  PodSandboxStatus,
} from "@holdfast/cri";

import type { ContainerPhase, ContainerRecord, SandboxRecord } from "./state.ts";

const STATES: Readonly<Record<ContainerPhase, ContainerState>> = {
  created: ContainerState.CONTAINER_CREATED,
  running: ContainerState.CONTAINER_RUNNING,
  exited: ContainerState.CONTAINER_EXITED,
};

export function containerState(container: ContainerRecord): ContainerState {
  return STATES[container.phase];
}

export function sandboxState(sandbox: SandboxRecord): PodSandboxState {
  return sandbox.ready ? PodSandboxState.SANDBOX_READY : PodSandboxState.SANDBOX_NOTREADY;
}

export function toSandbox(sandbox: SandboxRecord): PodSandbox {
  const { metadata, labels, annotations } = sandbox.config;
  return PodSandbox.fromPartial({
    id: sandbox.id,
    metadata,
    state: sandboxState(sandbox),
    createdAt: sandbox.createdAt,
    labels,
    annotations,
    runtimeHandler: sandbox.runtimeHandler,
  });
}

export function toSandboxStatus(sandbox: SandboxRecord): PodSandboxStatus {
  const { metadata, labels, annotations, linux } = sandbox.config;
  return PodSandboxStatus.fromPartial({
    id: sandbox.id,
    metadata,
    state: sandboxState(sandbox),
    createdAt: sandbox.createdAt,
    // The address is gone with the network namespace.
    network: { ip: sandbox.ready ? sandbox.ip : "" },
    linux: {
      namespaces: {
        options: linux?.securityContext?.namespaceOptions ?? { pid: NamespaceMode.POD },
      },
    },
    labels,
    annotations,
    runtimeHandler: sandbox.runtimeHandler,
  });
}

export function toContainer(container: ContainerRecord): Container {
  const { metadata, image, labels, annotations } = container.config;
  return Container.fromPartial({
    id: container.id,
    podSandboxId: container.sandbox.id,
    metadata,
    image,
    imageRef: container.imageId,
    state: containerState(container),
    createdAt: container.createdAt,
    labels,
    annotations,
  });
}

export function toContainerStatus(container: ContainerRecord): ContainerStatus {
  const { metadata, image, labels, annotations, mounts, logPath } = container.config;
  const { logDirectory } = container.sandbox.config;
  // Unlike in a list, as the image is called now. containerd up to 2.1 never fills imageId.
  const shown = container.findImage();
  const [tag, digest] = [shown?.repoTags[0], shown?.repoDigests[0]];
  return ContainerStatus.fromPartial({
    id: container.id,
    metadata,
    state: containerState(container),
    createdAt: container.createdAt,
    startedAt: container.startedAt,
    finishedAt: container.finishedAt,
    exitCode: container.exitCode,
    image: tag === undefined ? image : { image: tag },
    imageRef: digest ?? container.imageId,
    reason: reasonOf(container),
    message: container.message,
    labels,
    annotations,
    mounts,
    logPath: logPath === "" ? "" : `${logDirectory}/${logPath}`,
    resources:
      container.resources?.resources === undefined ? undefined : { linux: container.resources.resources },
    user: userOf(container),
  });
}

function userOf({ inside, showsUser }: ContainerRecord): ContainerStatus["user"] {
  if (!showsUser) return undefined;
  const { uid, gid, groups } = inside;
  return {
    linux: { uid: BigInt(uid), gid: BigInt(gid), supplementalGroups: groups.map(BigInt) },
  };
}

/** containerd: Completed and Error are made up when the status is read. */
function reasonOf(container: ContainerRecord): string {
  if (container.phase !== "exited" || container.reason !== "") return container.reason;
  return container.exitCode === 0 ? "Completed" : "Error";
}
