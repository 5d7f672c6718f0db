// SPDX-License-Identifier: Apache-2.0

/** Stops all of a pod. kubelet: killPodWithSyncResult, killContainersWithSyncResult. */
import { errorText, isNotFound } from "@holdfast/core/errors";
import type { Limiter } from "@holdfast/core/limiter";
import { isSidecar } from "@holdfast/core/pod";
import type { Pod } from "@holdfast/core/pod-types";
import type { RuntimePodStatus } from "@holdfast/core/runtime-status";
import type { PodRuntime } from "../ports.ts";
import { SandboxStopping } from "./events.ts";
import type { KillReason } from "./events.ts";
import { killContainer } from "./kill-container.ts";
import type { KillDeps } from "./kill-container.ts";
import type { PodRecorder } from "./pod-recorder.ts";
import { PodSyncError } from "./sync-error.ts";
import type { KillPodResult } from "./sync-result.ts";
import { TerminationOrder } from "./termination-order.ts";

/** Stops wait behind restarts, beside first starts. */
export const STOP_PRIORITY = 1;

/** Ports of a pod's kill. */
export interface KillPodDeps extends KillDeps {
  readonly runtime: KillDeps["runtime"] & Pick<PodRuntime, "stopPodSandbox">;
  readonly limiter: Limiter;
}

/** One pod to kill. */
export interface KillPodRequest {
  readonly pod: Pod | undefined;
  readonly status: RuntimePodStatus;
  readonly gracePeriodOverride: number | undefined;
  readonly reason: KillReason;
  readonly message: string | undefined;
  readonly signal: AbortSignal | undefined;
  readonly recorder: PodRecorder;
}

/**
 * Running containers at once, then every sandbox on record, ready or not: also after a container could not be stopped, since the sandbox
 * takes it along. Rejects only with the signal's reason.
 */
export async function killPod(deps: KillPodDeps, request: KillPodRequest): Promise<KillPodResult> {
  const { pod, status, recorder } = request;
  const running = status.containers.filter(({ state }) => state === "running");
  const order =
    pod !== undefined && (pod.spec.initContainers ?? []).some(isSidecar)
      ? new TerminationOrder(pod, new Set(running.map(({ name }) => name)))
      : undefined;
  const killed: string[] = [];
  const errors: PodSyncError[] = [];
  await Promise.all(
    running.map(async ({ id, name }) => {
      try {
        await killContainer(deps, { ...request, containerId: id, name, order, recorder });
        killed.push(id);
      } catch (error) {
        errors.push(PodSyncError.from("KillContainerError", error));
      }
    }),
  );
  request.signal?.throwIfAborted();
  const stoppedSandboxes: string[] = [];
  for (const { id } of status.sandboxes) {
    try {
      await stopSandbox(deps, id, request.reason, recorder, request.signal);
      stoppedSandboxes.push(id);
    } catch (error) {
      request.signal?.throwIfAborted();
      errors.push(PodSyncError.from("KillPodSandboxError", error));
    }
  }
  return { killed, stoppedSandboxes, error: errors[0] };
}

/** A sandbox that is gone is a success. */
export async function stopSandbox(
  { runtime, limiter }: { runtime: Pick<PodRuntime, "stopPodSandbox">; limiter: Limiter },
  sandboxId: string,
  reason: KillReason,
  recorder: PodRecorder,
  signal: AbortSignal | undefined,
): Promise<void> {
  recorder.emit(SandboxStopping, { sandboxId, reason });
  try {
    await limiter.run(() => runtime.stopPodSandbox({ podSandboxId: sandboxId }, { signal }), {
      priority: STOP_PRIORITY,
      ...(signal === undefined ? {} : { signal }),
    });
  } catch (error) {
    if (isNotFound(error)) return;
    signal?.throwIfAborted();
    throw new PodSyncError("KillPodSandboxError", errorText(error), { cause: error });
  }
}
