// SPDX-License-Identifier: Apache-2.0

import { optionsError } from "../errors.ts";

/** When dead containers go. kubelet: gc.Policy. */
export interface ContainerGcPolicy {
  /** Since a container's creation, not its end. Milliseconds. kubelet: minimum-container-ttl-duration. */
  readonly minAgeMs: number;
  /** Dead ones kept per (pod, container name); negative: no limit. kubelet: maximum-dead-containers-per-container. */
  readonly maxPerPodContainer: number;
  /** Dead ones kept on the node; negative: no limit. kubelet: maximum-dead-containers. */
  readonly maxContainers: number;
  /** The longest list of containers that may come of what is kept, in bytes. The CRI's answers end at 16 MiB; negative: no limit. */
  readonly maxListBytes: number;
}

const MEBIBYTE = 1024 * 1024;

/** The kubelet's values; the list stays below three quarters of what fits. */
export const DEFAULT_CONTAINER_GC_POLICY: ContainerGcPolicy = {
  minAgeMs: 0,
  maxPerPodContainer: 1,
  maxContainers: -1,
  maxListBytes: 12 * MEBIBYTE,
};

/** Fills in defaults. Throws `GC_OPTIONS`. */
export function resolveContainerGcPolicy(given: Partial<ContainerGcPolicy> = {}): ContainerGcPolicy {
  const policy = { ...DEFAULT_CONTAINER_GC_POLICY, ...given };
  const problems = Object.entries(policy)
    .filter(([, value]) => !Number.isFinite(value))
    .map(([key, value]) => `${key} is ${value}, must be a number`);
  if (policy.minAgeMs < 0) problems.push(`invalid minimum garbage collection age: ${policy.minAgeMs}`);
  if (problems.length > 0) throw optionsError(problems);
  return policy;
}
