// SPDX-License-Identifier: Apache-2.0

import type { Pod } from "@holdfast/core/pod-types";

/** The cgroup tree as files. Paths are absolute cgroup paths below the hierarchies' roots. Filled by `src/node/`; a fixture in tests. */
export interface CgroupTree {
  readonly version: 1 | 2;
  /** Makes the cgroup, parents included, in every hierarchy that has a controller we set. */
  create(path: string): Promise<void>;
  exists(path: string): Promise<boolean>;
  /** Writes one file of one controller ("cpu", "memory", "pids"). A file that does not exist is an error of kind not-found. */
  write(path: string, controller: string, file: string, value: string): Promise<void>;
  /** Process ids in the cgroup and everything below it. */
  pids(path: string): Promise<readonly number[]>;
  /** Removes the cgroup and everything below it; missing is fine. Fails while processes live in it. */
  remove(path: string): Promise<void>;
  /** Names of the cgroups directly below, over all hierarchies. */
  children(path: string): Promise<readonly string[]>;
  /** Ends a process. A process that is gone is fine. */
  kill(pid: number): void;
}

/** systemd's side, with the systemd driver only. */
export interface SystemdSlices {
  /** Queues the start of a transient slice with these properties; one that is loaded already gets them and is started. */
  start(slice: string, properties: readonly SliceProperty[]): Promise<void>;
  /** Sets properties of a slice that is there. */
  set(slice: string, properties: readonly SliceProperty[]): Promise<void>;
  /** Queues a restart of a slice that systemd thinks active but whose cgroup is gone. */
  restart(slice: string): Promise<void>;
  /** Queues the end of a slice and all that is in it; one that is not loaded is fine. */
  stop(slice: string): Promise<void>;
}

/** One property of a unit: name, D-Bus type, value. */
export type SliceProperty = readonly [name: string, type: "t" | "b" | "s", value: string];

/** What outlives the agent, by key. Filled by the store; a map will do in a test. */
export interface StateCheckpoint {
  get(key: string): string | undefined;
  set(key: string, value: string): void;
  delete(key: string): void;
  entries(prefix: string): readonly (readonly [key: string, value: string])[];
}

/** A container as the runtime has it. */
export interface ResourceContainer {
  readonly id: string;
  readonly state: "waiting" | "running" | "terminated";
}

/** The node's pods, as managers of CPUs and memory need them. Filled by the pod workers and the pod cache. */
export interface ResourcePods {
  /** Pods that have not ended, those included that wait to be let in. kubelet: ActivePodsFunc. */
  activePods(): readonly Pod[];
  /** The newest container of each name, by name. */
  containers(podUid: string): ReadonlyMap<string, ResourceContainer>;
  /** Whether every source of pods has listed once. */
  sourcesReady(): boolean;
}
