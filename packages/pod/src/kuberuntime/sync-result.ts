// SPDX-License-Identifier: Apache-2.0

/** What the actions on the runtime take and give back. */
import type { HoldfastError } from "@holdfast/core/errors";
import type { MountedVolume, WaitingReason } from "../ports.ts";
import type { KillReason } from "./events.ts";

/** What a pod worker brings along for one sync. */
export interface SyncOptions {
  /** Every volume that some container mounts, by name. */
  readonly volumes: ReadonlyMap<string, MountedVolume>;
  /** As `PodContainerManager.ensureExists` returned it. */
  readonly cgroupParent: string;
  /** Termination was asked for: waits end, nothing more is started, calls under way get 10 s more. */
  readonly signal: AbortSignal;
  /** The `seq`s of the events that led to this sync. */
  readonly causes: readonly number[];
}

/** One container that a sync started. */
export interface StartedContainer {
  readonly name: string;
  readonly containerId: string;
  readonly restartCount: number;
  /** The `seq` of its `pod/ContainerStarted`. */
  readonly seq: number;
}

/** What came of one sync. kubelet: PodSyncResult. */
export interface PodSyncResult {
  /** Something was changed on the runtime: look at the pod again. */
  readonly acted: boolean;
  readonly started: readonly StartedContainer[];
  /**
   * Why containers do not run, of this sync only. The caller keeps them: entries of `started` are deleted from what it has, these are
   * set. kubelet: reasonCache.Update.
   */
  readonly waiting: ReadonlyMap<string, WaitingReason>;
  /** Containers whose exit is not yet confirmed by the runtime and must be, before a successor starts. */
  readonly awaitingConfirmation: readonly string[];
  /** When the earliest back-off ends (monotonic); undefined when nothing waits for time. */
  readonly comeBackAt: number | undefined;
  /** The first failure. A back-off alone is none. */
  readonly error: HoldfastError | undefined;
  /** Addresses of a sandbox that this sync created. */
  readonly ips: readonly string[] | undefined;
}

/** How a pod is killed. */
export interface KillPodOptions {
  /** Replaces every container's own grace. Undefined: each container's own. Stops never get less than 2 s. */
  readonly gracePeriodSeconds?: number;
  readonly reason: KillReason;
  /** Shown in the Killing event; default "Stopping container NAME". */
  readonly message?: string;
  /** Gives up waiting, so that it can be called again with a shorter grace. */
  readonly signal?: AbortSignal;
  readonly causes: readonly number[];
}

/** What came of killing a pod. */
export interface KillPodResult {
  /** Ids of containers whose stop succeeded. */
  readonly killed: readonly string[];
  readonly stoppedSandboxes: readonly string[];
  /** The first failure: KillContainerError or KillPodSandboxError as its `reason`. */
  readonly error: HoldfastError | undefined;
}

/** How a pod is removed. */
export interface RemovePodOptions {
  readonly causes: readonly number[];
  readonly signal?: AbortSignal;
  /** The log folder stays. Default false. */
  readonly keepLogs?: boolean;
}

/** Who may be cleaned away. kubelet: podStateProvider. */
export interface GarbagePredicates {
  /** Every source has listed once. Nothing is removed wholly before. */
  readonly allSourcesReady: boolean;
  /** The pod is gone for good: all of its containers and sandboxes may go. kubelet: ShouldPodContentBeRemoved. */
  shouldPodContentBeRemoved(uid: string): boolean;
  /** Nothing of the pod should run any more. kubelet: ShouldPodRuntimeBeRemoved. */
  shouldPodRuntimeBeRemoved(uid: string): boolean;
  /** Disk pressure: also terminated pods that are still wanted. Default false. */
  readonly evictTerminatedPods?: boolean;
}
