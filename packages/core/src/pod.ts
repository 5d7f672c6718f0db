// SPDX-License-Identifier: Apache-2.0

import type { Container, Pod, PodSpec, QosClass } from "./pod-types.ts";
import { milliValue, parseQuantity, wholeValue } from "./quantity.ts";

/** `name_namespace`: a pod's full name. kubelet: GetPodFullName. */
export function podFullName(pod: Pod): string {
  return `${pod.metadata.name}_${pod.metadata.namespace}`;
}

/** `name_namespace(uid)`, as the kubelet prints pods. kubelet: format.Pod. */
export function formatPod(pod: Pod): string {
  return `${pod.metadata.name}_${pod.metadata.namespace}(${pod.metadata.uid})`;
}

/** An init container that keeps running beside the main ones. kubelet: IsRestartableInitContainer. */
export function isSidecar(container: Container): boolean {
  return container.restartPolicy === "Always";
}

/** Init containers, then regular ones, in spec order. */
export function allContainers(spec: PodSpec): readonly Container[] {
  return spec.initContainers === undefined ? spec.containers : [...spec.initContainers, ...spec.containers];
}

/** The restart policy that holds for `container`: its own, else the pod's, which defaults to Always. */
export function effectiveRestartPolicy(pod: Pod, container: Container): "Always" | "OnFailure" | "Never" {
  return container.restartPolicy ?? pod.spec.restartPolicy ?? "Always";
}

const QOS_RESOURCES = ["cpu", "memory"] as const;

/** kubelet: qos.ComputePodQOS. Only cpu and memory count, zero quantities do not, init containers do. */
export function podQosClass(spec: PodSpec): QosClass {
  const totals = { requests: new Map<string, number>(), limits: new Map<string, number>() };
  let guaranteed = true;
  for (const container of allContainers(spec)) {
    for (const kind of ["requests", "limits"] as const) {
      for (const resource of QOS_RESOURCES) {
        // Requests default to limits, as the API server would have written them.
        const quantity = container.resources?.[kind]?.[resource] ?? container.resources?.limits?.[resource];
        if (quantity !== undefined && parseQuantity(quantity) > 0) {
          const value = resource === "cpu" ? milliValue(quantity) : wholeValue(quantity);
          totals[kind].set(resource, (totals[kind].get(resource) ?? 0) + value);
        } else if (kind === "limits") guaranteed = false;
      }
    }
  }
  if (totals.requests.size === 0 && totals.limits.size === 0) return "BestEffort";
  const equal = QOS_RESOURCES.every(
    (resource) => totals.requests.get(resource) === totals.limits.get(resource),
  );
  return guaranteed && equal && totals.requests.size === totals.limits.size ? "Guaranteed" : "Burstable";
}
