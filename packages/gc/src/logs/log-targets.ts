// SPDX-License-Identifier: Apache-2.0

import type { CriClient } from "@holdfast/cri";
import type { RuntimePodStatus } from "@holdfast/core/runtime-status";
import { listOwned } from "../container/list-owned.ts";
import { containerLogFolder } from "./log-names.ts";

/** A container of ours and where it writes. */
export interface LogTarget {
  readonly containerId: string;
  readonly running: boolean;
  readonly podUid: string;
  /** `NAMESPACE/NAME`. */
  readonly pod: string;
  readonly container: string;
  readonly attempt: number;
  /** Of its log files. */
  readonly folder: string;
  /** `ATTEMPT.log`. */
  readonly log: string;
}

/** All containers of ours, dead ones too. The PLEG's cache can fill it without a call. */
export type ListLogTargets = (signal: AbortSignal) => Promise<readonly LogTarget[]>;

/** Pure: the containers of one pod as the PLEG's cache has it. Empty while the pod's name is not known. */
export function logTargetsOf(status: RuntimePodStatus, podLogsDir: string): readonly LogTarget[] {
  const { uid: podUid, name: podName, namespace: podNamespace } = status;
  if (podName === "") return [];
  return status.containers.map(({ id, name, state, restartCount }) => ({
    containerId: id,
    running: state === "running",
    podUid,
    pod: `${podNamespace}/${podName}`,
    container: name,
    attempt: restartCount,
    folder: containerLogFolder(podLogsDir, { podUid, podName, podNamespace }, name),
    log: `${restartCount}.log`,
  }));
}

/** Lists them from the runtime, by labels that prove them ours. Paths are the kubelet's. */
export function runtimeLogTargets(options: {
  readonly runtime: Pick<CriClient, "listContainers" | "listPodSandbox">;
  readonly labelSelector: Readonly<Record<string, string>>;
  /** Default /var/log/pods. */
  readonly podLogsDir?: string;
}): ListLogTargets {
  const { runtime, labelSelector, podLogsDir = "/var/log/pods" } = options;
  return async (signal) => {
    const { containers } = await listOwned(runtime, labelSelector, signal);
    return containers
      .filter(({ podName }) => podName !== "")
      .map((container) => ({
        containerId: container.id,
        running: container.state === "running",
        podUid: container.podUid,
        pod: `${container.podNamespace}/${container.podName}`,
        container: container.name,
        attempt: container.attempt,
        folder: containerLogFolder(podLogsDir, container, container.name),
        log: `${container.attempt}.log`,
      }));
  };
}
