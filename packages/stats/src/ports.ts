// SPDX-License-Identifier: Apache-2.0

/** What statistics need from others, as narrow as it can be said, and what they offer. `src/node/` fills the machine's side. */
import type { CriClient } from "@holdfast/cri";
import type { PodStats, Summary } from "./summary.ts";

/**
 * The kernel's own files: /proc and /sys/fs/cgroup. Read on the calling thread, since they lie in memory and no device is waited for: a read costs a tenth of
 * what it costs through the thread pool.
 */
export interface KernelFiles {
  /** Text of a file, at most 1 MiB; undefined when it is not there, or its process or cgroup has gone. Throws `STATS_READ` on other failures. */
  read(path: string): string | undefined;
  /** Names of the folders in a folder; empty when it is not there. */
  folders(path: string): readonly string[];
  /** Where a link points; undefined when there is none, or it must not be read. */
  link(path: string): string | undefined;
}

/** A file system as statfs gives it, unjudged. */
export interface RawFilesystem {
  readonly blockBytes: number;
  readonly blocks: number;
  /** Free blocks, those for root included. */
  readonly blocksFree: number;
  /** Free for others than root. */
  readonly blocksAvailable: number;
  readonly inodes: number;
  readonly inodesFree: number;
  /** The device's number: two paths with the same one lie on the same file system. */
  readonly device: number;
}

/** Asks a file system. May never return, on a dead mount: who calls bounds it. Rejects with the system's own error. */
export type Statfs = (path: string) => Promise<RawFilesystem>;

/** What one folder tree takes. */
export interface TreeUsage {
  /** Allocated bytes, as `du` counts them; files with several names count once. */
  readonly usedBytes: number;
  readonly inodesUsed: number;
  /** False: a bound was reached first, and the figures are a lower bound. */
  readonly complete: boolean;
}

/** Bounds of a walk. */
export interface WalkBounds {
  /** Files and folders looked at. */
  readonly maxEntries: number;
  /** Only the files directly in the folder. */
  readonly flat?: boolean;
  readonly signal: AbortSignal;
}

/**
 * Adds up a folder: follows no link, enters no other file system. Resolves to undefined when it is not there. May hang on a dead mount: who calls bounds it.
 */
export type MeasureTree = (path: string, bounds: WalkBounds) => Promise<TreeUsage | undefined>;

/** The machine. Filled by `nodeStatsHost`. */
export interface StatsHost {
  readonly files: KernelFiles;
  readonly statfs: Statfs;
  readonly measureTree: MeasureTree;
  /** Names of the folders in a folder on a disk; empty when it is not there. May hang as the others. */
  readonly listFolders: (path: string) => Promise<readonly string[]>;
  /** Lets others on the event loop go first. Reading a thousand files at once would hold them up. */
  readonly breathe: () => Promise<void>;
}

/** A container whose figures are wanted: one that runs. */
export interface StatsContainer {
  readonly id: string;
  readonly name: string;
  /** Wall milliseconds. */
  readonly createdAt: number;
  /** Folder of its log files; undefined: its logs are not counted. */
  readonly logFolder?: string | undefined;
}

/** A pod whose figures are wanted. */
export interface StatsPod {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  /** The sandbox that counts: its processes are in the pod's network. */
  readonly sandboxId: string;
  /** Wall milliseconds of the sandbox's creation. */
  readonly createdAt: number;
  readonly containers: readonly StatsContainer[];
  /** Path of the pod's cgroup below the hierarchies' roots. Default: found by the containers' ids. */
  readonly cgroupPath?: string | undefined;
  /** Folders of its volumes; absent: volumes are not counted. */
  readonly volumes?: readonly StatsVolume[];
}

/** A volume that is a folder on this machine. */
export interface StatsVolume {
  readonly name: string;
  readonly path: string;
  /** Counts towards the pod's ephemeral storage: emptyDir on disk, configMap. kubelet: the volume analyzer's ephemeral list. */
  readonly ephemeral: boolean;
}

/** Who runs here. The agent answers from its pod cache; `listCriPods` asks any CRI runtime. */
export type ListStatsPods = (signal: AbortSignal) => Promise<readonly StatsPod[]> | readonly StatsPod[];

/** The runtime's own figures. A `CriClient` fits. */
export type StatsRuntime = Pick<CriClient, "listContainerStats" | "imageFsInfo">;

/** Which file systems are the same. */
export interface FilesystemLayout {
  /** Images have a file system of their own. kubelet: HasDedicatedImageFs. */
  readonly dedicatedImageFs: boolean;
  /** Writable layers lie elsewhere than images. Never with containerd. */
  readonly splitContainerFs: boolean;
}

/** A part of a sample that could not be had. */
export interface StatsProblem {
  /** Where it would stand: `node.fs`, `node.runtime`, `pods`. */
  readonly part: string;
  readonly message: string;
}

/** What was seen at one moment. */
export interface StatsSample {
  /** Monotonic milliseconds at which reading began: two samples with the same one are the same sample. */
  readonly at: number;
  readonly summary: Summary;
  /** Undefined when the runtime or a file system did not answer. */
  readonly layout: FilesystemLayout | undefined;
  /** Empty when the sample is whole. What is named here is missing in the summary. */
  readonly problems: readonly StatsProblem[];
}

/** How a sample is asked for. */
export interface SampleOptions {
  /** An older one is not good enough. Milliseconds; 0 reads anew. Default: the provider's own, 1 s. */
  readonly maxAgeMs?: number;
  /** The reduced form: no file systems, network, pids, volumes. kubelet: only_cpu_and_memory. */
  readonly onlyCpuAndMemory?: boolean;
  /** The node and its file systems without any pod: what a watch over pressure looks at again and again. */
  readonly onlyNode?: boolean;
  /** How old figures of folders and writable layers may be. Milliseconds. Default: the provider's own, 1 min. kubelet: volumeStatsAggPeriod. */
  readonly diskMaxAgeMs?: number;
  readonly signal?: AbortSignal;
}

/** What {@link StatsProvider.storage} says. */
export interface StorageSample {
  /** Of each pod that runs: `rootfs`, `logs`, `volume`, `ephemeral-storage`. */
  readonly pods: readonly PodStats[];
  readonly problems: readonly StatsProblem[];
}

/** How storage is asked for. */
export interface StorageOptions {
  /** Only these pods' UIDs. Default: all. */
  readonly uids?: ReadonlySet<string>;
  /** As in {@link SampleOptions}. */
  readonly diskMaxAgeMs?: number;
  readonly signal?: AbortSignal;
}

/** What others read statistics through: eviction, the HTTP API, the command line. Nothing is read unless asked. */
export interface StatsProvider {
  /** What cannot be had is named in `problems`: rejects only with the signal's reason, or when all of it takes too long. Who asks at the same time shares one reading. */
  sample(options?: SampleOptions): Promise<StatsSample>;
  /** What pods take of the disk and nothing else: no cgroup is read. Rejects as `sample` does. */
  storage(options?: StorageOptions): Promise<StorageSample>;
}
