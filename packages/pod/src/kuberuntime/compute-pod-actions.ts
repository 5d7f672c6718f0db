// SPDX-License-Identifier: Apache-2.0

/**
 * What to do for a pod, as a pure function of its spec, the runtime's status and the probes' verdicts.
 *
 * Invariants, kept by a property test: a container that runs, is unchanged and healthy is neither killed nor started; nothing is started
 * beside a sandbox that is neither kept nor created; what is planned is in spec order. kubelet: computePodActions.
 */
import { effectiveRestartPolicy } from "@holdfast/core/pod";
import type { Container, Pod } from "@holdfast/core/pod-types";
import type { ContainerRecord, RuntimePodStatus } from "@holdfast/core/runtime-status";
import { newestByName } from "@holdfast/core/runtime-status";
import type { ProbeResults } from "../ports.ts";
import { containerChanged, emptyDraft, killUnknown } from "./action-draft.ts";
import type { ActionDraft, ContainerToKill } from "./action-draft.ts";
import { computeInitActions } from "./compute-init-actions.ts";
import { computeSandboxChange } from "./compute-sandbox-change.ts";
import type { KillReason } from "./events.ts";
import { mustAwaitConfirmation, shouldContainerBeRestarted } from "./should-restart.ts";

/** kubelet: podActions. */
export interface PodActions {
  /** All running containers and all sandboxes are stopped, before anything else. */
  readonly killPod: boolean;
  readonly createSandbox: boolean;
  /** The sandbox that is kept; with `createSandbox` the old one, if it is worth an event. */
  readonly sandboxId: string;
  readonly attempt: number;
  /** Why a new sandbox is needed. */
  readonly sandboxChange: string;
  readonly initContainersToStart: readonly Container[];
  readonly containersToStart: readonly Container[];
  /** By container id. */
  readonly containersToKill: ReadonlyMap<string, ContainerToKill>;
  /** Names of containers that would be started if the runtime confirmed their exit. */
  readonly awaitingConfirmation: readonly string[];
}

/** kubelet: computePodActions. */
export function computePodActions(pod: Pod, status: RuntimePodStatus, probes: ProbeResults): PodActions {
  const change = computeSandboxChange(pod, status);
  const fixed = { sandboxId: change.sandboxId, attempt: change.attempt, sandboxChange: change.why };
  const draft = emptyDraft();
  if (change.changed) return { ...fixed, ...renewSandbox(pod, status, change.attempt) };
  const newest = newestByName(status);
  if ((pod.spec.initContainers ?? []).length > 0) {
    const initialised = computeInitActions(pod, newest, probes, draft);
    if (draft.killPod || !initialised) return { ...fixed, ...draft, createSandbox: false };
  }
  const kept = computeRegularActions(pod, newest, probes, draft);
  if (kept === 0 && draft.containersToStart.length === 0) {
    draft.killPod = true;
    draft.initContainersToStart = [];
    // Killing the pod kills them all.
    draft.containersToKill = new Map();
  }
  return { ...fixed, ...draft, createSandbox: false };
}

/** Whether the plan changes anything. */
export function hasActions(actions: PodActions): boolean {
  return (
    actions.killPod ||
    actions.createSandbox ||
    actions.initContainersToStart.length > 0 ||
    actions.containersToStart.length > 0 ||
    actions.containersToKill.size > 0
  );
}

/** Everything is killed; what is started depends on what has run to its end before. */
function renewSandbox(
  pod: Pod,
  status: RuntimePodStatus,
  attempt: number,
): ActionDraft & { readonly createSandbox: boolean } {
  const draft = { ...emptyDraft(), killPod: true };
  const nothing = { ...draft, createSandbox: false };
  if (pod.metadata.deletionTimestamp !== undefined) return nothing;
  // A container that was created and never started has not run: unlike in the kubelet, where such a pod stays Pending for ever.
  const hasRun = status.containers.some(({ state }) => state !== "created");
  if (pod.spec.restartPolicy === "Never" && attempt !== 0 && hasRun) return nothing;
  const newest = newestByName(status);
  const wanted = pod.spec.containers.filter((container) => {
    const record = newest.get(container.name);
    const succeeded = record?.state === "exited" && record.exitCode === 0;
    return !(succeeded && effectiveRestartPolicy(pod, container) === "OnFailure");
  });
  const everCreated = pod.spec.containers.some((container) => isCreated(newest.get(container.name)));
  if (wanted.length === 0 && everCreated) return nothing;
  const firstInit = pod.spec.initContainers?.[0];
  if (firstInit === undefined) draft.containersToStart = wanted;
  else draft.initContainersToStart = [firstInit];
  return { ...draft, createSandbox: true };
}

function isCreated(record: ContainerRecord | undefined): boolean {
  return record !== undefined && record.state !== "unknown";
}

/** Adds to the draft; returns how many containers are left running. */
function computeRegularActions(
  pod: Pod,
  newest: ReadonlyMap<string, ContainerRecord>,
  probes: ProbeResults,
  draft: ActionDraft,
): number {
  let kept = 0;
  for (const container of pod.spec.containers) {
    const record = newest.get(container.name);
    if (record?.state !== "running") {
      if (!shouldContainerBeRestarted(container, pod, record)) continue;
      if (mustAwaitConfirmation(pod, record)) {
        draft.awaitingConfirmation.push(container.name);
        kept += 1;
        continue;
      }
      if (record?.state === "unknown") killUnknown(draft, container, record);
      draft.containersToStart.push(container);
      continue;
    }
    const problem = runningProblem(pod, container, record, probes);
    if (problem === undefined) {
      kept += 1;
      continue;
    }
    const { reason, restart } = problem;
    const message = restart ? `${problem.message}, will be restarted` : problem.message;
    draft.containersToKill.set(record.id, { container, record, reason, message });
    if (restart) draft.containersToStart.push(container);
  }
  return kept;
}

interface RunningProblem {
  readonly message: string;
  readonly reason: KillReason;
  readonly restart: boolean;
}

function runningProblem(
  pod: Pod,
  container: Container,
  record: ContainerRecord,
  probes: ProbeResults,
): RunningProblem | undefined {
  const alive = pod.metadata.deletionTimestamp === undefined;
  if (containerChanged(container, record))
    return {
      message: `Container ${container.name} definition changed`,
      reason: "SpecChanged",
      restart: alive,
    };
  const restart = alive && effectiveRestartPolicy(pod, container) !== "Never";
  if (probes.liveness(record.id) === "failure")
    return { message: `Container ${container.name} failed liveness probe`, reason: "LivenessProbe", restart };
  if (probes.startup(record.id) === "failure")
    return { message: `Container ${container.name} failed startup probe`, reason: "StartupProbe", restart };
  return undefined;
}
