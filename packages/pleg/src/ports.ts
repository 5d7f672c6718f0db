// SPDX-License-Identifier: Apache-2.0

import type { CriClient } from "@holdfast/cri";

/** The runtime calls that the PLEG makes: two to list, two to look closer. A `CriClient` fits. */
export type PlegRuntime = Pick<
  CriClient,
  "listPodSandbox" | "listContainers" | "podSandboxStatus" | "containerStatus"
>;

/** What the PLEG reads of a containerd task event. */
export interface TaskEvent {
  /** `/tasks/start`, `/tasks/exit`, `/tasks/delete`, `/tasks/oom`; others only mean "look". */
  readonly topic: string;
  /** The container, or the sandbox. */
  readonly containerId: string;
  /** The process: equal to `containerId` for the main one, else an exec. */
  readonly id: string;
  /** 128 + signal when it was killed by one. */
  readonly exitStatus?: number | undefined;
  /** Nanoseconds since the epoch. */
  readonly exitedAt?: bigint | undefined;
}

/**
 * Subscribes to containerd's task events. `CriClient.containerdEvents` fits. The subscription is made at once; it ends silently on the
 * signal, and with an error when the connection is lost.
 */
export type TaskEventStream = (options: { readonly signal: AbortSignal }) => AsyncIterable<TaskEvent>;
