// SPDX-License-Identifier: Apache-2.0

import type { Pod } from "@holdfast/core/pod-types";
import type { RuntimePodStatus } from "@holdfast/core/runtime-status";
import type { PodRuntimeManagerDeps } from "./options.ts";
import type {
  GarbagePredicates,
  KillPodOptions,
  KillPodResult,
  PodSyncResult,
  RemovePodOptions,
  SyncOptions,
} from "./sync-result.ts";

/** kubelet: kubeGenericRuntimeManager. */
export class PodRuntimeManager {
  readonly #deps: PodRuntimeManagerDeps;

  constructor(deps: PodRuntimeManagerDeps) {
    this.#deps = deps;
  }

  /** Computes what to do for the pod and does it. Never rejects: failures are in the result. kubelet: SyncPod. */
  async syncPod(_pod: Pod, _status: RuntimePodStatus, _options: SyncOptions): Promise<PodSyncResult> {
    throw new TypeError(`not wired on ${this.#deps.options.nodeName}`);
  }

  /**
   * Stops every running container (main ones at once, sidecars after them in reverse order), with preStop and grace, then every sandbox.
   * Without the pod's spec, what is needed is read from the runtime's annotations. Never rejects, except with the signal's reason.
   * kubelet: killPodWithSyncResult.
   */
  async killPod(
    _pod: Pod | undefined,
    _status: RuntimePodStatus,
    _options: KillPodOptions,
  ): Promise<KillPodResult> {
    throw new TypeError("not wired");
  }

  /** Removes sandboxes, containers and logs of a pod that is down and not wanted. Removing what is gone is fine. */
  async removePod(_status: RuntimePodStatus, _options: RemovePodOptions): Promise<void> {
    throw new TypeError("not wired");
  }

  /** One pass of the container garbage collector; failures are logged and come again. Returns how much was removed. */
  async garbageCollect(
    _all: readonly RuntimePodStatus[],
    _predicates: GarbagePredicates,
  ): Promise<{ readonly containers: number; readonly sandboxes: number }> {
    throw new TypeError("not wired");
  }

  /** Forgets back-offs and caches of a pod that is gone. */
  forgetPod(_uid: string): void {}
}
