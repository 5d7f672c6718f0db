// SPDX-License-Identifier: Apache-2.0

/**
 * Device plugins: their sockets, what pods are given of them, and podresources. Nothing of it exists while `devicePluginsDir` is not set: then a pod that
 * asks for an extended resource waits, and says why.
 */
import type { Bus } from "@holdfast/bus";
import type { Clock } from "@holdfast/core/clock";
import type { Component } from "@holdfast/core/lifecycle";
import type { Logger } from "@holdfast/core/log";
import type { Metrics } from "@holdfast/core/metrics";
import { allContainers } from "@holdfast/core/pod";
import { isExtendedResourceName } from "@holdfast/core/resource-name";
import type { RuntimePodStatus } from "@holdfast/core/runtime-status";
import type { CriClient } from "@holdfast/cri";
import type {
  AllocatedResourceStatus,
  DedicatedResources,
  DeviceManager,
  NodeResource,
  Refusal,
  ResourceView,
} from "@holdfast/device";
import type { RuntimeIdentity } from "@holdfast/node";
import type { ContainerDeviceSource, PodAdmission, PodView } from "@holdfast/pod";
import type { AgentConfig } from "../config/agent-config.ts";

/** What it is made from. */
export interface DeviceSideOptions {
  readonly config: Pick<AgentConfig, "devicePluginsDir" | "bootIdFile" | "nodeName">;
  readonly runtime: Pick<CriClient, "listContainers">;
  readonly state: { readonly instanceId: string };
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
  readonly runtimeState: { identity(): RuntimeIdentity | undefined };
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
  /** Plugins that were told no, by `plugins_registry` too: they have not come since. */
  readonly refused: readonly Omit<Refusal, "at">[];
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
  /** Health of a container's devices, for its status. */
  allocatedResourcesStatus(podUid: string, container: string): readonly AllocatedResourceStatus[];
  /** Undefined while plugins are off. */
  list(): DeviceList | undefined;
}

/** Makes it; starts nothing. */
export type MakeDeviceSide = (options: DeviceSideOptions) => DeviceSide;

/** What plugins need is loaded only where they are taken: it is most of a megabyte. */
export async function loadDeviceSide(config: Pick<AgentConfig, "devicePluginsDir">): Promise<MakeDeviceSide> {
  if (config.devicePluginsDir === "") return () => NO_PLUGINS;
  const { makeDevicePlugins } = await import("./device-plugins.ts");
  return makeDevicePlugins;
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
  allocatedResourcesStatus: () => [],
  list: () => undefined,
};

/** containerd resolves CDI names since 1.7, where it is told to (2.0: by default); else it passes them over without a word. */
export function cdiProblemOf(identity: RuntimeIdentity | undefined): string | undefined {
  const [, major, minor] = /^v?(\d+)\.(\d+)/.exec(identity?.version ?? "") ?? [];
  if (identity?.name !== "containerd" || major === undefined) return undefined;
  if (Number(major) === 1 && Number(minor) < 7)
    return `containerd ${identity.version} resolves no CDI names; 1.7 and later do`;
  if (identity.resolvesCdi === false)
    return `containerd ${identity.version} resolves no CDI names: set enable_cdi = true in the CRI plugin's part of its configuration`;
  return undefined;
}
