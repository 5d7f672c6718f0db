// SPDX-License-Identifier: Apache-2.0

export { GenericPLEG } from "./generic-pleg.ts";
export type { PlegHealth, PlegSnapshot, UnconfirmedExitSnapshot } from "./generic-pleg.ts";
export type { GenericPlegOptions } from "./options.ts";
export { ContainerDied, ContainerRemoved, ContainerStarted, PodSync } from "./events.ts";
export type { ContainerDiedData, ContainerEventData } from "./events.ts";
export type { MadeItem } from "./heard-of.ts";
export type { EventService, PlegCheckpoint, PlegRuntime, TaskEvent, TaskEventStream } from "./ports.ts";
export { fromContainerEvent, runtimeEvents } from "./runtime-events.ts";
export type { EventfulRuntime } from "./runtime-events.ts";
export type { PlegCall, PlegErrorCode } from "./errors.ts";
export type { EventSourceState } from "./event-source.ts";
export type { QuarantinedPod } from "./quarantine.ts";
export type { CallUnderWay } from "./runtime-calls.ts";

export { buildContainer, buildPodStatus, buildSandbox } from "./build-pod-status.ts";
export type { InspectedSandbox, PodStatusParts } from "./build-pod-status.ts";
export { computeEvents } from "./compute-events.ts";
export type { LifecycleEvent, LifecycleEventType } from "./compute-events.ts";
export { PodCache } from "./pod-cache.ts";
export type { CachedPodStatus } from "./pod-cache.ts";
export { groupByPod } from "./pod-records.ts";
export type { ListedItem, ListedPod, PlegState } from "./pod-records.ts";
