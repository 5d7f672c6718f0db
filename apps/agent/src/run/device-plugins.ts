// SPDX-License-Identifier: Apache-2.0

/** Device plugins where they are taken: this file, and all that it needs, is loaded only then. */
import { dirname, join } from "node:path";
import type { Component } from "@holdfast/core/lifecycle";
import type { Logger } from "@holdfast/core/log";
import {
  CONTAINER_NAME_LABEL,
  DEVICES_ANNOTATION,
  INSTANCE_LABEL,
  NODE_LABEL,
  POD_UID_LABEL,
} from "@holdfast/core/names";
import type { Pod } from "@holdfast/core/pod-types";
import { newestByName } from "@holdfast/core/runtime-status";
import { ContainerState } from "@holdfast/cri";
import { DeviceManager } from "@holdfast/device";
import type { FoundDevices, ResourceView } from "@holdfast/device";
import {
  claimSocket,
  DEVICE_CHECKPOINT_NAME,
  fileDeviceCheckpoint,
  KUBELET_SOCKET,
  nodePluginDialer,
  PluginWatcher,
  PodResourcesServer,
  readBootId,
  readNumaNodes,
  RegistrationServer,
} from "@holdfast/device/node";
import type { PodView } from "@holdfast/pod";
import { cdiProblemOf } from "./device-side.ts";
import type { DeviceSide, DeviceSideOptions } from "./device-side.ts";

/** Makes it; starts nothing. */
export function makeDevicePlugins(options: DeviceSideOptions): DeviceSide {
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
    claim: () => claimSocket(join(folder, KUBELET_SOCKET)),
    findRunning: () => findRunning(options),
    publish: bus,
    logger: log("device"),
    metrics,
    cdiProblem: () => cdiProblemOf(options.runtimeState.identity()),
    onChanged: options.onChanged,
    onPodChanged: options.onPodChanged,
  });
  const watcher = new PluginWatcher({
    folder: registry,
    clock,
    handlers: new Map([["DevicePlugin", manager.pluginHandler]]),
    logger: log("plugin-watcher"),
    metrics,
  });
  const components: readonly Component[] = [
    manager,
    new RegistrationServer({ folder, manager, logger: log("device-plugin") }),
    watcher,
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
    allocatedResourcesStatus: (uid, container) => manager.allocatedResourcesStatus(uid, container),
    list: () => {
      manager.collectGarbage();
      return {
        folder,
        items: manager.snapshot().map((view) => ({ ...view, holders: holdersOf(view, pods()) })),
        refused: [
          ...manager
            .refusals()
            .map(({ resource, socket, message }) => ({ resource, socket: join(folder, socket), message })),
          ...watcher
            .plugins()
            .filter(({ problem }) => problem !== "")
            .map(({ path, name = "", problem }) => ({ resource: name, socket: path, message: problem })),
        ],
      };
    },
  };
}

/** Containers of ours that run and have devices. */
async function findRunning({ runtime, config, state }: DeviceSideOptions): Promise<readonly FoundDevices[]> {
  const { containers } = await runtime.listContainers({
    filter: {
      state: { state: ContainerState.CONTAINER_RUNNING },
      labelSelector: { [NODE_LABEL]: config.nodeName, [INSTANCE_LABEL]: state.instanceId },
    },
  });
  return containers.flatMap(({ labels, annotations }) => {
    const annotation = annotations[DEVICES_ANNOTATION];
    const [podUid, container] = [labels[POD_UID_LABEL], labels[CONTAINER_NAME_LABEL]];
    if (annotation === undefined || podUid === undefined || container === undefined) return [];
    return [{ podUid, container, annotation }];
  });
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
