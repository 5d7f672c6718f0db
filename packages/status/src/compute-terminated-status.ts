// SPDX-License-Identifier: Apache-2.0

/** The last status of a pod that nothing is left of: no container without an end, no phase but a last one. Pure. kubelet: status.Manager.TerminatePod. */
import { isSidecar, podQosClass } from "@holdfast/core/pod";
import type { Pod } from "@holdfast/core/pod-types";
import type { ApiContainerStatus, ApiPodStatus } from "./api-types.ts";
import { LOST_AT_TERMINATION, LOST_EXIT_CODE, STATUS_UNKNOWN } from "./compute-container-statuses.ts";
import { isStaticPod, isTerminalPhase } from "./compute-pod-phase.ts";
import type { WaitingReason } from "./ports.ts";

/** A static pod keeps its phase: it may be started again from its manifest. */
export function computeTerminatedStatus(pod: Pod, status: ApiPodStatus): ApiPodStatus {
  const init = endedInits(status.initContainerStatuses ?? []);
  const regular = hasPodInitialized(pod, status)
    ? status.containerStatuses?.map(withEnd)
    : status.containerStatuses;
  const keeps = isStaticPod(pod) || isTerminalPhase(status.phase);
  return {
    ...status,
    phase: keeps ? status.phase : "Failed",
    ...(init.length === 0 ? {} : { initContainerStatuses: init }),
    ...(regular === undefined ? {} : { containerStatuses: regular }),
  };
}

/** Whether regular containers can have run. kubelet: hasPodInitialized. */
export function hasPodInitialized(pod: Pod, status: ApiPodStatus): boolean {
  const inits = pod.spec.initContainers ?? [];
  if (inits.length === 0) return true;
  if (status.containerStatuses?.some(hasBegun) === true) return true;
  const last = inits.at(-1);
  const ofLast = status.initContainerStatuses?.find(({ name }) => name === last?.name);
  if (last === undefined || ofLast === undefined) return false;
  if (isSidecar(last)) return ofLast.state.running !== undefined && ofLast.started === true;
  const end = ofLast.lastState.terminated ?? ofLast.state.terminated;
  return end?.exitCode === 0;
}

/** The status of a pod that admission refused: no containers and no conditions, for none of it was ever begun. */
export function computeRejectedStatus(pod: Pod, why: WaitingReason, startTime: string): ApiPodStatus {
  const { generation } = pod.metadata;
  return {
    phase: "Failed",
    reason: why.reason,
    message: `Pod was rejected: ${why.message}`,
    startTime,
    qosClass: podQosClass(pod.spec),
    ...(generation === undefined ? {} : { observedGeneration: generation }),
  };
}

/** Up to the last one that has begun; the first one in any case. Those after it never ran. */
function endedInits(statuses: readonly ApiContainerStatus[]): ApiContainerStatus[] {
  const last = Math.max(statuses.findLastIndex(hasBegun), 0);
  return statuses.map((status, index) => (index <= last ? withEnd(status) : status));
}

function hasBegun({ state, lastState }: ApiContainerStatus): boolean {
  return lastState.terminated !== undefined || state.waiting === undefined;
}

function withEnd(status: ApiContainerStatus): ApiContainerStatus {
  if (status.state.terminated !== undefined) return status;
  return {
    ...status,
    state: {
      terminated: { reason: STATUS_UNKNOWN, message: LOST_AT_TERMINATION, exitCode: LOST_EXIT_CODE },
    },
  };
}
