// SPDX-License-Identifier: Apache-2.0

/** The conditions of a pod, without times. Pure. kubelet: pkg/kubelet/status/generate.go. */
import { isSidecar } from "@holdfast/core/pod";
import type { Container, ContainerStatus, Pod, PodCondition, PodPhase } from "@holdfast/core/pod-types";
import type { RuntimePodStatus } from "@holdfast/core/runtime-status";
import type { ContainerStatusLists } from "./compute-container-statuses.ts";

const UNKNOWN_STATUSES = "UnknownContainerStatuses";
const POD_COMPLETED = "PodCompleted";

/**
 * PodReadyToStartContainers, Initialized, Ready, ContainersReady, PodScheduled, in this order. `statuses` must have `started` and `ready` filled;
 * `undefined` says that none are known.
 */
export function computePodConditions(
  pod: Pod,
  statuses: ContainerStatusLists | undefined,
  phase: PodPhase,
  runtime: RuntimePodStatus,
): readonly PodCondition[] {
  const containersReady = containersReadyCondition(pod, statuses, phase);
  return [
    { type: "PodReadyToStartContainers", status: hasUsableSandbox(pod, runtime) ? "True" : "False" },
    initializedCondition(pod, statuses, phase),
    { ...containersReady, type: "Ready" },
    containersReady,
    { type: "PodScheduled", status: "True" },
  ];
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

function containersReadyCondition(
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
