// SPDX-License-Identifier: Apache-2.0
/* Whether a node is where a pod may run. Pure. kubelet: nodeaffinity.GetRequiredNodeAffinity, v1helper.TolerationsTolerateTaint. */
import type { Pod } from "@holdfast/core/pod-types";
import { schedulingOf } from "./scheduling-spec.ts";
import type {
  NodeInfo,
  NodeSelectorRequirement,
  NodeSelectorTerm,
  Taint,
  Toleration,
} from "./scheduling-spec.ts";

const WHOLE = /^-?\d+$/;

/** nodeSelector and required node affinity together; terms are alternatives. */
export function matchesNode(pod: Pod, node: NodeInfo): boolean {
  const { nodeSelector = {}, affinity } = schedulingOf(pod);
  if (!Object.entries(nodeSelector).every(([key, value]) => node.labels[key] === value)) return false;
  const required = affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return required === undefined || (required.nodeSelectorTerms ?? []).some((term) => matchesTerm(term, node));
}

function matchesTerm({ matchExpressions = [], matchFields = [] }: NodeSelectorTerm, node: NodeInfo): boolean {
  if (matchExpressions.length + matchFields.length === 0) return false;
  const fields: Readonly<Record<string, string>> = { "metadata.name": node.name };
  return (
    matchExpressions.every((requirement) => matches(requirement, node.labels)) &&
    matchFields.every((requirement) => matches(requirement, fields))
  );
}

function matches(
  { key, operator, values = [] }: NodeSelectorRequirement,
  labels: Readonly<Record<string, string>>,
): boolean {
  const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
  switch (operator) {
    case "In":
      return value !== undefined && values.includes(value);
    case "NotIn":
      return value === undefined || !values.includes(value);
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
    case "Gt":
    case "Lt": {
      const bound = values[0] ?? "";
      if (value === undefined || !WHOLE.test(value) || !WHOLE.test(bound)) return false;
      return operator === "Gt" ? BigInt(value) > BigInt(bound) : BigInt(value) < BigInt(bound);
    }
    default:
      return false;
  }
}

/** The first taint with one of these effects that the pod does not tolerate. */
export function untoleratedTaint(
  pod: Pod,
  taints: readonly Taint[],
  effects: readonly string[],
): Taint | undefined {
  const tolerations = (pod.spec.tolerations ?? []) as readonly Toleration[];
  return taints.find(
    (taint) => effects.includes(taint.effect) && !tolerations.some((one) => tolerates(one, taint)),
  );
}

/** An empty key with Exists tolerates everything, an empty effect all effects. */
function tolerates(
  { key = "", operator = "Equal", value = "", effect = "" }: Toleration,
  taint: Taint,
): boolean {
  if (effect !== "" && effect !== taint.effect) return false;
  if (key !== "" && key !== taint.key) return false;
  if (operator === "Exists") return true;
  return key !== "" && value === (taint.value ?? "");
}
