// SPDX-License-Identifier: Apache-2.0

export { DeviceManager } from "./device-manager.ts";
export type { DeviceAdmission } from "./device-manager.ts";
export { DeviceAdmissionError, WAITING_FOR_PLUGIN } from "./device-allocator.ts";
export type { DeviceManagerOptions } from "./options.ts";
export { DEFAULT_DEADLINES } from "./plugin-endpoint.ts";
export type { PluginDeadlines } from "./plugin-endpoint.ts";
export { DEVICE_PLUGIN_VERSION } from "./plugin-registry.ts";
export type { RegisterRequest } from "./plugin-registry.ts";
export type {
  ContainerAnswer,
  DeviceCheckpoint,
  DeviceMount,
  DeviceNode,
  DevicePods,
  FoundDevices,
  ListedDevice,
  ListedPod,
  PluginConnection,
  PluginDialer,
  PluginOptions,
} from "./ports.ts";
export {
  DeviceHealthChanged,
  DevicesAllocated,
  DevicesAllocating,
  DevicesReleased,
  PluginRefused,
  PluginRegistered,
  PluginStopped,
  ResourceChanged,
} from "./events.ts";
export type {
  AllocationEventData,
  DeviceHealthEventData,
  PluginEventData,
  ResourceEventData,
} from "./events.ts";
export type {
  AllocatedResourceStatus,
  DeviceHealthWord,
  DeviceView,
  NodeResource,
  ResourceView,
} from "./device-views.ts";
export { computeAllocatableDevices, computePodResources, NO_DEDICATED } from "./compute-pod-resources.ts";
export type {
  ContainerDevicesEntry,
  ContainerResourcesEntry,
  DedicatedResources,
  MemoryBlock,
  PodResourcesEntry,
} from "./compute-pod-resources.ts";
export type { Refusal } from "./refusals.ts";
export type { KnownPlugin, KnownSocket } from "./checkpoint.ts";
export { PodDevices } from "./pod-devices.ts";
export type { DeviceRecord } from "./pod-devices.ts";
export type { HealthChange, Hysteresis } from "./device-health.ts";
export type { PoolPhase, ResourcePool } from "./resource-pool.ts";
export { NO_DEVICES } from "./run-options.ts";
export type { ContainerDevices } from "./run-options.ts";
export { computeTopologyHints } from "./topology-hints.ts";
export type { HintQuestion, TopologyHint } from "./topology-hints.ts";
export { readCheckpoint, writeCheckpoint } from "./checkpoint.ts";
export type { DeviceState } from "./checkpoint.ts";
export { chooseDevices, splitByAffinity } from "./choose-devices.ts";
export type { AffinitySplit, DeviceChoice, DeviceDecision, PreferenceQuestion } from "./choose-devices.ts";
