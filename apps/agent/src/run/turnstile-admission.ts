// SPDX-License-Identifier: Apache-2.0

/**
 * Lets pods in one at a time, and counts those that are inside. kubelet: the allocation manager's AddPod.
 *
 * Owns: which pods have been let in and have not ended. Invariants: what runs already is never refused; whoever waits behind a pod that takes its time can
 * be told to stop. Lost on a crash: nothing; every pod is asked about again.
 */
import { linkSignal } from "@holdfast/core/lifecycle";
import type { Pod } from "@holdfast/core/pod-types";
import type { RuntimePodStatus } from "@holdfast/core/runtime-status";
import type { PodAdmission, PodManager, WaitingReason } from "@holdfast/pod";
import type { NodeAdmission } from "@holdfast/resource";

/** What it needs to know of others. */
export interface TurnstileOptions {
  readonly devices: PodAdmission;
  /** Devices are given before the turn: a plugin that hangs holds up its own pods only. */
  readonly devicesFirst: boolean;
  readonly pods: () => Pick<PodManager, "pods" | "wake">;
  readonly statusOf: (podUid: string) => RuntimePodStatus;
}

/** See the top of the file. */
export class TurnstileAdmission implements PodAdmission {
  readonly #options: TurnstileOptions;
  readonly #node: NodeAdmission;
  /** Pods that were let in and have not ended, by UID. */
  readonly #inside = new Map<string, Pod>();
  /** Pods that were refused and have not ended. */
  readonly #outside = new Set<string>();
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: TurnstileOptions, node: NodeAdmission) {
    this.#options = options;
    this.#node = node;
  }

  async admit(pod: Pod, signal: AbortSignal): Promise<WaitingReason | undefined> {
    const { devices, devicesFirst } = this.#options;
    if (devicesFirst && !this.#runs(pod.metadata.uid)) {
      const lacks = await devices.admit(pod, signal);
      if (lacks !== undefined) {
        this.#node.tellRefused(pod, lacks);
        return lacks;
      }
    }
    const turn = this.#turn.then(() => this.#admit(pod, signal));
    this.#turn = turn.catch(() => {});
    using link = linkSignal(signal);
    const given = new Promise<never>((_resolve, reject) => {
      link.signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
    });
    // Whoever waits behind a pod that takes its time can be told to stop.
    return await Promise.race([turn, given]);
  }

  /** What it held may be what others wait for. */
  release(podUid: string): void {
    this.#options.devices.release(podUid);
    this.#node.release(podUid);
    this.#outside.delete(podUid);
    if (this.#inside.delete(podUid)) for (const uid of this.#outside) this.#options.pods().wake(uid);
  }

  async #admit(pod: Pod, signal: AbortSignal): Promise<WaitingReason | undefined> {
    signal.throwIfAborted();
    const { uid } = pod.metadata;
    if (this.#runs(uid)) {
      await this.#node.adopt(pod);
      this.#inside.set(uid, pod);
      return undefined;
    }
    const answer = await this.#node.admit(pod, this.#others(uid));
    if (!answer.admit) {
      this.#outside.add(uid);
      return { reason: answer.reason, message: answer.message };
    }
    if (signal.aborted) {
      this.#node.release(uid);
      throw signal.reason as Error;
    }
    this.#outside.delete(uid);
    this.#inside.set(uid, pod);
    return undefined;
  }

  /** Pods inside, and those that run and have not come by yet since the agent's start. */
  #others(uid: string): readonly Pod[] {
    return this.#options
      .pods()
      .pods()
      .filter(({ pod: { metadata }, state }) => {
        if (metadata.uid === uid || state === "terminated") return false;
        return this.#inside.has(metadata.uid) || this.#runs(metadata.uid);
      })
      .map(({ pod }) => pod);
  }

  #runs(uid: string): boolean {
    return this.#options.statusOf(uid).sandboxes.some(({ state }) => state === "ready");
  }
}
