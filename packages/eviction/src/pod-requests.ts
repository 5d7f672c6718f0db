// SPDX-License-Identifier: Apache-2.0

/** What pods ask for, and who must never go. Pure. kubelet: resourcehelper.PodRequests, PodLimits, types.IsCriticalPod. */
import { CONFIG_MIRROR_ANNOTATION, CONFIG_SOURCE_ANNOTATION } from "@holdfast/core/names";
import { isSidecar } from "@holdfast/core/pod";
import type { Container, Pod, PodSpec, ResourceRequirements } from "@holdfast/core/pod-types";
import { wholeValue } from "@holdfast/core/quantity";

/** Resources of which amounts are compared. */
export type MeasuredResource = "memory" | "ephemeral-storage";

/** kubelet: scheduling.SystemCriticalPriority. */
const SYSTEM_CRITICAL = 2_000_000_000;

/** Not in {@link PodSpec} yet. kubelet: PodLevelResources. */
type PodLevel = PodSpec & { readonly resources?: ResourceRequirements };

/** From a file or an URL, not from the API. kubelet: types.IsStaticPod. */
export function isStaticPod({ metadata }: Pod): boolean {
  const source = metadata.annotations?.[CONFIG_SOURCE_ANNOTATION];
  return source !== undefined && source !== "api";
}

/** How {@link isCriticalPod} looks at static pods. */
export interface CriticalOptions {
  /** Static pods below the system's own priority are pods like others. Default false, as in the kubelet. */
  readonly evictStaticPods?: boolean | undefined;
}

/** Never evicted, and admitted under any pressure. kubelet: types.IsCriticalPod. */
export function isCriticalPod(pod: Pod, { evictStaticPods = false }: CriticalOptions = {}): boolean {
  if ((pod.spec.priority ?? 0) >= SYSTEM_CRITICAL) return true;
  const isStatic = isStaticPod(pod) || pod.metadata.annotations?.[CONFIG_MIRROR_ANNOTATION] !== undefined;
  return isStatic && !evictStaticPods;
}

/** Bytes that a pod asks for: containers and sidecars summed, the largest init step by maximum, its overhead; or what it says as a whole. */
export function podRequest(pod: Pod, resource: MeasuredResource): number {
  const whole = podLevelQuantity(pod, resource);
  const asked = whole === undefined ? sumOf(pod.spec, (one) => requestOf(one, resource)) : wholeValue(whole);
  return asked + wholeValue(pod.spec.overhead?.[resource] ?? 0);
}

/** Bytes that a pod may use: undefined when none of its containers has a limit. Those without one add nothing. */
export function podLimit(pod: Pod, resource: MeasuredResource): number | undefined {
  const { containers, initContainers = [] } = pod.spec;
  const has = [...initContainers, ...containers].some(
    ({ resources }) => resources?.limits?.[resource] !== undefined,
  );
  if (!has) return undefined;
  const limit = sumOf(pod.spec, ({ resources }) => wholeValue(resources?.limits?.[resource] ?? 0));
  return limit + wholeValue(pod.spec.overhead?.[resource] ?? 0);
}

/** The quantity as it is written, of the pod as a whole. */
export function podLevelQuantity(pod: Pod, resource: MeasuredResource): string | number | undefined {
  return requestQuantity((pod.spec as PodLevel).resources, resource);
}

/** The quantity as it is written: requests default to limits. */
export function requestQuantity(
  resources: ResourceRequirements | undefined,
  resource: MeasuredResource,
): string | number | undefined {
  return resources?.requests?.[resource] ?? resources?.limits?.[resource];
}

function requestOf({ resources }: Container, resource: MeasuredResource): number {
  return wholeValue(requestQuantity(resources, resource) ?? 0);
}

function sumOf({ containers, initContainers = [] }: PodSpec, of: (container: Container) => number): number {
  let sidecars = 0;
  let step = 0;
  for (const init of initContainers) {
    if (isSidecar(init)) sidecars += of(init);
    step = Math.max(step, sidecars + (isSidecar(init) ? 0 : of(init)));
  }
  const running = containers.reduce((sum, container) => sum + of(container), sidecars);
  return Math.max(running, step);
}
