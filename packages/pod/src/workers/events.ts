// SPDX-License-Identifier: Apache-2.0

/** Events of the pod workers. What they tell of is readable from `PodManager`; an event only says that it changed. */
import { defineEvent } from "@holdfast/bus";
import type { EventType } from "@holdfast/bus";

/** Why a pod is taken down. */
export type TerminationReason = "Removed" | "Completed" | "DeadlineExceeded" | "Orphan" | "Evicted";

/** A pod is wanted from now on. */
export interface PodAddedData {
  readonly source: string;
  /** The runtime had it already: the agent was restarted. */
  readonly adopted: boolean;
}

/** A pod has to end. */
export interface PodTerminatingData {
  readonly reason: TerminationReason;
  readonly message: string;
  /** The reason that its status is given: Evicted, Preempting. Undefined: it says what became of its containers. */
  readonly statusReason: string | undefined;
  /** Seconds for all of its containers; undefined: each container's own. */
  readonly graceSeconds: number | undefined;
}

/** Waits were ended by hand. */
export interface PodRetriedData {
  /** Who asked. */
  readonly by: string;
  /** The containers that waited. */
  readonly containers: readonly string[];
  readonly message: string;
}

/** A step of a pod's worker failed. */
export interface SyncFailedData {
  readonly step: "sync" | "terminating" | "terminated";
  readonly message: string;
  readonly retryInMs: number;
}

/** A pod is wanted from now on. */
export const PodAdded: EventType<PodAddedData, "pod/PodAdded"> = defineEvent<PodAddedData>()("pod/PodAdded");

/** A pod's manifest changed and its UID did not. */
export const PodUpdated: EventType<{ readonly source: string }, "pod/PodUpdated"> = defineEvent<{
  readonly source: string;
}>()("pod/PodUpdated");

/** A pod is not wanted any more. */
export const PodRemoved: EventType<{ readonly source: string }, "pod/PodRemoved"> = defineEvent<{
  readonly source: string;
}>()("pod/PodRemoved");

/** The intent: a pod's containers will be stopped. */
export const PodTerminating: EventType<PodTerminatingData, "pod/PodTerminating"> =
  defineEvent<PodTerminatingData>()("pod/PodTerminating");

/** Nothing of the pod runs and what it held is free. `removed`: nothing of it is left at all. */
export const PodTerminated: EventType<{ readonly removed: boolean }, "pod/PodTerminated"> = defineEvent<{
  readonly removed: boolean;
}>()("pod/PodTerminated");

/** Somebody asked for a pod's waiting containers to be tried now. */
export const PodRetried: EventType<PodRetriedData, "pod/PodRetried"> =
  defineEvent<PodRetriedData>()("pod/PodRetried");

/** A step failed and comes again. Told once for each message. kubelet: FailedSync. */
export const SyncFailed: EventType<SyncFailedData, "pod/SyncFailed"> =
  defineEvent<SyncFailedData>()("pod/SyncFailed");
