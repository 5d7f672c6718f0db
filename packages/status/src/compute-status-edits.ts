// SPDX-License-Identifier: Apache-2.0

/** Changes of a status that come between two looks at the runtime: a verdict, a hold, a resize. Pure. kubelet: SetContainerReadiness, SetContainerStartup. */
import type { Pod, PodCondition } from "@holdfast/core/pod-types";
import type { ApiContainerStatus, ApiPodStatus } from "./api-types.ts";
import { findCondition } from "./api-types.ts";
import { computeContainersReady } from "./compute-pod-conditions.ts";
import { isTerminalPhase } from "./compute-pod-phase.ts";
import { computeReadinessHold, computeReadyCondition } from "./compute-readiness.ts";
import type { Cordon } from "./compute-readiness.ts";
import { resizeConditionList } from "./compute-resize-conditions.ts";
import type { ResizeConditions } from "./compute-resize-conditions.ts";

/** A status, and what keeps its pod out of traffic. */
export interface HeldStatus {
  readonly status: ApiPodStatus;
  readonly cordon?: Cordon | undefined;
  readonly terminating: boolean;
}

/** `ready` of one container, and the two conditions that follow from it. Undefined: no such container, or nothing new. */
export function computeContainerReadiness(
  pod: Pod,
  held: HeldStatus,
  containerId: string,
  ready: boolean,
  now: string,
): ApiPodStatus | undefined {
  const changed = withContainer(held.status, containerId, (one) =>
    one.ready === ready ? undefined : { ...one, ready },
  );
  if (changed === undefined) return undefined;
  const lists = { init: changed.initContainerStatuses ?? [], regular: changed.containerStatuses ?? [] };
  const containersReady = computeContainersReady(pod, lists, changed.phase);
  const status = withConditions(changed, [containersReady], now);
  return computeHeldReadiness(pod, { ...held, status }, now);
}

/** `started` of one container; not known counts as different from both. */
export function computeContainerStartup(
  status: ApiPodStatus,
  containerId: string,
  started: boolean,
): ApiPodStatus | undefined {
  return withContainer(status, containerId, (one) =>
    one.started === started ? undefined : { ...one, started },
  );
}

/** Condition Ready anew, from ContainersReady as it stands. Without the pod, which knows its gates, only a hold can be entered. */
export function computeHeldReadiness(pod: Pod | undefined, held: HeldStatus, now: string): ApiPodStatus {
  const { status } = held;
  const known = findCondition(status.conditions, "ContainersReady");
  if (known === undefined) return status;
  const { lastTransitionTime: _time, ...containersReady } = known;
  if (pod === undefined) {
    const { cordon } = held;
    const hold =
      cordon === undefined ? undefined : computeReadinessHold(NO_POD, { terminating: false, cordon });
    return hold === undefined
      ? status
      : withConditions(status, [computeReadyCondition(NO_POD, containersReady, [], hold)], now);
  }
  const terminating = held.terminating || pod.metadata.deletionTimestamp !== undefined;
  const hold = computeReadinessHold(pod, { terminating, cordon: held.cordon });
  return withConditions(status, [computeReadyCondition(pod, containersReady, status.conditions, hold)], now);
}

/** The resize conditions replaced; a pod that has ended has none. */
export function computeResized(status: ApiPodStatus, resize: ResizeConditions): ApiPodStatus {
  const rest = (status.conditions ?? []).filter(({ type }) => !type.startsWith("PodResize"));
  const news = isTerminalPhase(status.phase) ? [] : resizeConditionList(resize);
  return { ...status, conditions: [...news, ...rest] };
}

/** Stands in for a pod whose spec is not known: it has no gates and no annotations. */
const NO_POD: Pod = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "", namespace: "", uid: "" },
  spec: { containers: [] },
};

function withContainer(
  status: ApiPodStatus,
  containerId: string,
  change: (one: ApiContainerStatus) => ApiContainerStatus | undefined,
): ApiPodStatus | undefined {
  for (const key of ["containerStatuses", "initContainerStatuses"] as const) {
    const list = status[key];
    const index =
      list?.findIndex(({ containerID }) => containerID?.endsWith(`://${containerId}`) === true) ?? -1;
    const old = list?.[index];
    if (list === undefined || old === undefined) continue;
    const changed = change(old);
    return changed === undefined ? undefined : { ...status, [key]: list.with(index, changed) };
  }
  return undefined;
}

/** Replaced where they stand, or added at the end. */
function withConditions(status: ApiPodStatus, news: readonly PodCondition[], now: string): ApiPodStatus {
  const conditions = [...(status.conditions ?? [])];
  for (const condition of news) {
    const index = conditions.findIndex(({ type }) => type === condition.type);
    const old = conditions[index];
    const kept = old?.status === condition.status ? old.lastTransitionTime : undefined;
    const generation = condition.observedGeneration ?? old?.observedGeneration;
    const made: PodCondition = {
      ...condition,
      lastTransitionTime: kept ?? now,
      ...(generation === undefined ? {} : { observedGeneration: generation }),
    };
    if (index === -1) conditions.push(made);
    else conditions[index] = made;
  }
  return { ...status, conditions };
}
