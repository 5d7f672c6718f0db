// SPDX-License-Identifier: Apache-2.0

/** What a pod's status in the API becomes when the node's is laid over it. Pure. kubelet: mergePodStatus (status_manager.go). */
import type { PodCondition } from "@holdfast/core/pod-types";
import type { ApiPodStatus } from "../api-types.ts";
import { findCondition } from "../api-types.ts";
import { isTerminalPhase } from "../compute-pod-phase.ts";
import { DISRUPTION_TARGET, OWNED_CONDITIONS } from "../condition-owners.ts";

/**
 * Keeps the conditions and claims that others write. A last phase waits until no container can be running: controllers start a successor on it. A disruption is
 * told with the last phase. A pod that has ended is not ready.
 */
export function mergePodStatus(
  api: ApiPodStatus,
  ours: ApiPodStatus,
  couldHaveRunningContainers: boolean,
): ApiPodStatus {
  const ending = !isTerminalPhase(api.phase) && isTerminalPhase(ours.phase);
  const delayed = ending && couldHaveRunningContainers;
  const { reason: _reason, message: _message, ...rest } = ours;
  const said = delayed ? api : ours;
  const merged: ApiPodStatus = {
    ...rest,
    phase: said.phase,
    ...(said.reason === undefined ? {} : { reason: said.reason }),
    ...(said.message === undefined ? {} : { message: said.message }),
    conditions: mergedConditions(api, ours, ending && !couldHaveRunningContainers),
    ...claimsOf(api),
  };
  if (!isTerminalPhase(merged.phase)) return merged;
  return { ...merged, conditions: merged.conditions?.map((one) => unready(one, merged)) ?? [] };
}

function mergedConditions(api: ApiPodStatus, ours: ApiPodStatus, takesDisruption: boolean): PodCondition[] {
  const disruption = takesDisruption ? findCondition(ours.conditions, DISRUPTION_TARGET) : undefined;
  const kept = (api.conditions ?? []).filter(
    ({ type }) => !OWNED_CONDITIONS.has(type) && (disruption === undefined || type !== DISRUPTION_TARGET),
  );
  const own = (ours.conditions ?? []).filter(({ type }) => OWNED_CONDITIONS.has(type));
  return [...kept, ...(disruption === undefined ? [] : [disruption]), ...own];
}

function claimsOf(api: ApiPodStatus): Partial<ApiPodStatus> {
  const { resourceClaimStatuses, extendedResourceClaimStatus, nodeAllocatableResourceClaimStatuses } = api;
  return {
    ...(resourceClaimStatuses === undefined ? {} : { resourceClaimStatuses }),
    ...(extendedResourceClaimStatus === undefined ? {} : { extendedResourceClaimStatus }),
    ...(nodeAllocatableResourceClaimStatuses === undefined ? {} : { nodeAllocatableResourceClaimStatuses }),
  };
}

function unready(condition: PodCondition, { phase }: ApiPodStatus): PodCondition {
  const traffic = condition.type === "Ready" || condition.type === "ContainersReady";
  if (!traffic || condition.status !== "True") return condition;
  const { message: _message, ...rest } = condition;
  return { ...rest, status: "False", reason: phase === "Failed" ? "PodFailed" : "PodCompleted" };
}
