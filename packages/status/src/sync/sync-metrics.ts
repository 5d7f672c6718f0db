// SPDX-License-Identifier: Apache-2.0

import type { Counter, Gauge, Histogram, Metrics } from "@holdfast/core/metrics";

/** kubelet: PodStatusSyncDuration's buckets, in seconds. */
const BUCKETS = [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 20, 30, 45, 60];

/** The figures of a sync. */
export interface SyncMetrics {
  /** From a pod's first change that the sink has not to the sink having it. */
  readonly duration: Histogram;
  /** By `outcome`: written, unchanged, gone, waiting, failed, refused. */
  readonly writes: Counter;
  readonly pending: Gauge;
  /** Last states given up: no room, or refused for a pod that is gone. */
  readonly lost: Counter;
}

/** Registers them. */
export function syncMetrics(metrics: Metrics): SyncMetrics {
  return {
    duration: metrics.histogram(
      "kubelet_pod_status_sync_duration_seconds",
      "Time from a change of a pod's status to the sink having it.",
      BUCKETS,
    ),
    writes: metrics.counter(
      "holdfast_status_sync_writes_total",
      "Writes of pod statuses to a sink, by outcome.",
    ),
    pending: metrics.gauge(
      "holdfast_status_sync_pending",
      "Pods of which the sink has not the newest status.",
    ),
    lost: metrics.counter(
      "holdfast_status_sync_lost_total",
      "Last statuses given up: no room, or refused for a pod that is gone.",
    ),
  };
}
