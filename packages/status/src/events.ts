// SPDX-License-Identifier: Apache-2.0

import { defineEvent } from "@holdfast/bus";
import type { EventType } from "@holdfast/bus";
import type { PodPhase } from "@holdfast/core/pod-types";

/** What `status/PodStatusChanged` carries: enough to know whether to read the status again. */
export interface PodStatusChange {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  /** Grows by one with each change of this pod's status, from 1 at the agent's start. */
  readonly version: number;
  readonly phase: PodPhase;
  /** Undefined for the first status of a pod. */
  readonly previousPhase: PodPhase | undefined;
  /** Whether condition Ready is True. */
  readonly ready: boolean;
  /** The pod's own reason (Evicted, DeadlineExceeded ...), "" for none. */
  readonly reason: string;
  /** Restarts of all containers together. */
  readonly restarts: number;
}

/** A pod's status changed. Read `StatusManager.get` again. Never published when nothing but a time differs. */
export const PodStatusChanged: EventType<PodStatusChange, "status/PodStatusChanged"> =
  defineEvent<PodStatusChange>()("status/PodStatusChanged");

/** What `status/PodCordonChanged` carries. */
export interface PodCordonChange {
  readonly uid: string;
  readonly cordoned: boolean;
  /** Who did it: free text. */
  readonly by: string;
}

/** A pod was taken out of traffic or let in again. Published before the status changes, and named as its cause. */
export const PodCordonChanged: EventType<PodCordonChange, "status/PodCordonChanged"> =
  defineEvent<PodCordonChange>()("status/PodCordonChanged");

/** What `status/StatusSinkChanged` carries. */
export interface StatusSinkChange {
  readonly sink: string;
  readonly reachable: boolean;
  /** The last failure; "" when it is back. */
  readonly message: string;
}

/** Statuses reach their sink no more, or again. */
export const StatusSinkChanged: EventType<StatusSinkChange, "status/StatusSinkChanged"> =
  defineEvent<StatusSinkChange>()("status/StatusSinkChanged");

/** What `status/HostIPsIPFamilyMismatch` carries: the text of a Kubernetes event. */
export interface HostIpMismatch {
  readonly eventType: "Warning";
  readonly reason: "HostIPsIPFamilyMismatch";
  readonly message: string;
}

/** A pod's `hostIP` became one of the other family. Published once for each such change, before the status changes. */
export const HostIPsIPFamilyMismatch: EventType<HostIpMismatch, "status/HostIPsIPFamilyMismatch"> =
  defineEvent<HostIpMismatch>()("status/HostIPsIPFamilyMismatch");

/** What `status/PodResizeCompleted` carries: the text of a Kubernetes event. */
export interface PodResize {
  readonly eventType: "Normal";
  readonly reason: "ResizeCompleted";
  readonly message: string;
}

/** A resize that was under way is done. Published before the status changes. */
export const PodResizeCompleted: EventType<PodResize, "status/PodResizeCompleted"> =
  defineEvent<PodResize>()("status/PodResizeCompleted");
