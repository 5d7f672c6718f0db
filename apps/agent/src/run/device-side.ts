// SPDX-License-Identifier: Apache-2.0

/**
 * Device plugins: their sockets, what pods are given of them, and podresources. Nothing of it exists while `devicePluginsDir` is not set: then a pod that
 * asks for an extended resource waits, and says why.
 */
import { dirname, join } from "node:path";
import type { Bus } from "@holdfast/bus";
import type { Clock } from "@holdfast/core/clock";
import type { Component } from "@holdfast/core/lifecycle";
import type { Logger } from "@holdfast/core/log";
import type { Metrics } from "@holdfast/core/metrics";
import { allContainers } from "@holdfast/core/pod";
import type { ContainerStatus, Pod, PodStatus } from "@holdfast/core/pod-types";
import { isExtendedResourceName } from "@holdfast/core/resource-name";
import { newestByName } from "@holdfast/core/runtime-status";
import type { RuntimePodStatus } from "@holdfast/core/runtime-status";
import { DeviceManager } from "@holdfast/device";
import type { DedicatedResources, NodeResource, ResourceView } from "@holdfast/device";
import {
  DEVICE_CHECKPOINT_NAME,
  fileDeviceCheckpoint,
  nodePluginDialer,
  PluginWatcher,
  PodResourcesServer,
  readBootId,
  readNumaNodes,
  RegistrationServer,
} from "@holdfast/device/node";
import type { ContainerDeviceSource, PodAdmission, PodView } from "@holdfast/pod";
import type { AgentConfig } from "../config/agent-config.ts";

/** What it is made from. */
export interface DeviceSideOptions {
  readonly config: Pick<AgentConfig, "devicePluginsDir" | "bootIdFile">;
  readonly clock: Clock;
  readonly bus: Bus;
  readonly metrics: Metrics;
  readonly logger: Logger;
  /** All pods that the agent looks after. */
  readonly pods: () => readonly PodView[];
  /** Every source has listed, and what is on the node is known. */
  readonly isSettled: () => boolean;
  readonly statusOf: (podUid: string) => RuntimePodStatus;
  /** Who the runtime is: not every one resolves CDI names. */
  readonly runtimeState: { identity(): { readonly name: string; readonly version: string } | undefined };
  /** Something that waiting pods may wait for has changed. */
  readonly onChanged: () => void;
  readonly onPodChanged: (podUid: string) => void;
  /** CPUs and memory that containers have for themselves, for podresources. Asked after the start. */
  readonly dedicated: DedicatedResources;
}

/** What `holdfast get devices` shows. */
export interface DeviceList {
  readonly folder: string;
  readonly items: readonly (ResourceView & { readonly holders: Readonly<Record<string, string>> })[];
}

/** What the rest of the agent needs of it. */
export interface DeviceSide {
  readonly components: readonly Component[];
  readonly admission: PodAdmission;
  /** Undefined: containers have no devices of plugins. */
  readonly source: ContainerDeviceSource | undefined;
  /** Gives devices under a hint, together with CPUs and memory. Undefined while plugins are off. */
  readonly provider: DeviceManager | undefined;
  /** Capacity and allocatable, for node status. */
  resources(): readonly NodeResource[];
  /** The status with what is known of the health of its containers' devices. */
  withHealth(pod: Pod, status: PodStatus): PodStatus;
  /** Undefined while plugins are off. */
  list(): DeviceList | undefined;
}

/** Makes it; starts nothing. */
export function makeDeviceSide(options: DeviceSideOptions): DeviceSide {
  return options.config.devicePluginsDir === "" ? NO_PLUGINS : withPlugins(options);
}

/** Extended resources are refused by name. */
const NO_PLUGINS: DeviceSide = {
  components: [],
  admission: {
    admit: ({ spec }) => {
      const wanted = allContainers(spec)
        .flatMap((container) => Object.keys(container.resources?.limits ?? {}))
        .find(isExtendedResourceName);
      if (wanted === undefined) return Promise.resolve(undefined);
      return Promise.resolve({
        reason: "UnexpectedAdmissionError",
        message: `${wanted} comes from a device plugin, and this agent takes none: set devicePluginsDir`,
      });
    },
    release() {},
  },
  source: undefined,
  provider: undefined,
  resources: () => [],
  withHealth: (_pod, status) => status,
  list: () => undefined,
};

