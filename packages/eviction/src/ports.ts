// SPDX-License-Identifier: Apache-2.0

/**
 * What eviction needs from others. Figures have the shape of the kubelet's Summary API, as far as they are read here: a summary of `@holdfast/stats`, or of a
 * kubelet's `/stats/summary`, fits as it is.
 */
import type { Pod } from "@holdfast/core/pod-types";
import type { FilesystemLayout } from "./parse-thresholds.ts";

/** Memory, in bytes. */
export interface MemoryFigures {
  readonly availableBytes?: number;
  readonly workingSetBytes?: number;
  /** Page cache included. */
  readonly usageBytes?: number;
  /** Pressure stall information: only with a threshold on it. */
  readonly psi?: PressureFigures;
}

/** Percent of the time in which some or all tasks waited. */
export interface PressureFigures {
  readonly some: PressureAverages;
  readonly full: PressureAverages;
}

/** Percent, over so many seconds. */
export interface PressureAverages {
  readonly avg10: number;
  readonly avg60: number;
  readonly avg300: number;
}

/** A file system, or what something takes of one. */
export interface FsFigures {
  readonly availableBytes?: number;
  readonly capacityBytes?: number;
  readonly usedBytes?: number;
  readonly inodesFree?: number;
  readonly inodes?: number;
  readonly inodesUsed?: number;
}

/** The machine. What is not known is left out. */
export interface NodeFigures {
  readonly memory?: MemoryFigures;
  /** The file system of pods' folders. */
  readonly fs?: FsFigures;
  readonly runtime?: { readonly imageFs?: FsFigures; readonly containerFs?: FsFigures };
  readonly rlimit?: { readonly maxpid?: number; readonly curproc?: number };
  /** `pods` is the cgroup of all pods. */
  readonly systemContainers?: readonly { readonly name: string; readonly memory?: MemoryFigures }[];
}

/** One container of a pod. */
export interface ContainerFigures {
  readonly name: string;
  readonly memory?: MemoryFigures;
  /** The writable layer. */
  readonly rootfs?: FsFigures;
  readonly logs?: FsFigures;
}

/** One pod. */
export interface PodFigures {
  readonly podRef: { readonly uid: string };
  readonly memory?: MemoryFigures;
  readonly process_stats?: { readonly process_count?: number };
  readonly containers: readonly ContainerFigures[];
  readonly volume?: readonly (FsFigures & { readonly name: string })[];
}

/** The machine at one moment. */
export interface NodeSample {
  /** Monotonic milliseconds at which reading began: two samples with the same one are the same sample. */
  readonly at: number;
  readonly node: NodeFigures;
  /** Undefined while a file system does not answer. */
  readonly layout: FilesystemLayout | undefined;
  /** What could not be had, and why. */
  readonly problems: readonly { readonly part: string; readonly message: string }[];
}

/** Where figures come from. Each call has an end of its own; the manager gives up after 10 s. */
export interface StatsProvider {
  /** Asked in each round: has to be cheap. Read anew, never from a cache. */
  node(signal: AbortSignal): Promise<NodeSample>;
  /** All pods that run, asked when one of them has to go. */
  pods(signal: AbortSignal): Promise<readonly PodFigures[]>;
  /**
   * Local storage of these pods: `rootfs`, `logs`, `volume`; asked in each round while pods with limits on it run. Figures may be as old as a minute. Absent: limits
   * are not enforced.
   */
  storage?(pods: readonly Pod[], signal: AbortSignal): Promise<readonly PodFigures[]>;
}

/** Memory in use, read many times a second: one small file, on the calling thread. */
export interface MemoryUsageReader {
  /** Bytes, page cache included, of the machine or of all pods together; undefined where there is no such cgroup. */
  usageBytes(of: "node" | "pods"): number | undefined;
}

/** How a pod has to end. */
export interface EvictionRequest {
  /** Of the pod's status, phase Failed. */
  readonly reason: "Evicted";
  readonly message: string;
  /** Seconds; replaces the pod's own if it is shorter. */
  readonly graceSeconds: number;
  /** For the sake of the node: the status gets condition DisruptionTarget, reason TerminationByKubelet. False for a limit of the pod's own. */
  readonly disruption: boolean;
  /** The `seq`s of the events that led to it. */
  readonly causes: readonly number[];
}

/** Ends pods. */
export interface PodKiller {
  /** Pods that run or are about to: not those that have ended. kubelet: getActivePods. */
  activePods(): readonly Pod[];
  /** Resolves when nothing of the pod runs. Rejects with kind `deadline` when that takes longer than 1.5 times the grace, at least 10 s; it still ends. kubelet: killPodNow. */
  kill(pod: Pod, request: EvictionRequest, signal: AbortSignal): Promise<void>;
  /** What the pod held is free: volumes are down, containers are gone. Absent: once it does not run. kubelet: PodCleanedUp. */
  isCleanedUp?(pod: Pod): boolean;
}

/** What the node can give up before a pod has to go. Each call has an end of its own. */
export interface NodeReclaim {
  /** How many went: containerd frees their room a moment after its answer, which is then waited for. Those of pods that have ended too. kubelet: DeleteAllUnusedContainers. */
  deleteUnusedContainers(causes: readonly number[], signal: AbortSignal): Promise<number>;
  /** Their room is free when it resolves. kubelet: DeleteUnusedImages. */
  deleteUnusedImages(causes: readonly number[], signal: AbortSignal): Promise<void>;
}
