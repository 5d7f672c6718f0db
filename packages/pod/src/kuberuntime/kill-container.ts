// SPDX-License-Identifier: Apache-2.0

/** Stops one container: grace, preStop, its turn, then the runtime's stop. kubelet: killContainer. */
import type { Clock } from "@holdfast/core/clock";
import { errorText, isDeadline, isNotFound } from "@holdfast/core/errors";
import type { Logger } from "@holdfast/core/log";
import { allContainers } from "@holdfast/core/pod";
import type { LifecycleHandler, Pod } from "@holdfast/core/pod-types";
import type { PodRuntime } from "../ports.ts";
import { computeGracePeriod, MINIMUM_GRACE_SECONDS } from "./compute-grace-period.ts";
import { readContainerAnnotations } from "./container-labels.ts";
import { ContainerKilled, ContainerKilling, HookFailed } from "./events.ts";
import type { KillReason } from "./events.ts";
import { runHandler } from "./hooks.ts";
import { containerFieldPath } from "./pod-recorder.ts";
import type { PodRecorder } from "./pod-recorder.ts";
import { PodSyncError } from "./sync-error.ts";
import type { TerminationOrder } from "./termination-order.ts";

/** Ports of a kill. */
export interface KillDeps {
  readonly runtime: Pick<PodRuntime, "stopContainer" | "execSync" | "containerStatus">;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly hookDeadlineMs: number;
}

/** One container to stop. */
export interface KillRequest {
  /** Undefined: what is needed is read from the container's annotations. */
  readonly pod: Pod | undefined;
  readonly name: string;
  readonly containerId: string;
  readonly reason: KillReason;
  readonly message?: string | undefined;
  readonly gracePeriodOverride?: number | undefined;
  readonly order?: TerminationOrder | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly recorder: PodRecorder;
}

interface KillPlan {
  readonly graceSeconds: number;
  readonly preStop: LifecycleHandler | undefined;
}

/** Rejects with KillContainerError, or with the signal's reason. A container that is gone is a success. */
export async function killContainer(deps: KillDeps, request: KillRequest): Promise<void> {
  const { containerId, name, recorder, order, signal } = request;
  const plan = await planKill(deps, request);
  let left = request.gracePeriodOverride ?? plan.graceSeconds;
  const about = { container: name, containerId };
  const after = recorder.emit(
    ContainerKilling,
    {
      eventType: "Normal",
      reason: "Killing",
      message: request.message ?? `Stopping container ${name}`,
      fieldPath: containerFieldPath(request.pod, name),
      containerId,
      gracePeriodSeconds: Math.max(left, MINIMUM_GRACE_SECONDS),
      killReason: request.reason,
    },
    about,
  );
  const takeTime = async (part: () => Promise<void>): Promise<void> => {
    const begun = deps.clock.monotonic();
    await part();
    left -= Math.floor((deps.clock.monotonic() - begun) / 1000);
  };
  const { preStop } = plan;
  if (preStop !== undefined && left > 0) await takeTime(() => runPreStop(deps, request, preStop, left));
  if (order !== undefined && left > 0)
    await takeTime(() => order.waitForTurn(deps.clock, name, left * 1000, signal));
  const timeout = Math.max(left, MINIMUM_GRACE_SECONDS);
  try {
    await deps.runtime.stopContainer({ containerId, timeout: BigInt(timeout) }, { signal });
  } catch (error) {
    if (!isNotFound(error)) {
      signal?.throwIfAborted();
      recorder.emit(ContainerKilled, { containerId, error: errorText(error) }, { ...about, after });
      throw new PodSyncError("KillContainerError", errorText(error), { cause: error });
    }
  }
  recorder.emit(ContainerKilled, { containerId, error: "" }, { ...about, after });
  order?.terminated(name);
}

async function planKill(deps: KillDeps, request: KillRequest): Promise<KillPlan> {
  const { pod, name, containerId, reason } = request;
  if (pod !== undefined) {
    const container = allContainers(pod.spec).find((candidate) => candidate.name === name);
    // A container that its pod does not know any more is stopped with the pod's grace.
    return {
      graceSeconds: computeGracePeriod(pod, container ?? {}, reason),
      preStop: container?.lifecycle?.preStop,
    };
  }
  // The synthetic pod of a caller with an override has no lifecycle, as in the kubelet.
  if (request.gracePeriodOverride !== undefined)
    return { graceSeconds: request.gracePeriodOverride, preStop: undefined };
  try {
    const { status } = await deps.runtime.containerStatus({ containerId }, { signal: request.signal });
    const found = readContainerAnnotations(status?.annotations ?? {});
    return {
      graceSeconds:
        found.deletionGracePeriodSeconds ?? found.terminationGracePeriodSeconds ?? MINIMUM_GRACE_SECONDS,
      preStop: found.preStop,
    };
  } catch (error) {
    request.signal?.throwIfAborted();
    deps.logger.debug("container is killed without its annotations", { containerId, err: errorText(error) });
    return { graceSeconds: MINIMUM_GRACE_SECONDS, preStop: undefined };
  }
}

/** At most the grace that is left. Its failure is told and changes nothing. kubelet: executePreStopHook. */
async function runPreStop(
  deps: KillDeps,
  { pod, name, containerId, recorder, signal }: KillRequest,
  preStop: LifecycleHandler,
  graceSeconds: number,
): Promise<void> {
  const deadlineMs = Math.min(graceSeconds * 1000, deps.hookDeadlineMs);
  try {
    await runHandler(deps, containerId, preStop, { deadlineMs, signal });
  } catch (error) {
    signal?.throwIfAborted();
    deps.logger.warn("preStop hook did not succeed", {
      container: name,
      containerId,
      deadlineMs,
      err: errorText(error),
    });
    if (isDeadline(error)) return;
    recorder.emit(
      HookFailed,
      {
        eventType: "Warning",
        reason: "FailedPreStopHook",
        message: "PreStopHook failed",
        fieldPath: containerFieldPath(pod, name),
        containerId,
      },
      { container: name, containerId },
    );
  }
}
