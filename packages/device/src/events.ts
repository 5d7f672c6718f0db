// SPDX-License-Identifier: Apache-2.0

import { defineEvent } from "@holdfast/bus";
import type { EventType } from "@holdfast/bus";

/** A plugin came or went. */
export interface PluginEventData {
  readonly resource: string;
  /** Its socket, as it registered. */
  readonly socket: string;
  readonly message: string;
}

/** A plugin has registered, and is asked for its list. */
export const PluginRegistered: EventType<PluginEventData, "device/PluginRegistered"> =
  defineEvent<PluginEventData>()("device/PluginRegistered");

/** A plugin has gone, or is no longer believed; its resource has nothing to give until one registers. */
export const PluginStopped: EventType<PluginEventData, "device/PluginStopped"> =
  defineEvent<PluginEventData>()("device/PluginStopped");

/** A registration was refused. */
export const PluginRefused: EventType<PluginEventData, "device/PluginRefused"> =
  defineEvent<PluginEventData>()("device/PluginRefused");

/** What the node has of a resource. */
export interface ResourceEventData {
  readonly resource: string;
  readonly capacity: number;
  readonly allocatable: number;
}

/** Capacity or allocatable of a resource changed. */
export const ResourceChanged: EventType<ResourceEventData, "device/ResourceChanged"> =
  defineEvent<ResourceEventData>()("device/ResourceChanged");

/** Health of a device that a pod holds. Subject: the pod, its container, the device. */
export interface DeviceHealthEventData {
  readonly eventType: "Normal" | "Warning";
  /** As a Kubernetes event has it: DeviceUnhealthy or DeviceHealthy. */
  readonly reason: "DeviceUnhealthy" | "DeviceHealthy";
  readonly message: string;
  readonly resource: string;
  readonly deviceId: string;
  readonly healthy: boolean;
}

/** A device that a pod holds turned bad, or good again. The pod goes on. Others show in {@link ResourceChanged} only. */
export const DeviceHealthChanged: EventType<DeviceHealthEventData, "device/DeviceHealthChanged"> =
  defineEvent<DeviceHealthEventData>()("device/DeviceHealthChanged");

/** Devices of one container. Subject: the pod and the container. */
export interface AllocationEventData {
  readonly resource: string;
  readonly ids: readonly string[];
}

/** Intent: the plugin is about to be asked for these devices. */
export const DevicesAllocating: EventType<AllocationEventData, "device/DevicesAllocating"> =
  defineEvent<AllocationEventData>()("device/DevicesAllocating");

/** The container has them. */
export const DevicesAllocated: EventType<AllocationEventData, "device/DevicesAllocated"> =
  defineEvent<AllocationEventData>()("device/DevicesAllocated");

/** They are free again. */
export const DevicesReleased: EventType<AllocationEventData, "device/DevicesReleased"> =
  defineEvent<AllocationEventData>()("device/DevicesReleased");
