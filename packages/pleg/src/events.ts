// SPDX-License-Identifier: Apache-2.0

import { defineEvent } from "@holdfast/bus";
import type { EventType } from "@holdfast/bus";

/** What an event about a container or sandbox carries. `subject` has `podUid`, and `pod` and `container` where known. */
export interface ContainerEventData {
  /** The bare id, without a runtime prefix. */
  readonly containerId: string;
  /** Sandboxes are compared exactly like containers. */
  readonly kind: "container" | "sandbox";
  /** The container's name in the pod; "" for a sandbox. */
  readonly name: string;
}

/** What a death carries besides. */
export interface ContainerDiedData extends ContainerEventData {
  /** When it is known. */
  readonly exitCode: number | undefined;
  /** Entered from containerd's exit event; the CRI does not say so yet. A `PodSync` follows when it does. */
  readonly unconfirmed: boolean;
}

/** A container or sandbox runs. kubelet: ContainerStarted. */
export const ContainerStarted: EventType<ContainerEventData, "pleg/ContainerStarted"> =
  defineEvent<ContainerEventData>()("pleg/ContainerStarted");

/** A container or sandbox has stopped. kubelet: ContainerDied. */
export const ContainerDied: EventType<ContainerDiedData, "pleg/ContainerDied"> =
  defineEvent<ContainerDiedData>()("pleg/ContainerDied");

/** The runtime has forgotten a container or sandbox. kubelet: ContainerRemoved. */
export const ContainerRemoved: EventType<ContainerEventData, "pleg/ContainerRemoved"> =
  defineEvent<ContainerEventData>()("pleg/ContainerRemoved");

/** A pod was looked at on request, or an exit was confirmed: read the cache again. kubelet: PodSync. */
export const PodSync: EventType<Record<string, never>, "pleg/PodSync"> = defineEvent<Record<string, never>>()(
  "pleg/PodSync",
);
