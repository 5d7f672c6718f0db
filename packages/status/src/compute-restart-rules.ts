// SPDX-License-Identifier: Apache-2.0

/** Whether an exit leads to a restart: the container's rules first, then its policy, then the pod's. Pure. kubelet: ContainerShouldRestart (pkg/api/v1/pod). */
import { effectiveRestartPolicy } from "@holdfast/core/pod";
import type { Container, Pod, PodStatus } from "@holdfast/core/pod-types";
import { newestByName } from "@holdfast/core/runtime-status";
import type { RuntimePodStatus } from "@holdfast/core/runtime-status";
import type { ApiContainer, ApiPodSpec, ContainerRestartRule } from "./api-types.ts";
import { findCondition } from "./api-types.ts";
import { parseTime } from "./status-time.ts";

/** The first rule of `container` that matches the exit. */
export function matchingRestartRule(
  container: ApiContainer,
  exitCode: number,
): ContainerRestartRule | undefined {
  return container.restartPolicyRules?.find(({ exitCodes }) => {
    if (exitCodes === undefined) return false;
    return (exitCodes.values ?? []).includes(exitCode) === (exitCodes.operator === "In");
  });
}

/** Whether `container` is started again after `exitCode`. */
export function wouldRestart(pod: Pod, container: Container, exitCode: number): boolean {
  if (matchingRestartRule(container, exitCode) !== undefined) return true;
  const policy = effectiveRestartPolicy(pod, container);
  return policy === "Always" || (policy === "OnFailure" && exitCode !== 0);
}

/** Whether an exit of any container may restart the whole pod. */
export function hasRestartAllRule(pod: Pod): boolean {
  const spec: ApiPodSpec = pod.spec;
  return [...(spec.initContainers ?? []), ...spec.containers].some(({ restartPolicyRules }) =>
    restartPolicyRules?.some(({ action }) => action === "RestartAllContainers"),
  );
}

/**
 * Whether all containers are being removed to be started anew: one has ended by such a rule, or that was so and a container from before is still
 * there. kubelet: ShouldAllContainersRestart.
 */
export function computeRestartingAll(
  pod: Pod,
  runtime: RuntimePodStatus,
  previous: PodStatus | undefined,
): boolean {
  if (!hasRestartAllRule(pod) || pod.metadata.deletionTimestamp !== undefined) return false;
  const spec: ApiPodSpec = pod.spec;
  const newest = newestByName(runtime);
  const matched = [...(spec.initContainers ?? []), ...spec.containers].some((container) => {
    const record = newest.get(container.name);
    return (
      record?.state === "exited" &&
      matchingRestartRule(container, record.exitCode)?.action === "RestartAllContainers"
    );
  });
  if (matched) return true;
  const condition = findCondition(previous?.conditions, "AllContainersRestarting");
  const since = condition?.status === "True" ? parseTime(condition.lastTransitionTime) : undefined;
  return since !== undefined && runtime.containers.some(({ createdAt }) => createdAt < since);
}
