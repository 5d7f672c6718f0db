// SPDX-License-Identifier: Apache-2.0

import type { CriClient } from "@holdfast/cri";

/** The runtime calls that the PLEG makes: two to list, two to look closer. A `CriClient` fits. */
export type PlegRuntime = Pick<
  CriClient,
  "listPodSandbox" | "listContainers" | "podSandboxStatus" | "containerStatus"
>;

/** What survives a restart: by pod, what was up. */
export interface PlegCheckpoint {
  set(key: string, value: string): void;
  delete(key: string): void;
  entries(prefix: string): readonly (readonly [string, string])[];
}

/** What the PLEG reads of a containerd task event. */
export interface TaskEvent {
  /** containerd's `/tasks/start`, `/tasks/exit`, `/tasks/delete`, `/tasks/oom`; the CRI's `cri/started`, `cri/stopped`; others only mean "look". */
  readonly topic: string;
  /** The container, or the sandbox. */
  readonly containerId: string;
  /** The process: equal to `containerId` for the main one, else an exec. */
  readonly id: string;
  /** 128 + signal when it was killed by one. */
  readonly exitStatus?: number | undefined;
  /** Nanoseconds since the epoch. */
  readonly exitedAt?: bigint | undefined;
  /** Whose it is, when the event says so. */
  readonly podUid?: string | undefined;
}

/** Where events come from: containerd's own service, or `GetContainerEvents`. */
export type EventService = "containerd" | "cri";

/**
 * Subscribes to the runtime's events. `CriClient.containerdEvents` fits; `runtimeEvents` chooses by what the runtime answers. The subscription is made
 * at once; it ends silently on the signal, and with an error when the connection is lost. One that has to look for its service tells by `chosen`
 * which one it subscribed to, each time: what happened before that is lost.
 */
export type TaskEventStream = (options: {
  readonly signal: AbortSignal;
  readonly chosen?: (service: EventService) => void;
}) => AsyncIterable<TaskEvent>;
