// SPDX-License-Identifier: Apache-2.0

import type { Gauge, Metrics } from "@holdfast/core/metrics";
import type { ResizeConditions } from "./compute-resize-conditions.ts";

/** How many pods wait for a resize, by reason, and how many are being resized. Nothing is shown before the first one. kubelet: PodPendingResizes, PodInProgressResizes. */
export class ResizeGauges {
  readonly #pending: Gauge;
  readonly #inProgress: Gauge;
  #shown = false;

  constructor(metrics: Metrics) {
    this.#pending = metrics.gauge("kubelet_pod_pending_resizes", "Pods whose resize waits, by reason.");
    this.#inProgress = metrics.gauge("kubelet_pod_in_progress_resizes", "Pods that are being resized.");
  }

  /** Counts anew: resizes are rare. */
  count(pods: Iterable<{ readonly resize: ResizeConditions }>): void {
    const counts = { deferred: 0, infeasible: 0, inProgress: 0 };
    for (const { resize } of pods) {
      if (resize.pending !== undefined)
        counts[resize.pending.reason === "Infeasible" ? "infeasible" : "deferred"] += 1;
      if (resize.inProgress !== undefined) counts.inProgress += 1;
    }
    this.#shown ||= counts.deferred + counts.infeasible + counts.inProgress > 0;
    if (!this.#shown) return;
    this.#pending.set(counts.deferred, { reason: "deferred" });
    this.#pending.set(counts.infeasible, { reason: "infeasible" });
    this.#inProgress.set(counts.inProgress);
  }
}
