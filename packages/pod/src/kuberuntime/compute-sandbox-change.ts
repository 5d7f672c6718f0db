// SPDX-License-Identifier: Apache-2.0

/** Pure: does the pod need a new sandbox? */
import type { Pod } from "@holdfast/core/pod-types";
import type { RuntimePodStatus } from "@holdfast/core/runtime-status";

/** kubelet: the three results of PodSandboxChanged, and why. */
export interface SandboxChange {
  readonly changed: boolean;
  /** Of the sandbox to create, or of the one that is kept. */
  readonly attempt: number;
  /** The newest sandbox; "" when there is none or when its network mode is another one. */
  readonly sandboxId: string;
  /** Why a new one is needed; "" when none is. */
  readonly why: string;
}

/** kubelet: runtimeutil.PodSandboxChanged. */
export function computeSandboxChange(pod: Pod, status: RuntimePodStatus): SandboxChange {
  const newest = status.sandboxes[0];
  if (newest === undefined)
    return { changed: true, attempt: 0, sandboxId: "", why: "the pod has no sandbox" };
  const renewed = (why: string, sandboxId: string = newest.id): SandboxChange => ({
    changed: true,
    attempt: newest.attempt + 1,
    sandboxId,
    why,
  });
  if (status.sandboxes.filter(({ state }) => state === "ready").length > 1)
    return renewed("more than one sandbox is ready");
  if (newest.state !== "ready") return renewed("the sandbox is not ready");
  const hostNetwork = pod.spec.hostNetwork === true;
  if (newest.hostNetwork !== hostNetwork) return renewed("hostNetwork has changed", "");
  if (!hostNetwork && newest.ip === "") return renewed("the sandbox has no address");
  return { changed: false, attempt: newest.attempt, sandboxId: newest.id, why: "" };
}
