// SPDX-License-Identifier: Apache-2.0

/**
 * The kubelet's Summary API, as `GET /stats/summary` answers it. kubelet: k8s.io/kubelet/pkg/apis/stats/v1alpha1/types.go.
 *
 * A number that is not known is left out, never zero. Numbers are the kernel's 64-bit counters as doubles: above 2^53 they are rounded, by less than one part in 10^15.
 * Times are RFC 3339 with milliseconds.
 */

/** RFC 3339, UTC: `2026-11-21T10:00:00.000Z`. */
export type Time = string;

/** The whole answer. */
export interface Summary {
  readonly node: NodeStats;
  /** Pods with at least one container that runs. */
  readonly pods: readonly PodStats[];
}

/** The machine as a whole. */
export interface NodeStats {
  readonly nodeName: string;
  readonly systemContainers?: readonly ContainerStats[];
  /** When the machine was booted. */
  readonly startTime: Time;
  readonly cpu?: CPUStats;
  readonly memory?: MemoryStats;
  readonly io?: IOStats;
  readonly network?: NetworkStats;
  /** The file system that the agent's state folder, and with it pods' volumes, lies on. */
  readonly fs?: FsStats;
  readonly runtime?: RuntimeStats;
  readonly rlimit?: RlimitStats;
  readonly swap?: SwapStats;
}

/** The runtime's file systems: the same figures twice where it keeps images and writable layers together. */
export interface RuntimeStats {
  readonly imageFs?: FsStats;
  readonly containerFs?: FsStats;
}

/** Process ids: how many there may be on the machine, how many there are. Threads count. */
export interface RlimitStats {
  readonly time: Time;
  readonly maxpid?: number;
  readonly curproc?: number;
}

/** Names a pod. */
export interface PodReference {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
}

/** One pod. */
export interface PodStats {
  readonly podRef: PodReference;
  /** When its sandbox was created. */
  readonly startTime: Time;
  /** Containers that run, init containers included. */
  readonly containers: readonly ContainerStats[];
  readonly cpu?: CPUStats;
  readonly memory?: MemoryStats;
  readonly io?: IOStats;
  /** Absent for pods in the host's network. */
  readonly network?: NetworkStats;
  readonly volume?: readonly VolumeStats[];
  /** Writable layers, logs and local ephemeral volumes together. */
  readonly "ephemeral-storage"?: FsStats;
  readonly process_stats?: ProcessStats;
  readonly swap?: SwapStats;
}

/** One container, or one of the node's system containers: `kubelet`, `runtime`, `misc`, `pods`. */
export interface ContainerStats {
  readonly name: string;
  readonly startTime: Time;
  readonly cpu?: CPUStats;
  readonly memory?: MemoryStats;
  readonly io?: IOStats;
  /** The writable layer: `usedBytes` are its own, the rest is its file system's. */
  readonly rootfs?: FsStats;
  /** The files in the container's log folder, rotated ones included. */
  readonly logs?: FsStats;
  readonly swap?: SwapStats;
}

/** How many processes and threads run in a pod. */
export interface ProcessStats {
  readonly process_count?: number;
}

/** CPU time. */
export interface CPUStats {
  readonly time: Time;
  /** Billionths of a core, over the time since an earlier sample; absent without one and after a counter's reset. */
  readonly usageNanoCores?: number;
  /** CPU time used since the cgroup was made, all cores together, in nanoseconds. */
  readonly usageCoreNanoSeconds?: number;
  readonly psi?: PSIStats;
}

/** Memory, in bytes. */
export interface MemoryStats {
  readonly time: Time;
  /** The limit less the working set; absent without a limit. Of the node: the machine's memory less the working set. */
  readonly availableBytes?: number;
  /** All memory in use, the page cache included. */
  readonly usageBytes?: number;
  /** Usage less the page cache that could be dropped first: what an OOM kill and an eviction look at. */
  readonly workingSetBytes?: number;
  /** Anonymous memory. */
  readonly rssBytes?: number;
  readonly pageFaults?: number;
  readonly majorPageFaults?: number;
  readonly psi?: PSIStats;
}

/** I/O: how long it was waited for. The counters are Holdfast's own, and only there when `ioCounters` is set. */
export interface IOStats {
  readonly time: Time;
  readonly psi?: PSIStats;
  readonly readBytes?: number;
  readonly writeBytes?: number;
  readonly readOperations?: number;
  readonly writeOperations?: number;
}

/** Pressure stall information. `full`: no task could go on; `some`: at least one could not. */
export interface PSIStats {
  readonly full: PSIData;
  readonly some: PSIData;
}

/** One line of a pressure file. */
export interface PSIData {
  /** Nanoseconds, ever growing. The kernel's file has microseconds. */
  readonly total: number;
  /** Percent of the last 10 seconds. */
  readonly avg10: number;
  readonly avg60: number;
  readonly avg300: number;
}

/** Swap, in bytes. */
export interface SwapStats {
  readonly time: Time;
  readonly swapAvailableBytes?: number;
  readonly swapUsageBytes?: number;
}

/** Traffic of one interface since it was made. */
export interface InterfaceStats {
  readonly name: string;
  readonly rxBytes?: number;
  readonly rxErrors?: number;
  readonly txBytes?: number;
  readonly txErrors?: number;
}

/** Traffic: of the main interface, and of each. */
export interface NetworkStats extends InterfaceStats {
  readonly time: Time;
  readonly interfaces?: readonly InterfaceStats[];
}

/** A file system, or what something takes of one. */
export interface FsStats {
  readonly time: Time;
  /** Free for others than root. */
  readonly availableBytes?: number;
  readonly capacityBytes?: number;
  readonly usedBytes?: number;
  readonly inodesFree?: number;
  readonly inodes?: number;
  readonly inodesUsed?: number;
}

/** One volume of a pod. */
export interface VolumeStats extends FsStats {
  readonly name: string;
  readonly pvcRef?: { readonly name: string; readonly namespace: string };
}
