// SPDX-License-Identifier: Apache-2.0

/** The conditions of a pod, without times. Pure. kubelet: pkg/kubelet/status/generate.go. */
import { isSidecar } from "@holdfast/core/pod";
import type { Container, ContainerStatus, Pod, PodCondition, PodPhase } from "@holdfast/core/pod-types";
import type { RuntimePodStatus } from "@holdfast/core/runtime-status";
import type { ContainerStatusLists } from "./compute-container-statuses.ts";
import { computeReadyCondition } from "./compute-readiness.ts";
import type { ReadinessHold } from "./compute-readiness.ts";
import { hasRestartAllRule } from "./compute-restart-rules.ts";

const UNKNOWN_STATUSES = "UnknownContainerStatuses";
const POD_COMPLETED = "PodCompleted";

/** What conditions are made of beside statuses, phase and runtime. */
export interface ConditionFacts {
  /** Conditions that others have set: where readiness gates are looked up. */
  readonly others?: readonly PodCondition[];
  /** Why the pod is kept out of traffic. */
  readonly hold?: ReadinessHold | undefined;
  /** All containers are being removed to be started anew. */
  readonly restartingAll?: boolean;
  /** The pod was initialised before all of it was restarted. */
  readonly wasInitialized?: boolean;
}

/**
 * PodReadyToStartContainers, Initialized, Ready, ContainersReady, PodScheduled, and AllContainersRestarting where a rule can bring that about; in this
 * order. `statuses` must have `started` and `ready` filled; `undefined` says that none are known.
 */
export function computePodConditions(
  pod: Pod,
  statuses: ContainerStatusLists | undefined,
  phase: PodPhase,
  runtime: RuntimePodStatus,
  facts: ConditionFacts = {},
): readonly PodCondition[] {
  const containersReady = computeContainersReady(pod, statuses, phase);
  const kept = facts.restartingAll === true && facts.wasInitialized === true;
  return [
    { type: "PodReadyToStartContainers", status: hasUsableSandbox(pod, runtime) ? "True" : "False" },
    kept ? { type: "Initialized", status: "True" } : initializedCondition(pod, statuses, phase),
    computeReadyCondition(pod, containersReady, facts.others, facts.hold),
    containersReady,
    { type: "PodScheduled", status: "True" },
    ...(hasRestartAllRule(pod) ? [restartingCondition(phase, facts.restartingAll === true)] : []),
  ];
}

function restartingCondition(phase: PodPhase, restarting: boolean): PodCondition {
  const type = "AllContainersRestarting";
  if (phase === "Succeeded") return { type, status: "False", reason: POD_COMPLETED };
  if (phase === "Failed") return { type, status: "False", reason: "PodFailed" };
  if (!restarting) return { type, status: "False" };
  return {
    type,
    status: "True",
    reason: "RestartAllContainersStarted",
    message: "container exited with restart policy rule",
  };
}

/** Exactly one ready sandbox, it is the newest, of the spec's network mode, with an address. kubelet: runtimeutil.PodSandboxChanged, negated. */
export function hasUsableSandbox(pod: Pod, runtime: RuntimePodStatus): boolean {
  const newest = runtime.sandboxes[0];
  if (newest?.state !== "ready") return false;
  if (runtime.sandboxes.filter(({ state }) => state === "ready").length > 1) return false;
  const hostNetwork = pod.spec.hostNetwork === true;
  return newest.hostNetwork === hostNetwork && (hostNetwork || newest.ip !== "");
}

function initializedCondition(
  pod: Pod,
  statuses: ContainerStatusLists | undefined,
  phase: PodPhase,
): PodCondition {
  const type = "Initialized";
  const containers = pod.spec.initContainers ?? [];
  if (statuses === undefined && containers.length > 0)
    return { type, status: "False", reason: UNKNOWN_STATUSES };
  const { unknown, wanting } = sort(containers, statuses?.init ?? [], (container, status) =>
    isSidecar(container) ? status.started === true : status.ready,
  );
  if (phase === "Succeeded" && unknown.length === 0) return { type, status: "True", reason: POD_COMPLETED };
  const hasStarted = statuses?.regular.some(
    ({ state }) => state.running !== undefined || state.terminated !== undefined,
  );
  const message = messageOf(unknown, wanting, "incomplete");
  if (hasStarted === true || message === "") return { type, status: "True" };
  return { type, status: "False", reason: "ContainersNotInitialized", message };
}

/** Condition ContainersReady. kubelet: GenerateContainersReadyCondition. */
export function computeContainersReady(
  pod: Pod,
  statuses: ContainerStatusLists | undefined,
  phase: PodPhase,
): PodCondition {
  const type = "ContainersReady";
  if (statuses === undefined) return { type, status: "False", reason: UNKNOWN_STATUSES };
  const containers = [...(pod.spec.initContainers ?? []).filter(isSidecar), ...pod.spec.containers];
  const known = [...statuses.init, ...statuses.regular];
  const { unknown, wanting } = sort(containers, known, (_container, status) => status.ready);
  if (phase === "Succeeded" && unknown.length === 0) return { type, status: "False", reason: POD_COMPLETED };
  // It may still be on its way down: whatever a container says, the pod serves nobody.
  if (phase === "Failed") return { type, status: "False", reason: "PodFailed" };
  const message = messageOf(unknown, wanting, "unready");
  if (message === "") return { type, status: "True" };
  return { type, status: "False", reason: "ContainersNotReady", message };
}

function sort(
  containers: readonly Container[],
  statuses: readonly ContainerStatus[],
  isGood: (container: Container, status: ContainerStatus) => boolean,
): { readonly unknown: readonly string[]; readonly wanting: readonly string[] } {
  const unknown: string[] = [];
  const wanting: string[] = [];
  for (const container of containers) {
    const status = statuses.find(({ name }) => name === container.name);
    if (status === undefined) unknown.push(container.name);
    else if (!isGood(container, status)) wanting.push(container.name);
  }
  return { unknown, wanting };
}

/** Lists as Go prints slices: `[a b]`. */
function messageOf(unknown: readonly string[], wanting: readonly string[], word: string): string {
  const parts: string[] = [];
  if (unknown.length > 0) parts.push(`containers with unknown status: [${unknown.join(" ")}]`);
  if (wanting.length > 0) parts.push(`containers with ${word} status: [${wanting.join(" ")}]`);
  return parts.join(", ");
}
