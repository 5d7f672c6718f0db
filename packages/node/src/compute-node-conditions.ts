// SPDX-License-Identifier: Apache-2.0

import type { Readiness } from "./compute-readiness.ts";

/** One node condition, as `v1.NodeCondition`. */
export interface NodeCondition {
  readonly type: string;
  readonly status: "True" | "False" | "Unknown";
  readonly reason: string;
  readonly message: string;
}

/** kubelet: nodestatus.ReadyCondition. `failures` are the health complaints of other managers. */
export function computeReadyCondition(readiness: Readiness, failures: readonly string[] = []): NodeCondition {
  const problems = [readiness.runtime, readiness.network, ...failures].filter(
    (problem) => problem !== undefined,
  );
  return problems.length === 0
    ? { type: "Ready", status: "True", reason: "KubeletReady", message: "holdfast is posting ready status" }
    : { type: "Ready", status: "False", reason: "KubeletNotReady", message: `[${problems.join(", ")}]` };
}
