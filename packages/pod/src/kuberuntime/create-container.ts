// SPDX-License-Identifier: Apache-2.0

/**
 * Creates a container: once, whatever becomes of the call. kubelet: startContainer's CreateContainer.
 *
 * Invariant: after a call whose answer was lost, or when the name is taken, the runtime is asked what there is. A container of the same
 * pod, name, attempt, sandbox and hash that has not run is taken for the one that was asked for; a dead left-over of ours that holds the
 * name is removed.
 */
import type {
  Container as CriContainer,
  ContainerConfig,
  DeepPartial,
  PodSandboxConfig,
} from "@holdfast/cri";
import { ContainerState } from "@holdfast/cri";
import { CONTAINER_HASH_ANNOTATION, CONTAINER_NAME_LABEL } from "@holdfast/core/names";
import type { PodRuntime } from "../ports.ts";
import { ownerSelector } from "./container-labels.ts";
import type { Owner } from "./container-labels.ts";
import { LOOKUP_DEADLINE_MS } from "./create-sandbox.ts";
import { isNameTaken, mayExist } from "./sync-error.ts";

/** Ports of a container's creation. */
export interface CreateContainerDeps {
  readonly runtime: Pick<PodRuntime, "createContainer" | "listContainers" | "removeContainer">;
  readonly owner: Owner;
}

/** One container to create. */
export interface CreateContainerRequest {
  readonly podUid: string;
  readonly sandboxId: string;
  readonly config: DeepPartial<ContainerConfig>;
  readonly sandboxConfig: DeepPartial<PodSandboxConfig>;
  readonly signal: AbortSignal;
  /** A dead left-over is about to be removed: what bears its id goes too. */
  readonly onLeftOver: (containerId: string) => Promise<void>;
}

/** A container that exists. */
export interface CreatedContainer {
  readonly containerId: string;
  readonly adopted: boolean;
  /** Adopted, and its start has happened already. */
  readonly running: boolean;
}

/** Rejects with what the runtime answered. */
export async function createOrAdopt(
  deps: CreateContainerDeps,
  request: CreateContainerRequest,
): Promise<CreatedContainer> {
  const { sandboxId, config, sandboxConfig, signal } = request;
  const create = async (): Promise<CreatedContainer> => {
    const { containerId } = await deps.runtime.createContainer(
      { podSandboxId: sandboxId, config, sandboxConfig },
      { signal },
    );
    return { containerId, adopted: false, running: false };
  };
  try {
    return await create();
  } catch (error) {
    if (!mayExist(error)) throw error;
    const left = await findContainer(deps, request);
    if (left === undefined) throw error;
    if (isSame(left, request)) {
      const { CONTAINER_CREATED, CONTAINER_RUNNING } = ContainerState;
      if (left.state === CONTAINER_CREATED || left.state === CONTAINER_RUNNING)
        return { containerId: left.id, adopted: true, running: left.state === CONTAINER_RUNNING };
    }
    if (!isNameTaken(error) || left.state === ContainerState.CONTAINER_RUNNING) throw error;
    await request.onLeftOver(left.id);
    await deps.runtime.removeContainer({ containerId: left.id }, { signal });
    return create();
  }
}

function isSame(left: CriContainer, { sandboxId, config }: CreateContainerRequest): boolean {
  return (
    left.podSandboxId === sandboxId &&
    left.annotations[CONTAINER_HASH_ANNOTATION] === config.annotations?.[CONTAINER_HASH_ANNOTATION]
  );
}

async function findContainer(
  { runtime, owner }: CreateContainerDeps,
  { podUid, config }: CreateContainerRequest,
): Promise<CriContainer | undefined> {
  const name = config.metadata?.name ?? "";
  const { containers } = await runtime.listContainers(
    { filter: { labelSelector: { ...ownerSelector(owner, podUid), [CONTAINER_NAME_LABEL]: name } } },
    { deadlineMs: LOOKUP_DEADLINE_MS },
  );
  return containers.find(
    ({ metadata }) => metadata?.name === name && metadata.attempt === config.metadata?.attempt,
  );
}
