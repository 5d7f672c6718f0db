// SPDX-License-Identifier: Apache-2.0

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
