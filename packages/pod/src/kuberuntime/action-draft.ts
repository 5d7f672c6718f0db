// SPDX-License-Identifier: Apache-2.0

/** What computing a pod's actions writes into, and the decisions that both of its halves share. */
import type { Container } from "@holdfast/core/pod-types";
import type { ContainerRecord } from "@holdfast/core/runtime-status";
import { hashContainer } from "./container-hash.ts";
import type { KillReason } from "./events.ts";

/** One container to kill. */
export interface ContainerToKill {
  readonly container: Container;
  readonly record: ContainerRecord;
  readonly reason: KillReason;
  readonly message: string;
}

/** While it is being computed. */
export interface ActionDraft {
  killPod: boolean;
  initContainersToStart: Container[];
  containersToStart: Container[];
  containersToKill: Map<string, ContainerToKill>;
  awaitingConfirmation: string[];
}

/** Nothing to do. */
export function emptyDraft(): ActionDraft {
  return {
    killPod: false,
    initContainersToStart: [],
    containersToStart: [],
    containersToKill: new Map(),
    awaitingConfirmation: [],
  };
}

/** Plans the kill of a container about which the runtime knows nothing. */
export function killUnknown(draft: ActionDraft, container: Container, record: ContainerRecord): void {
  draft.containersToKill.set(record.id, {
    container,
    record,
    reason: "Unknown",
    message: `Container ${container.name} is in unknown state, try killing it before restart`,
  });
}

/** kubelet: containerChanged. A record without a hash is left alone: it is not known to differ. */
export function containerChanged(container: Container, record: ContainerRecord): boolean {
  return record.hash !== "" && record.hash !== hashContainer(container);
}
