// SPDX-License-Identifier: Apache-2.0

/**
 * Makes sure that a container which was created and does not run will not run either, before a successor is started beside it.
 *
 * Reads: the runtime's fresh word on the container. Invariant: true is returned only when the runtime has it no more. What asked for its
 * start may be an agent that died, or a call of ours that was given up: the runtime may still carry it out, and refuses to remove the
 * container meanwhile. Lost on a crash: nothing. The kubelet starts the successor at once.
 */
import { ContainerState } from "@holdfast/cri";
import type { Clock } from "@holdfast/core/clock";
import { errorText, isNotFound } from "@holdfast/core/errors";
import type { Limiter } from "@holdfast/core/limiter";
import type { Logger } from "@holdfast/core/log";
import type { ContainerRecord } from "@holdfast/core/runtime-status";
import type { PodRuntime } from "../ports.ts";
import type { ContainerFiles } from "./container-files.ts";
import { FIRST_START_PRIORITY, LOOKUP_DEADLINE_MS } from "./create-sandbox.ts";
import { ContainerRemoving } from "./events.ts";
import type { PodName } from "./log-paths.ts";
import type { PodRecorder } from "./pod-recorder.ts";
import { PodSyncError } from "./sync-error.ts";

/** Until the next attempt to remove a container that the runtime may be starting. */
const SOON_MS = 600;
/** No start takes longer: it is another failure, for the worker's back-off. Twice the runtime's usual deadline. */
const STARTING_AT_MOST_MS = 240_000;

/** Ports of a settlement. */
export interface SettleDeps {
  readonly runtime: Pick<PodRuntime, "containerStatus" | "removeContainer">;
  readonly clock: Clock;
  readonly limiter: Limiter;
  readonly logger: Logger;
  readonly files: ContainerFiles;
}

/** One record in state created. */
export interface SettleRequest {
  readonly pod: PodName;
  readonly record: ContainerRecord;
  readonly recorder: PodRecorder;
  readonly signal: AbortSignal;
}

/**
 * Whether it is gone for good. False: it has started after all, the record is out of date. Rejects with RemoveContainerError, or with the
 * signal's reason.
 */
export async function settleCreated(deps: SettleDeps, request: SettleRequest): Promise<boolean> {
  const { runtime, clock, files, limiter, logger } = deps;
  const { pod, record, recorder, signal } = request;
  const { id, name, restartCount } = record;
  try {
    const { status } = await runtime.containerStatus(
      { containerId: id },
      { signal, deadlineMs: LOOKUP_DEADLINE_MS },
    );
    if (status?.state !== undefined && status.state !== ContainerState.CONTAINER_CREATED) {
      // Whoever started it made no link.
      await files
        .link(pod, name, restartCount, id)
        .catch((error: unknown) => logger.warn("no link to the container's log", { err: errorText(error) }));
      return false;
    }
    recorder.emit(ContainerRemoving, { containerId: id }, { container: name, containerId: id });
    await limiter.run(() => runtime.removeContainer({ containerId: id }, { signal }), {
      priority: FIRST_START_PRIORITY,
      signal,
    });
  } catch (error) {
    signal.throwIfAborted();
    if (!isNotFound(error)) {
      const age = Math.abs(clock.now() - record.createdAt);
      throw new PodSyncError("RemoveContainerError", errorText(error), {
        cause: error,
        ...(age < STARTING_AT_MOST_MS ? { comeBackAt: clock.monotonic() + SOON_MS } : {}),
      });
    }
  }
  // Only now: a container that starts after all keeps its log.
  await files
    .removeContainerFiles(pod, record)
    .catch((error: unknown) => logger.warn("a container's files stay", { err: errorText(error) }));
  return true;
}
