// SPDX-License-Identifier: Apache-2.0

/** Carries out what {@link computeContainerGc} plans. kubelet: containerGC.GarbageCollect. */
import type { Publisher } from "@holdfast/bus";
import type { Clock } from "@holdfast/core/clock";
import { errorText } from "@holdfast/core/errors";
import type { Logger } from "@holdfast/core/log";
import type { RuntimePodStatus } from "@holdfast/core/runtime-status";
import { computeContainerGc } from "./compute-container-gc.ts";
import type { ContainerGcPolicy } from "./compute-container-gc.ts";
import { killContainer } from "./kill-container.ts";
import type { KillDeps } from "./kill-container.ts";
import { PodRecorder } from "./pod-recorder.ts";
import { removeContainer, removeSandbox } from "./remove-container.ts";
import type { RemoveDeps } from "./remove-container.ts";
import type { GarbagePredicates } from "./sync-result.ts";

/** Ports of a pass. */
export interface ContainerGcDeps extends RemoveDeps, Omit<KillDeps, "runtime"> {
  readonly runtime: RemoveDeps["runtime"] & KillDeps["runtime"];
  readonly clock: Clock;
  readonly logger: Logger;
  readonly publish: Publisher;
}

/** What a pass removed. */
export interface GarbageCollected {
  readonly containers: number;
  readonly sandboxes: number;
}

/** One pass. A failure is logged and its thing comes again with the next pass. */
export async function collectGarbage(
  deps: ContainerGcDeps,
  all: readonly RuntimePodStatus[],
  policy: ContainerGcPolicy,
  predicates: GarbagePredicates,
): Promise<GarbageCollected> {
  const plan = computeContainerGc(all, policy, predicates, deps.clock.now());
  const recorderOf = (pod: RuntimePodStatus): PodRecorder => new PodRecorder(deps.publish, pod, []);
  const failedPods = new Set<string>();
  let containers = 0;
  let sandboxes = 0;
  const attempt = async (
    pod: RuntimePodStatus,
    what: string,
    work: () => Promise<void>,
  ): Promise<boolean> => {
    try {
      await work();
      return true;
    } catch (error) {
      failedPods.add(pod.uid);
      deps.logger.warn("garbage could not be removed", { podUid: pod.uid, what, err: errorText(error) });
      return false;
    }
  };
  for (const { pod, record } of plan.containers) {
    const done = await attempt(pod, record.id, async () => {
      const recorder = recorderOf(pod);
      // The runtime does not know whether it runs: it is stopped by what its annotations say.
      if (record.state === "unknown")
        await killContainer(deps, {
          pod: undefined,
          name: record.name,
          containerId: record.id,
          reason: "Unknown",
          message: `Container ${record.name} is in unknown state, try killing it before removal`,
          recorder,
        });
      await removeContainer(deps, pod, record, recorder);
    });
    if (done) containers += 1;
  }
  for (const { pod, sandbox } of plan.sandboxes) {
    if (failedPods.has(pod.uid)) continue;
    const done = await attempt(pod, sandbox.id, () =>
      removeSandbox(deps, sandbox.id, recorderOf(pod), { stopped: false }),
    );
    if (done) sandboxes += 1;
  }
  for (const pod of plan.gone) {
    if (!failedPods.has(pod.uid) && pod.name !== "")
      await attempt(pod, "logs", () => deps.files.removePodLogs(pod));
  }
  return { containers, sandboxes };
}
