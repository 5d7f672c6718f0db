// SPDX-License-Identifier: Apache-2.0

/** What one read of the kernel's log gave. */
export type KmsgRead =
  | { readonly kind: "record"; readonly text: string }
  /** Nothing new. */
  | { readonly kind: "empty" }
  /** EPIPE: records were overwritten before they were read; the next read goes on with the oldest that is left. */
  | { readonly kind: "overrun" };

/** The opened log. Reads at once or not at all: no read waits. */
export interface KmsgHandle {
  /** One record. Throws when the log cannot be read any more; it is then closed and opened again. */
  read(): KmsgRead;
  close(): void;
}

/** /dev/kmsg, or what a test has for it. */
export interface KmsgDevice {
  /** Opens at the oldest record that the kernel still has. Throws when it is missing or forbidden. */
  open(): KmsgHandle;
  /** The log's pids are not ours: this process lives in a pid namespace, and so, as far as it can tell, does the runtime. Default false. */
  readonly foreignPids?: boolean;
  /** The kernel's own clock, in milliseconds since boot: what the records' timestamps count. */
  uptimeMs(): number;
}

/** What is known of a container. */
export interface OomContainer {
  readonly containerId: string;
  readonly podUid: string;
  /** `namespace/name`. */
  readonly pod: string;
  readonly container: string;
  /** The main process as the host counts it; undefined when it is not known. */
  readonly pid?: number | undefined;
  /** Path below the cgroup root, for the second witness. */
  readonly cgroupPath?: string | undefined;
}

/** Who is asked about containers: the agent's PLEG cache, or the CRI. */
export interface ContainerLookup {
  /** Also containers that ended, as long as somebody knows them. Undefined: nobody of ours. */
  find(containerId: string, signal: AbortSignal): Promise<OomContainer | undefined>;
  /** `namespace/name` of a pod, for kills outside of its containers. */
  podName?(podUid: string): string | undefined;
  /** False: the pod is another agent's on this machine. Asked when its container is unknown. Default: every pod is ours. */
  ownsPod?(podUid: string): boolean;
}

/** The second witness: how many processes of a cgroup the kernel says it has killed. */
export interface OomCounters {
  /** `oom_kill` of v2's memory.events or v1's memory.oom_control; undefined when the cgroup is gone or does not say. */
  read(cgroupPath: string): Promise<number | undefined>;
}

/** An event of containerd about a task: what `@holdfast/cri`'s ContainerdTaskEvent is. */
export interface OomTaskEvent {
  readonly topic: "/tasks/start" | "/tasks/exit" | "/tasks/delete" | "/tasks/oom";
  readonly containerId: string;
  /** The process: `containerId` for the main one, else an exec's. */
  readonly id: string;
  readonly pid?: number;
  /** Of an exit. */
  readonly exitStatus?: number;
}
