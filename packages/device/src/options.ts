// SPDX-License-Identifier: Apache-2.0

/** What the device manager is given. */
import type { Publisher } from "@holdfast/bus";
import type { Clock } from "@holdfast/core/clock";
import type { Logger } from "@holdfast/core/log";
import type { Metrics } from "@holdfast/core/metrics";
import type { Hysteresis } from "./device-health.ts";
import type { PluginDeadlines } from "./plugin-endpoint.ts";
import type { DeviceCheckpoint, DevicePods, FoundDevices, PluginDialer } from "./ports.ts";

/** Everything that a {@link DeviceManager} is made of. Times in milliseconds. */
export interface DeviceManagerOptions {
  readonly clock: Clock;
  readonly dialer: PluginDialer;
  readonly checkpoint: DeviceCheckpoint;
  readonly pods: DevicePods;
  /** /proc/sys/kernel/random/boot_id: after another boot plugins are asked again for what they gave. */
  readonly bootId: string;
  /** NUMA nodes of the machine, for hints. Default: one, 0. */
  readonly machineNodes?: readonly number[];
  readonly publish?: Publisher;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
  readonly deadlines?: Partial<PluginDeadlines>;
  /** How long a plugin may be gone before its resource is. kubelet: endpointStopGracePeriod. Default 300 000. */
  readonly graceMs?: number;
  /** How long pods wait for a plugin that was there before the agent's restart. The kubelet does not wait. Default 300 000. */
  readonly pluginWaitMs?: number;
  /**
   * How long after the start a plugin from before, which has not registered again, is looked for on the socket where it was: plugins that watch
   * kubelet.sock come by themselves before. Default 3 000.
   */
  readonly reconnectMs?: number;
  /** Devices of one resource; a plugin that lists more is refused. Default 65 536. */
  readonly maxDevices?: number;
  /** Resources with a plugin; more are refused. Default 256. */
  readonly maxResources?: number;
  readonly hysteresis?: Partial<Hysteresis>;
  /** Rejects when the folder and its checkpoint are somebody else's: then nothing is read, given or written. Default: they are ours. */
  readonly claim?: () => Promise<void>;
  /** Containers that run, with their annotation: asked when there is no checkpoint, or a damaged one. Default: none are known. */
  readonly findRunning?: () => Promise<readonly FoundDevices[]>;
  /** Why the runtime cannot resolve CDI names; undefined when it can. Then containers that would need one do not start. Default: it can. */
  readonly cdiProblem?: () => string | undefined;
  /** Something that a waiting pod may wait for has changed: devices appeared, were freed, a plugin came or its time ran out. Called at once; must not throw. */
  readonly onChanged?: () => void;
  /** The status of a pod is to be told again: health of a device of it changed. */
  readonly onPodChanged?: (podUid: string) => void;
}

export const DEFAULT_GRACE_MS = 300_000;
export const DEFAULT_PLUGIN_WAIT_MS = 300_000;
export const DEFAULT_RECONNECT_MS = 3000;
export const DEFAULT_MAX_RESOURCES = 256;
