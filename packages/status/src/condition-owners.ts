// SPDX-License-Identifier: Apache-2.0

/** Whose a condition is. Pure. kubelet: PodConditionByKubelet, PodConditionSharedByKubelet (pkg/kubelet/types/pod_status.go). */
import { WAITING_CONDITION } from "@holdfast/core/names";

/** Conditions that the node alone writes. */
export const OWNED_CONDITIONS: ReadonlySet<string> = new Set([
  "PodScheduled",
  "Ready",
  "Initialized",
  "ContainersReady",
  "PodResizeInProgress",
  "PodResizePending",
  "PodReadyToStartContainers",
  "AllContainersRestarting",
  WAITING_CONDITION,
]);

/** The scheduler, the garbage collector and the eviction API write it too. */
export const DISRUPTION_TARGET = "DisruptionTarget";

/** Owned by the node, or shared with it. */
export function isKubeletCondition(type: string): boolean {
  return OWNED_CONDITIONS.has(type) || type === DISRUPTION_TARGET;
}
