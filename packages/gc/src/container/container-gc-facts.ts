// SPDX-License-Identifier: Apache-2.0

/** What plans of container GC are made from, and what they are. Wall times in milliseconds, as the runtime gave them. */

/** Whose a container or sandbox is. */
export interface GcPodName {
  readonly podUid: string;
  readonly podName: string;
  readonly podNamespace: string;
}

/** A container of ours. */
export interface GcContainer extends GcPodName {
  readonly id: string;
  readonly name: string;
  readonly sandboxId: string;
  readonly state: "created" | "running" | "exited" | "unknown";
  readonly createdAt: number;
  /** How often its name was started before. */
  readonly attempt: number;
  /** Its part of a list of containers. */
  readonly listBytes: number;
  /** Grace of its pod, from its annotations; for one whose state is unknown. */
  readonly graceSeconds: number;
}

/** A sandbox of ours. */
export interface GcSandbox extends GcPodName {
  readonly id: string;
  readonly ready: boolean;
  readonly createdAt: number;
  readonly attempt: number;
}

/** What a plan is made from. */
export interface ContainerGcFacts {
  readonly containers: readonly GcContainer[];
  readonly sandboxes: readonly GcSandbox[];
  /** Names of folders with the logs of pods. */
  readonly logFolders: readonly string[];
  /** Every source has listed once: pods that nobody wants are known. */
  readonly allSourcesReady: boolean;
  /** Everything of the pod may go. kubelet: ShouldPodContentBeRemoved. */
  readonly isGone: (podUid: string) => boolean;
  /** The pod has ended for good, and is wanted still. kubelet: ShouldPodRuntimeBeRemoved. */
  readonly isTerminated: (podUid: string) => boolean;
  /** Proof that a log folder is of a pod of ours. */
  readonly isOurs: (podUid: string) => boolean;
  /** Wall time. */
  readonly now: number;
  /** Disk pressure: dead containers of ended pods go too. kubelet: evictNonDeletedPods. */
  readonly evictTerminated: boolean;
}

/** Why something goes or stays. */
export type ContainerRule =
  | "running"
  | "starting"
  | "too-young"
  | "kept"
  | "pod-gone"
  | "pod-terminated"
  | "per-container-limit"
  | "node-limit"
  | "list-bytes"
  | "ready"
  | "has-containers"
  | "newest"
  | "older-sandbox"
  | "not-ours"
  | "pod-known"
  | "sources-not-ready";

/** One line of a plan. */
export interface ContainerGcEntry<Thing> {
  readonly thing: Thing;
  readonly verdict: "remove" | "keep";
  readonly rule: ContainerRule;
  readonly reason: string;
}

/** What would be done: containers first, then sandboxes, then folders; within each, in the order in which they go. */
export interface ContainerGcPlan {
  readonly containers: readonly ContainerGcEntry<GcContainer>[];
  readonly sandboxes: readonly ContainerGcEntry<GcSandbox>[];
  readonly logFolders: readonly ContainerGcEntry<string>[];
  /** The list of containers now, and after the plan. */
  readonly listBytes: number;
  readonly listBytesAfter: number;
}