function withPlugins(options: DeviceSideOptions): DeviceSide {
  const { config, clock, bus, metrics, logger, pods, isSettled, statusOf } = options;
  const folder = config.devicePluginsDir;
  const registry = join(dirname(folder), "plugins_registry");
  const log = (component: string): Logger => logger.child({ component });
  const active = (): readonly Pod[] =>
    pods()
      .filter(({ state }) => state !== "terminated")
      .map(({ pod }) => pod);
  const manager = new DeviceManager({
    clock,
    dialer: nodePluginDialer(folder, [registry]),
    checkpoint: fileDeviceCheckpoint(join(folder, DEVICE_CHECKPOINT_NAME)),
    bootId: readBootId(config.bootIdFile),
    machineNodes: readNumaNodes(),
    pods: {
      activePods: () => (isSettled() ? new Set(active().map(({ metadata }) => metadata.uid)) : undefined),
      isRunning: (uid, container) => newestByName(statusOf(uid)).get(container)?.state === "running",
    },
    publish: bus,
    logger: log("device"),
    metrics,
    cdiProblem: () => cdiProblemOf(options.runtimeState.identity()),
    onChanged: options.onChanged,
    onPodChanged: options.onPodChanged,
  });
  const components: readonly Component[] = [
    manager,
    new RegistrationServer({ folder, manager, logger: log("device-plugin") }),
    new PluginWatcher({
      folder: registry,
      clock,
      handlers: new Map([["DevicePlugin", manager.pluginHandler]]),
      logger: log("plugin-watcher"),
    }),
    new PodResourcesServer({
      path: join(dirname(folder), "pod-resources", "kubelet.sock"),
      manager,
      clock,
      activePods: active,
      allPods: () => pods().map(({ pod }) => pod),
      dedicated: options.dedicated,
      logger: log("pod-resources"),
      metrics,
    }),
  ];
  return {
    components,
    admission: {
      admit: async (pod, signal) => {
        const answer = await manager.admit(pod, signal);
        return answer.kind === "admitted" ? undefined : answer;
      },
      release: (uid) => manager.release(uid),
    },
    source: manager,
    provider: manager,
    resources: () => manager.resources(),
    withHealth: (pod, status) => withDeviceHealth(manager, pod, status),
    list: () => {
      manager.collectGarbage();
      return {
        folder,
        items: manager.snapshot().map((view) => ({ ...view, holders: holdersOf(view, pods()) })),
      };
    },
  };
}

/** containerd resolves CDI names since 1.7; before, it passes them over without a word. */
export function cdiProblemOf(
  identity: { readonly name: string; readonly version: string } | undefined,
): string | undefined {
  const [, major, minor] = /^v?(\d+)\.(\d+)/.exec(identity?.version ?? "") ?? [];
  if (identity?.name !== "containerd" || major === undefined) return undefined;
  if (Number(major) > 1 || Number(minor) >= 7) return undefined;
  return `containerd ${identity.version} resolves no CDI names; 1.7 and later do`;
}

/** kubelet: UpdateAllocatedResourcesStatus; the pod's own containers only. */
function withDeviceHealth(manager: DeviceManager, { metadata }: Pod, status: PodStatus): PodStatus {
  if (manager.records.ofPod(metadata.uid).length === 0) return status;
  const containerStatuses = status.containerStatuses?.map((container): ContainerStatus => {
    const allocatedResourcesStatus = manager.allocatedResourcesStatus(metadata.uid, container.name);
    return allocatedResourcesStatus.length === 0
      ? container
      : Object.assign({ ...container }, { allocatedResourcesStatus });
  });
  return containerStatuses === undefined ? status : { ...status, containerStatuses };
}

/** `namespace/name` of each pod that holds a device of the resource, by UID. */
function holdersOf({ devices }: ResourceView, views: readonly PodView[]): Record<string, string> {
  const holders = new Set(devices.map(({ podUid }) => podUid));
  return Object.fromEntries(
    views
      .filter(({ pod }) => holders.has(pod.metadata.uid))
      .map(({ pod: { metadata } }) => [metadata.uid, `${metadata.namespace}/${metadata.name}`]),
  );
}
