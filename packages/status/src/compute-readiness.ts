// SPDX-License-Identifier: Apache-2.0

/** Whether a pod may have traffic: condition Ready from the containers, the gates and what keeps it out on purpose. Pure. kubelet: GenerateReadyCondition. */
import { UNREADY_WHEN_TERMINATING_ANNOTATION } from "@holdfast/core/names";
import type { Pod, PodCondition } from "@holdfast/core/pod-types";
import type { ApiPodSpec } from "./api-types.ts";
import { findCondition } from "./api-types.ts";
import { formatTime } from "./status-time.ts";

/** Who took a pod out of traffic, and when. */
export interface Cordon {
  readonly by: string;
  /** Wall milliseconds. */
  readonly at: number;
}

/** Why a pod is kept out of traffic although its containers may be ready: reason and message of condition Ready. */
export interface ReadinessHold {
  readonly reason: "Cordoned" | "Terminating";
  readonly message: string;
}

/** Whether the pod asked to be unready as soon as it is being taken down. */
export function isUnreadyWhenTerminating(pod: Pod): boolean {
  return pod.metadata.annotations?.[UNREADY_WHEN_TERMINATING_ANNOTATION] === "true";
}

/** A cordon goes before an end. `terminating`: the pod is on its way down, whoever began it. */
export function computeReadinessHold(
  pod: Pod,
  facts: { readonly terminating: boolean; readonly cordon?: Cordon | undefined },
): ReadinessHold | undefined {
  const { terminating, cordon } = facts;
  if (cordon !== undefined)
    return {
      reason: "Cordoned",
      message: `taken out of traffic by ${cordon.by} at ${formatTime(cordon.at)}`,
    };
  if (terminating && isUnreadyWhenTerminating(pod))
    return {
      reason: "Terminating",
      message: `the pod is being taken down, and its annotation ${UNREADY_WHEN_TERMINATING_ANNOTATION} takes it out of traffic at once`,
    };
  return undefined;
}

/**
 * True when the containers are ready, every readiness gate's condition is True, and nothing holds the pod back. `conditions` are those that others set.
 * A hold is told even of a pod that is not ready anyway; an end is told before a hold.
 */
export function computeReadyCondition(
  pod: Pod,
  containersReady: PodCondition,
  conditions: readonly PodCondition[] = [],
  hold?: ReadinessHold,
): PodCondition {
  const type = "Ready";
  const { reason } = containersReady;
  if (hold !== undefined && reason !== "PodFailed" && reason !== "PodCompleted")
    return { type, status: "False", ...hold };
  if (containersReady.status !== "True") return { ...containersReady, type };
  const spec: ApiPodSpec = pod.spec;
  const messages = (spec.readinessGates ?? []).flatMap(({ conditionType }) => {
    const gate = findCondition(conditions, conditionType);
    if (gate === undefined)
      return [`corresponding condition of pod readiness gate "${conditionType}" does not exist.`];
    return gate.status === "True"
      ? []
      : [`the status of pod readiness gate "${conditionType}" is not "True", but ${gate.status}`];
  });
  if (messages.length === 0) return { ...containersReady, type, status: "True" };
  return { type, status: "False", reason: "ReadinessGatesNotReady", message: messages.join(", ") };
}

/**
 * Whether a change of conditions that others set calls for a new status: Ready is there and would differ. kubelet: NeedToReconcilePodReadiness.
 */
export function needsReadinessReconcile(
  pod: Pod,
  conditions: readonly PodCondition[],
  hold?: ReadinessHold,
): boolean {
  const now = findCondition(conditions, "Ready");
  const containersReady = findCondition(conditions, "ContainersReady");
  if (now === undefined || containersReady === undefined) return false;
  const next = computeReadyCondition(pod, containersReady, conditions, hold);
  return next.status !== now.status || (next.message ?? "") !== (now.message ?? "");
}
