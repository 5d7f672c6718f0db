// SPDX-License-Identifier: Apache-2.0

export { RuntimeState } from "./runtime-state.ts";
export type { RuntimeIdentity, RuntimeStateOptions } from "./runtime-state.ts";
export { computeReadiness, READINESS_STALE_MS } from "./compute-readiness.ts";
export type { ConditionFact, Readiness, ReadinessFacts } from "./compute-readiness.ts";
export { computeReadyCondition } from "./compute-node-conditions.ts";
export type { NodeCondition } from "./compute-node-conditions.ts";
export { readRuntimeSettings } from "./runtime-settings.ts";
export type { RuntimeSettings } from "./runtime-settings.ts";
export { RuntimeReadinessChanged } from "./events.ts";
export { readMachineFacts } from "./node/machine-facts.ts";
export type { MachineFacts, ReadinessRuntime } from "./ports.ts";
