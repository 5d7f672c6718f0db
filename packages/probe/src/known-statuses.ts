// SPDX-License-Identifier: Apache-2.0

import type { KnownContainerStatus, ProbeTarget } from "./ports.ts";
import type { ProbeWorker } from "./probe-worker.ts";

/** What was last said of pods and containers, as far as it is known. Reads the target's port; keeps nothing. */
export class KnownStatuses {
  readonly #target: ProbeTarget;

  constructor(target: ProbeTarget) {
    this.#target = target;
  }

  /** Phase Failed or Succeeded. */
  podEnded(podUid: string): boolean {
    const phase = this.#target.podStatus?.(podUid)?.phase;
    return phase === "Failed" || phase === "Succeeded";
  }

  /** The status says that this very container has started. */
  wasStarted(worker: ProbeWorker, containerId: string): boolean {
    return this.#find(worker, containerId)?.started === true;
  }

  /** The same for ready. */
  wasReady(worker: ProbeWorker, containerId: string): boolean {
    return this.#find(worker, containerId)?.ready === true;
  }

  #find({ podUid, containerName }: ProbeWorker, containerId: string): KnownContainerStatus | undefined {
    const status = this.#target.podStatus?.(podUid);
    const matches = ({ name, containerID }: KnownContainerStatus): boolean =>
      name === containerName && containerID?.endsWith(`//${containerId}`) === true;
    return status?.containerStatuses?.find(matches) ?? status?.initContainerStatuses?.find(matches);
  }
}
