// SPDX-License-Identifier: Apache-2.0

/** What pod status needs from others, and the shape of the port that it fills for pod workers. `apps/agent` puts them together. */
import type { Pod, PodStatus } from "@holdfast/core/pod-types";
import type { RuntimePodStatus } from "@holdfast/core/runtime-status";

/** A reason of the kubelet's list (CrashLoopBackOff, ErrImagePull ...) and its message. */
export interface WaitingReason {
  readonly reason: string;
  readonly message: string;
}

/** What a pod's worker knows beyond the runtime's status. */
export interface PodStatusOptions {
  /** Every container is down for good: the last status of a pod that is being taken down. */
  readonly podIsTerminal: boolean;
  /** Why a container does not run, by container name, from the last sync's start results. kubelet: reasonCache. */
  readonly waitingReasons: ReadonlyMap<string, WaitingReason>;
  /** Forces phase Failed with this reason (eviction, DeadlineExceeded, admission). A phase that is terminal already stays. */
  readonly failed?: WaitingReason;
  /** Why the pod as a whole does not get on: shown as reason and message while Pending. */
  readonly waiting?: WaitingReason;
  /** The pod is on its way down, whoever began it. Default: as the manager was told before; always when it has a `deletionTimestamp`, or is terminal. */
  readonly terminating?: boolean;
  /** Adds condition DisruptionTarget: `TerminationByKubelet` of an eviction for the node's sake, or of a shutdown. It stays. */
  readonly disruption?: WaitingReason;
  /** The `seq`s of the events that led to this update. */
  readonly causes?: readonly number[];
}

/** What the workers call. One writer per pod: its worker. kubelet: generateAPIPodStatus and SetPodStatus. */
export interface PodStatusPort {
  update(pod: Pod, runtime: RuntimePodStatus, options: PodStatusOptions): PodStatus;
  get(uid: string): PodStatus | undefined;
  remove(uid: string): void;
}

/** What survives an agent's restart, by pod UID. Filled by the store; memory will do in a test. */
export interface StatusCheckpoint {
  get(key: string): string | undefined;
  set(key: string, value: string): void;
  delete(key: string): void;
  entries(prefix: string): readonly (readonly [string, string])[];
}

/** The probe manager's verdicts. Without it every running container is started, and every started one ready. */
export interface ProbeVerdicts {
  /** Whether a probe of this kind watches the container: without a result yet it is not started, or not ready. */
  watches(podUid: string, container: string, kind: "startup" | "readiness"): boolean;
  /** By the runtime's container id; `undefined`: no result yet. */
  startup(containerId: string): "success" | "failure" | undefined;
  readiness(containerId: string): "success" | "failure" | undefined;
}
