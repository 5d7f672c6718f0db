// SPDX-License-Identifier: Apache-2.0

/** Takes a pod that is down and not wanted out of the runtime. */
import type { RuntimePodStatus } from "@holdfast/core/runtime-status";
import { ContainerRemoving } from "./events.ts";
import type { PodRecorder } from "./pod-recorder.ts";
import { removeContainer, removeSandbox } from "./remove-container.ts";
import type { RemoveDeps } from "./remove-container.ts";

/**
 * Sandboxes first, because the runtime removes a sandbox's containers with it: one call instead of one for each. Rejects with the first
 * failure, after everything was tried.
 */
export async function removePod(
  deps: RemoveDeps,
  status: RuntimePodStatus,
  recorder: PodRecorder,
  options: { readonly keepLogs: boolean; readonly signal: AbortSignal | undefined },
): Promise<void> {
  const errors: unknown[] = [];
  const attempt = async (work: () => Promise<void>): Promise<boolean> => {
    options.signal?.throwIfAborted();
    try {
      await work();
      return true;
    } catch (error) {
      errors.push(error);
      return false;
    }
  };
  const covered = new Set<string>();
  for (const { id, state } of status.sandboxes) {
    const inside = status.containers.filter(({ sandboxId }) => sandboxId === id);
    for (const container of inside) {
      const { id: containerId, name } = container;
      recorder.emit(ContainerRemoving, { containerId }, { container: name, containerId });
      // Before the call: if it happens and nobody hears of it, nobody knows the container's id any more, which is in the link's name.
      if (!options.keepLogs) await attempt(() => deps.files.removeLink(status, container));
    }
    const removed = await attempt(() =>
      removeSandbox(deps, id, recorder, { stopped: state === "notready", signal: options.signal }),
    );
    if (removed) for (const { id: containerId } of inside) covered.add(containerId);
  }
  for (const record of status.containers)
    if (!covered.has(record.id)) await attempt(() => removeContainer(deps, status, record, recorder));
  if (errors.length === 0 && !options.keepLogs && status.name !== "")
    await attempt(() => deps.files.removePodLogs(status));
  if (errors.length > 0) throw errors[0];
}
