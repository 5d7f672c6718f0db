// SPDX-License-Identifier: Apache-2.0

import type { CriClient } from "@holdfast/cri";
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
