// SPDX-License-Identifier: Apache-2.0

import type { Counter, Metrics } from "@holdfast/core/metrics";
import type { ContainerStatus, PodStatus } from "@holdfast/core/pod-types";
import type { ApiPodStatus } from "./api-types.ts";

/** Counts each end of a container once; ends seen before the agent's restart were counted then. kubelet: recordContainerTermination. */
export class TerminationCounter {
  readonly #counter: Counter;

  constructor(metrics: Metrics) {
    this.#counter = metrics.counter(
      "kubelet_terminated_containers_total",
      "Containers that terminated, by type, exit code and reason.",
    );
  }

  /** Ends in `status` that `previous` did not have. */
  count(previous: PodStatus | undefined, status: PodStatus): void {
    const before: ApiPodStatus | undefined = previous;
    const now: ApiPodStatus = status;
    this.#countList("init_container", now.initContainerStatuses, before?.initContainerStatuses);
    this.#countList("container", now.containerStatuses, before?.containerStatuses);
    this.#countList(
      "ephemeral_container",
      now.ephemeralContainerStatuses,
      before?.ephemeralContainerStatuses,
    );
  }

  #countList(
    type: string,
    news: readonly ContainerStatus[] | undefined,
    olds: readonly ContainerStatus[] | undefined,
  ): void {
    for (const { name, state } of news ?? []) {
      if (state.terminated === undefined) continue;
      const old = olds?.find((one) => one.name === name);
      if (old?.state.terminated !== undefined) continue;
      // Waiting to be started again and seen ended once more: the same end.
      const id = state.terminated.containerID;
      if (id !== undefined && old?.lastState.terminated?.containerID === id) continue;
      this.#counter.inc({
        container_type: type,
        exit_code: String(state.terminated.exitCode),
        reason: state.terminated.reason ?? "",
      });
    }
  }
}
