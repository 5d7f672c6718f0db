// SPDX-License-Identifier: Apache-2.0

/** What the device manager needs from outside: a way to plugins, a place for its checkpoint, and a look at the pods. */
import type { Pod } from "@holdfast/core/pod-types";
import type { PreferenceQuestion } from "./choose-devices.ts";

/** What a plugin says that it offers beside Allocate. kubelet: v1beta1 DevicePluginOptions. */
export interface PluginOptions {
  readonly preStartRequired: boolean;
  readonly getPreferredAllocationAvailable: boolean;
}

/** One device as a plugin lists it. */
export interface ListedDevice {
  readonly id: string;
  /** "Healthy"; any other word is unhealthy. */
  readonly health: string;
  /** As sent: may hold nonsense. */
  readonly numaNodes: readonly number[];
}

/** A mount that a plugin asks for. */
export interface DeviceMount {
  readonly containerPath: string;
  readonly hostPath: string;
  readonly readOnly: boolean;
}

/** A device node that a plugin asks for. */
export interface DeviceNode {
  readonly containerPath: string;
  readonly hostPath: string;
  /** Letters of r, w and m. */
  readonly permissions: string;
}

/** What one container gets for devices of one resource. kubelet: v1beta1 ContainerAllocateResponse. */
export interface ContainerAnswer {
  readonly envs: Readonly<Record<string, string>>;
  readonly mounts: readonly DeviceMount[];
  readonly devices: readonly DeviceNode[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly cdiDevices: readonly string[];
}

/** A connection to one plugin. Every call ends when its signal aborts; deadlines are the caller's. */
export interface PluginConnection {
  /** What tells this socket from another one that is made in its place, in this boot. Undefined: it cannot be told. */
  readonly identity?: string | undefined;
  options(signal: AbortSignal): Promise<PluginOptions>;
  /** ListAndWatch: each item is the whole list. Ends or throws when the plugin goes. A list that is too large throws. */
  lists(signal: AbortSignal): AsyncIterable<readonly ListedDevice[]>;
  preferred(question: PreferenceQuestion, signal: AbortSignal): Promise<readonly string[]>;
  /** The answers as sent, unchecked: one for each container asked for, that is one. */
  allocate(ids: readonly string[], signal: AbortSignal): Promise<readonly ContainerAnswer[]>;
  preStart(ids: readonly string[], signal: AbortSignal): Promise<void>;
  /** Idempotent. Ends what is under way. */
  close(): void;
}

/** Makes connections. */
export interface PluginDialer {
  /** `endpoint`: name of a socket in the plugin folder, or an absolute path for plugins of the watcher. Rejects with `bad-input` on a bad one. */
  dial(endpoint: string, signal: AbortSignal): Promise<PluginConnection>;
}

/** One text that survives a crash. kubelet: kubelet_internal_checkpoint. */
export interface DeviceCheckpoint {
  /** Undefined when there is none. */
  read(): Promise<string | undefined>;
  /** All or nothing, durable when it resolves. */
  write(text: string): Promise<void>;
}

/** What the manager asks about pods. */
export interface DevicePods {
  /** UIDs of all pods that may hold devices; undefined while not every source has listed: then nothing is given back. */
  activePods(): ReadonlySet<string> | undefined;
  /** Whether a container of that name runs in the pod now. */
  isRunning(podUid: string, container: string): boolean;
}

/** What a running container says of its devices. */
export interface FoundDevices {
  readonly podUid: string;
  readonly container: string;
  /** Text of the annotation `holdfast.agent/devices`. */
  readonly annotation: string;
}

/** A pod as podresources shows it, in the order of the node's pods. */
export type ListedPod = Pick<Pod, "metadata" | "spec">;
