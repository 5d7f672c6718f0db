// SPDX-License-Identifier: Apache-2.0

/** Pure: a container's environment, and its command and arguments expanded with it. kubelet: makeEnvironmentVariables, ExpandContainerCommand. */
import type { Container, Pod } from "@holdfast/core/pod-types";
import { fieldValue, resourceFieldValue } from "./downward-api.ts";
import type { PodFacts } from "./downward-api.ts";
import { expand } from "./env-expansion.ts";

/** In order of definition; a later double wins. Throws `bad-input` on a reference to nothing. Without a control plane there are no services. */
export function environment(pod: Pod, container: Container, facts: PodFacts): ReadonlyMap<string, string> {
  const variables = new Map<string, string>();
  for (const { name, value, valueFrom } of container.env ?? []) {
    let result = "";
    if (value !== undefined && value !== "") result = expand(value, (key) => variables.get(key));
    else if (valueFrom?.fieldRef !== undefined) result = fieldValue(pod, facts, valueFrom.fieldRef.fieldPath);
    else if (valueFrom?.resourceFieldRef !== undefined)
      result = resourceFieldValue(pod, container, facts, valueFrom.resourceFieldRef);
    variables.set(name, result);
  }
  return variables;
}

/** Each element expanded; empty means the image's own. */
export function expandAll(
  parts: readonly string[] | undefined,
  variables: ReadonlyMap<string, string>,
): string[] {
  return (parts ?? []).map((part) => expand(part, (key) => variables.get(key)));
}
