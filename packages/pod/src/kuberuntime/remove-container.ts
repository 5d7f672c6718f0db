// SPDX-License-Identifier: Apache-2.0

/** Removes records of dead containers and sandboxes, with their files. kubelet: removeContainer, containerGC.removeSandbox. */
import { errorText, isNotFound } from "@holdfast/core/errors";
import type { Limiter } from "@holdfast/core/limiter";
import type { ContainerRecord } from "@holdfast/core/runtime-status";
import type { PodRuntime } from "../ports.ts";
import type { ContainerFiles } from "./container-files.ts";
import { ContainerRemoving, SandboxRemoving } from "./events.ts";
import { stopSandbox } from "./kill-pod.ts";
import type { PodName } from "./log-paths.ts";
import type { PodRecorder } from "./pod-recorder.ts";
import { PodSyncError } from "./sync-error.ts";

/** Behind everything that brings something up or down. */
const REMOVE_PRIORITY = 2;

/** Ports of a removal. */
export interface RemoveDeps {
  readonly runtime: Pick<PodRuntime, "removeContainer" | "stopPodSandbox" | "removePodSandbox">;
  readonly limiter: Limiter;
  readonly files: ContainerFiles;
}

/** Logs, link, then the container itself. Gone is a success. Rejects with RemoveContainerError. */
export async function removeContainer(
  { runtime, limiter, files }: RemoveDeps,
  pod: PodName,
  record: ContainerRecord,
  recorder: PodRecorder,
): Promise<void> {
  const { id, name } = record;
  recorder.emit(ContainerRemoving, { containerId: id }, { container: name, containerId: id });
  try {
    await files.removeContainerFiles(pod, record);
    await limiter.run(() => runtime.removeContainer({ containerId: id }), { priority: REMOVE_PRIORITY });
  } catch (error) {
    if (isNotFound(error)) return;
    throw new PodSyncError("RemoveContainerError", errorText(error), { cause: error });
  }
}

/** Stopped once more first, so that its network is given back; only if that works it is removed. Containers in it go along. */
export async function removeSandbox(
  deps: RemoveDeps,
  sandboxId: string,
  recorder: PodRecorder,
  options: { readonly stopped: boolean; readonly signal?: AbortSignal | undefined },
): Promise<void> {
  const { runtime, limiter } = deps;
  if (!options.stopped) await stopSandbox(deps, sandboxId, "Removed", recorder, options.signal);
  recorder.emit(SandboxRemoving, { sandboxId });
  try {
    await limiter.run(() => runtime.removePodSandbox({ podSandboxId: sandboxId }), {
      priority: REMOVE_PRIORITY,
    });
  } catch (error) {
    if (isNotFound(error)) return;
    throw new PodSyncError("KillPodSandboxError", errorText(error), { cause: error });
  }
}
