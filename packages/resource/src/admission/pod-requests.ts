// SPDX-License-Identifier: Apache-2.0
/* Everything that a pod asks for, in numbers. Pure. kubelet: resourcehelper.PodRequests, v1resource.GetResourceRequest. */
import { isSidecar } from "@holdfast/core/pod";
import type { Container, Pod } from "@holdfast/core/pod-types";
import { milliValue, wholeValue } from "@holdfast/core/quantity";

/** Amounts by resource: cpu in thousandths, everything else in whole units, `pods` always 1. */
export type ResourceAmounts = ReadonlyMap<string, number>;

/** Cpu in thousandths, everything else in whole units. */
export function amountOf(resource: string, quantity: string | number): number {
  return resource === "cpu" ? milliValue(quantity) : wholeValue(quantity);
}

/** A pod never changes, and each one that is admitted is asked for together with all others: computed once, as long as somebody has the pod. */
const computed = new WeakMap<Pod, ResourceAmounts>();

/** Containers and sidecars summed, the largest init step by maximum, and the overhead of its runtime class. */
export function podRequests(pod: Pod): ResourceAmounts {
  const known = computed.get(pod) ?? computeRequests(pod);
  computed.set(pod, known);
  return known;
}

function computeRequests({ spec }: Pod): ResourceAmounts {
  const running = new Map<string, number>();
  const sidecars = new Map<string, number>();
  const steps = new Map<string, number>();
  for (const init of spec.initContainers ?? []) {
    const asked = requestsOf(init);
    if (isSidecar(init)) add(sidecars, asked);
    for (const name of new Set([...asked.keys(), ...sidecars.keys()])) {
      const own = isSidecar(init) ? 0 : (asked.get(name) ?? 0);
      steps.set(name, Math.max(steps.get(name) ?? 0, own + (sidecars.get(name) ?? 0)));
    }
  }
  for (const container of spec.containers) add(running, requestsOf(container));
  add(running, sidecars);
  for (const [name, amount] of steps) running.set(name, Math.max(running.get(name) ?? 0, amount));
  for (const [name, quantity] of Object.entries(spec.overhead ?? {}))
    running.set(name, (running.get(name) ?? 0) + amountOf(name, quantity));
  running.set("pods", 1);
  return running;
}

/** Requests default to limits. */
function requestsOf({ resources }: Container): ResourceAmounts {
  const quantities = Object.entries({ ...resources?.limits, ...resources?.requests });
  return new Map(quantities.map(([name, quantity]) => [name, amountOf(name, quantity)] as const));
}

function add(to: Map<string, number>, amounts: ResourceAmounts): void {
  for (const [name, amount] of amounts) to.set(name, (to.get(name) ?? 0) + amount);
}

/** What several pods ask for together. */
export function sumOfRequests(pods: readonly Pod[]): ResourceAmounts {
  const sum = new Map<string, number>();
  for (const pod of pods) add(sum, podRequests(pod));
  return sum;
}

/** A resource that a plugin or an administrator added, not one of Kubernetes' own. kubelet: IsExtendedResourceName. */
export function isExtendedResource(name: string): boolean {
  const slash = name.indexOf("/");
  if (slash < 0 || name.startsWith("requests.")) return false;
  const domain = name.slice(0, slash);
  return domain !== "kubernetes.io" && !domain.endsWith(".kubernetes.io");
}
