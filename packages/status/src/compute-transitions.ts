// SPDX-License-Identifier: Apache-2.0

/** What a status may not do compared with the one before. Pure. kubelet: checkContainerStateTransition, updateLastTransitionTime (status_manager.go). */
import { findCondition } from "./api-types.ts";
import { isSidecar } from "@holdfast/core/pod";
import type { Container, ContainerStatus, Pod, PodCondition, PodStatus } from "@holdfast/core/pod-types";
import type { ContainerStatusLists } from "./compute-container-statuses.ts";
import { DISRUPTION_TARGET, isKubeletCondition } from "./condition-owners.ts";
import { RESTARTING_ALL } from "./compute-container-statuses.ts";
import { hasRestartAllRule, wouldRestart } from "./compute-restart-rules.ts";

/** Statuses that may follow, and the names of containers whose new status was refused. */
export interface LegalStatuses extends ContainerStatusLists {
  readonly refused: readonly string[];
}

/**
 * A container that ended and may not run again keeps its status; the others take their new one. The kubelet drops the whole
 * update, and with it what is true of all other containers.
 */
export function computeLegalStatuses(
  pod: Pod,
  statuses: ContainerStatusLists,
  previous: PodStatus | undefined,
): LegalStatuses {
  const refused: string[] = [];
  const keep = (
    containers: readonly Container[] | undefined,
    news: readonly ContainerStatus[],
    olds: readonly ContainerStatus[] | undefined,
  ): readonly ContainerStatus[] =>
    news.map((status) => {
      const old = olds?.find(({ name }) => name === status.name);
      const container = containers?.find(({ name }) => name === status.name);
      if (old === undefined || container === undefined || mayFollow(pod, container, old, status))
        return status;
      refused.push(status.name);
      return old;
    });
  return {
    ...statuses,
    init: keep(pod.spec.initContainers, statuses.init, previous?.initContainerStatuses),
    regular: keep(pod.spec.containers, statuses.regular, previous?.containerStatuses),
    refused,
  };
}

function mayFollow(pod: Pod, container: Container, old: ContainerStatus, next: ContainerStatus): boolean {
  const ended = old.state.terminated;
  if (ended === undefined || next.state.terminated !== undefined || isSidecar(container)) return true;
  if (ended.reason === RESTARTING_ALL || hasRestartAllRule(pod)) return true;
  return wouldRestart(pod, container, ended.exitCode);
}

/**
 * `lastTransitionTime` moves only when a condition's status does. Conditions that are not ours are taken along: `others`, by default those of
 * `previous`. A disruption stays for good.
 */
export function computeConditionTimes(
  conditions: readonly PodCondition[],
  previous: readonly PodCondition[] | undefined,
  now: string,
  others: readonly PodCondition[] = previous ?? [],
): PodCondition[] {
  const timed = conditions.map((condition) => {
    const old = findCondition(previous, condition.type);
    const kept = old?.status === condition.status ? old.lastTransitionTime : undefined;
    return { ...condition, lastTransitionTime: condition.lastTransitionTime ?? kept ?? now };
  });
  const foreign = others.filter(({ type }) => !isKubeletCondition(type));
  const disrupted =
    findCondition(conditions, DISRUPTION_TARGET) ?? findCondition(previous, DISRUPTION_TARGET);
  const kept = disrupted !== undefined && !timed.some(({ type }) => type === DISRUPTION_TARGET);
  return [...foreign, ...(kept ? [disrupted] : []), ...timed];
}
