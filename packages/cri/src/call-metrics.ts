// SPDX-License-Identifier: Apache-2.0
//
// Figures about calls, under the kubelet's names and with its operation types. kubelet: pkg/kubelet/metrics, kuberuntime instrumented_services.go

import type { Metrics } from "@holdfast/core/metrics";

const FIRST_BUCKET_SECONDS = 0.005;
const BUCKET_FACTOR = 2.5;
const BUCKET_COUNT = 14;

/** Counts calls by operation. */
export interface CallMetrics {
  started(operation: string): void;
  /** `failed` is false also for a call that its own caller gave up. */
  ended(operation: string, seconds: number, failed: boolean): void;
  /** A half-open connection was replaced. */
  replaced(): void;
}

export function createCallMetrics(metrics: Metrics): CallMetrics {
  const total = metrics.counter(
    "kubelet_runtime_operations_total",
    "Cumulative number of runtime operations by operation type.",
  );
  const errors = metrics.counter(
    "kubelet_runtime_operations_errors_total",
    "Cumulative number of runtime operation errors by operation type.",
  );
  const duration = metrics.histogram(
    "kubelet_runtime_operations_duration_seconds",
    "Duration in seconds of runtime operations by operation type.",
    Array.from({ length: BUCKET_COUNT }, (_, index) => FIRST_BUCKET_SECONDS * BUCKET_FACTOR ** index),
  );
  const inFlight = metrics.gauge(
    "holdfast_runtime_operations_in_flight",
    "Runtime operations that were started and have not ended, by operation type.",
  );
  const replaced = metrics.counter(
    "holdfast_runtime_connections_replaced_total",
    "Connections to the runtime that were half-open.",
  );
  const running = new Map<string, number>();
  const change = (operation: string, by: number): void => {
    const count = (running.get(operation) ?? 0) + by;
    running.set(operation, count);
    inFlight.set(count, { operation_type: operation });
  };
  return {
    started(operation) {
      total.inc({ operation_type: operation });
      change(operation, 1);
    },
    ended(operation, seconds, failed) {
      change(operation, -1);
      duration.observe(seconds, { operation_type: operation });
      if (failed) errors.inc({ operation_type: operation });
    },
    replaced: () => replaced.inc(),
  };
}
