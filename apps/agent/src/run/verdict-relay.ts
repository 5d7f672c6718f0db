// SPDX-License-Identifier: Apache-2.0

/**
 * Enters readiness and startup verdicts into a pod's status as soon as they change: its worker may be busy for as long as a grace period, and a pod
 * that drains says that it is not ready any more. kubelet: the readinessManager and startupManager cases of syncLoopIteration.
 *
 * Owns nothing. A gap loses nothing either: the worker's next update asks for all verdicts.
 */
import type { Subscriber } from "@holdfast/bus";
import { mergeCauses } from "@holdfast/bus";
import type { Component } from "@holdfast/core/lifecycle";
import { ProbeResultChanged } from "@holdfast/probe";
import type { StatusManager } from "@holdfast/status";
import { BusRelay } from "./bus-relay.ts";

const CAPACITY = 4096;

/** See the top of the file. */
export function verdictRelay(
  bus: Subscriber,
  status: Pick<StatusManager, "setContainerReadiness" | "setContainerStartup">,
): Component {
  return new BusRelay(
    "verdict-relay",
    (name) =>
      bus.subscribe([ProbeResultChanged], {
        name,
        capacity: CAPACITY,
        overflow: "latest-by-key",
        keyOf: ({ data }) => `${data.containerId} ${data.kind}`,
      }),
    (event) => {
      if (event.type === "gap") return;
      const { containerId, kind, podUid, result } = event.data;
      const causes = mergeCauses(event.causes, [event.seq]);
      if (kind === "readiness")
        status.setContainerReadiness(podUid, containerId, result === "success", causes);
      else if (kind === "startup")
        status.setContainerStartup(podUid, containerId, result === "success", causes);
    },
  );
}
