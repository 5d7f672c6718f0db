// SPDX-License-Identifier: Apache-2.0

/** What decides whether a container dies as a whole. */
export interface OomGroupInput {
  readonly cgroupVersion: 1 | 2;
  /** kubelet: singleProcessOOMKill; undefined is its default: false on v2. On v1 there is no group kill. */
  readonly singleProcessOOMKill?: boolean | undefined;
  /** The container's own wish, before the node's setting: `true` kills one process only. */
  readonly own?: boolean | undefined;
}

/** The `unified` entries of a container's resources: memory.oom.group on v2, nothing on v1. kubelet: kuberuntime_container_linux. */
export function computeOomGroup(input: OomGroupInput): Readonly<Record<string, string>> {
  if (input.cgroupVersion === 1) return {};
  return (input.own ?? input.singleProcessOOMKill ?? false) ? {} : { "memory.oom.group": "1" };
}
