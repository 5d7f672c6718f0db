// SPDX-License-Identifier: Apache-2.0

/**
 * What the runtime says about one pod, in the words that every manager shares. kubelet: kubecontainer.PodStatus.
 * The PLEG's cache is its one writer. Wall times are milliseconds since the epoch as the runtime gave them.
 */
export interface RuntimePodStatus {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  /** From the newest sandbox, if it is ready; empty with hostNetwork. */
  readonly ips: readonly string[];
  /** Newest first. */
  readonly sandboxes: readonly SandboxRecord[];
  /** Newest first, of all sandboxes. */
  readonly containers: readonly ContainerRecord[];
}

/** One pod sandbox. */
export interface SandboxRecord {
  readonly id: string;
  readonly attempt: number;
  readonly state: "ready" | "notready";
  readonly createdAt: number;
  /** Undefined when the runtime reported no network status (hostNetwork); empty when it has no address. */
  readonly ip: string | undefined;
  readonly hostNetwork: boolean;
}

/** kubelet: kubecontainer.State. */
export type ContainerState = "created" | "running" | "exited" | "unknown";

/** One container, dead or alive. kubelet: kubecontainer.Status. */
export interface ContainerRecord {
  readonly id: string;
  readonly name: string;
  readonly sandboxId: string;
  readonly state: ContainerState;
  readonly attempt: number;
  readonly createdAt: number;
  readonly startedAt: number;
  readonly finishedAt: number;
  readonly exitCode: number;
  /** As the runtime gives it: "Completed", "Error", "OOMKilled", "" ... */
  readonly reason: string;
  readonly message: string;
  /** Name of the image as the manifest had it. */
  readonly image: string;
  /** The runtime's reference: what `imageID` shows. */
  readonly imageRef: string;
  /** From the annotation; "" when absent. kubelet: HashContainer. */
  readonly hash: string;
  readonly restartCount: number;
  /** Who its first process is, where the runtime tells (containerd 2). kubelet: ContainerUser. */
  readonly user?: {
    readonly uid: number;
    readonly gid: number;
    readonly supplementalGroups?: readonly number[];
  };
  /** What the runtime has set for it, where it says so. */
  readonly resources?: AppliedResources;
  /** Entered from containerd's exit event and not yet confirmed by a status call (DESIGN.md, principle 1). */
  readonly exitUnconfirmed?: boolean;
}

/** What holds for a container now, as far as a runtime can tell; what is not limited is absent. kubelet: kubecontainer.ContainerResources. */
export interface AppliedResources {
  /** Thousandths of a CPU, from the kernel's shares: never less than 2. */
  readonly cpuRequestMilli?: number;
  readonly cpuLimitMilli?: number;
  readonly memoryLimitBytes?: number;
}

/** A pod of which the runtime knows nothing. */
export function emptyRuntimePodStatus(uid: string): RuntimePodStatus {
  return { uid, name: "", namespace: "", ips: [], sandboxes: [], containers: [] };
}

/**
 * The record of each container name that counts: the newest one that runs, else the newest. Containers come newest first. A newer one that does not run
 * beside one that does is a left-over: a create that was carried out long after its caller had died.
 */
export function newestByName(status: RuntimePodStatus): ReadonlyMap<string, ContainerRecord> {
  const newest = new Map<string, ContainerRecord>();
  for (const record of status.containers) {
    const known = newest.get(record.name);
    if (known === undefined || (record.state === "running" && known.state !== "running"))
      newest.set(record.name, record);
  }
  return newest;
}
