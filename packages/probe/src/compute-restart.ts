// SPDX-License-Identifier: Apache-2.0

/** Whether a container that ended comes back, and its probes with it. Pure. kubelet: ContainerShouldRestart, and step 6 of worker.doProbe. */
import { effectiveRestartPolicy } from "@holdfast/core/pod";
import type { Container, Pod } from "@holdfast/core/pod-types";
import type { ProbedRecord } from "./compute-step.ts";

/** What an exit code leads to. kubelet: v1.ContainerRestartRule. */
export interface RestartRule {
  readonly action: "Restart" | "RestartAllContainers";
  readonly exitCodes?: { readonly operator: "In" | "NotIn"; readonly values?: readonly number[] };
}
type RuledContainer = Container & { readonly restartPolicyRules?: readonly RestartRule[] };

/** Whether the rules, then the policy that holds for the container, start it again. */
export function wouldRestart(pod: Pod, container: Container, exitCode: number): boolean {
  if (matchingRule(container, exitCode) !== undefined) return true;
  const policy = effectiveRestartPolicy(pod, container);
  return policy === "Always" || (policy === "OnFailure" && exitCode !== 0);
}

/** Whether the end of any container makes all of them start anew. `records`: newest first. */
export function restartsAll(pod: Pod, records: readonly ProbedRecord[]): boolean {
  const { initContainers = [], containers } = pod.spec;
  return [...initContainers, ...containers].some((container) => {
    if ((container as RuledContainer).restartPolicyRules === undefined) return false;
    const newest = records.find(({ name }) => name === container.name);
    return (
      newest?.state === "exited" &&
      matchingRule(container, newest.exitCode)?.action === "RestartAllContainers"
    );
  });
}

function matchingRule(container: RuledContainer, exitCode: number): RestartRule | undefined {
  return container.restartPolicyRules?.find(
    ({ exitCodes }) =>
      exitCodes !== undefined &&
      (exitCodes.values ?? []).includes(exitCode) === (exitCodes.operator === "In"),
  );
}
