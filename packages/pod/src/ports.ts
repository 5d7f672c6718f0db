// SPDX-License-Identifier: Apache-2.0

/**
 * What pod workers and actions need from others, as narrow as it can be said. `apps/agent` fills these ports; tests fill them with
 * `cri-fake` and small objects.
 */
import type { CriClient } from "@holdfast/cri";
import type { Container, Pod, PodStatus } from "@holdfast/core/pod-types";
import type { RuntimePodStatus } from "@holdfast/core/runtime-status";

/** The runtime calls that pod actions make. */
export type PodRuntime = Pick<
  CriClient,
  | "runPodSandbox"
  | "stopPodSandbox"
  | "removePodSandbox"
  | "podSandboxStatus"
  | "listPodSandbox"
  | "createContainer"
  | "startContainer"
  | "stopContainer"
  | "removeContainer"
  | "listContainers"
  | "containerStatus"
  | "execSync"
  | "imageStatus"
  | "pullImage"
>;

/** What the cache says of a pod. A failed look is part of the answer. */
export interface CachedPodStatus {
  readonly status: RuntimePodStatus;
  readonly error: Error | undefined;
}

/** The PLEG's cache, read-only. kubelet: kubecontainer.Cache. */
export interface PodCache {
  get(uid: string): CachedPodStatus;
  /**
   * Waits for a look at the pod that began after `minTime` (monotonic). An exit entered from an event does not count as a look, but shows
   * in the answer. A pod that is missing after a full relist newer than `minTime` answers with an empty status.
   */
  getNewerThan(uid: string, minTime: number, signal: AbortSignal): Promise<CachedPodStatus>;
  /** Asks for a look at one pod soon. kubelet: RequestRelist. */
  requestRelist(uid: string): void;
}

/** Where generated statuses go. One writer per pod: its worker. */
export interface PodStatusPort {
  /**
   * Computes the API status from the runtime's, stores it and returns it.
   * `podIsTerminal`: every container is down for good. kubelet: generateAPIPodStatus + SetPodStatus.
   */
  update(pod: Pod, runtime: RuntimePodStatus, options: PodStatusOptions): PodStatus;
  get(uid: string): PodStatus | undefined;
  /** How long the pod has been active, by the monotonic clock; undefined before it started. */
  activeForMs(uid: string): number | undefined;
  /** The pod is gone: forget it. */
  remove(uid: string): void;
  /** Forgets what was kept, over restarts of the agent, of all pods but these. Optional. kubelet: RemoveOrphanedStatuses. */
  removeOrphanedStatuses?(known: ReadonlySet<string>): void;
}

/** What the worker knows beyond the runtime's status. */
export interface PodStatusOptions {
  readonly podIsTerminal: boolean;
  /** The pod is being ended. */
  readonly terminating?: boolean;
  /** Why a container does not run, by container name, from the last sync's start results. kubelet: reasonCache. */
  readonly waitingReasons: ReadonlyMap<string, WaitingReason>;
  /** Forces phase Failed with this reason (eviction, DeadlineExceeded, admission). */
  readonly failed?: { readonly reason: string; readonly message: string };
  /** Why the pod as a whole does not get on: shown as reason and message while Pending (network not ready, host port taken). */
  readonly waiting?: WaitingReason;
  /** The `seq`s of the events that led to this update. */
  readonly causes?: readonly number[];
}

/** A reason of the kubelet's list (CrashLoopBackOff, ErrImagePull ...) and its message. */
export interface WaitingReason {
  readonly reason: string;
  readonly message: string;
  /** Monotonic: the next attempt comes then, and not before. Absent: with the pod's next sync. */
  readonly nextAttemptAt?: number;
}

/** Node resources: cgroups of pods and what is told to the runtime about containers. Filled by `@holdfast/resource`. */
export interface PodContainerManager {
  /** Creates or updates the pod's cgroup; returns the name for `cgroup_parent`. kubelet: PodContainerManager.EnsureExists. */
  ensureExists(pod: Pod): Promise<string>;
  /** Kills what is left in it and removes it. Removing what is not there is fine. */
  destroy(uid: string): Promise<void>;
  /** UIDs of all pods that have a cgroup of ours. */
  listPodUids(): Promise<readonly string[]>;
  /** Resources of one container as the CRI takes them. */
  containerResources(pod: Pod, container: Container): ContainerResources;
}

/** `LinuxContainerResources` of the CRI, as plain numbers. 0 means not set. */
export interface ContainerResources {
  readonly cpuPeriod: number;
  readonly cpuQuota: number;
  readonly cpuShares: number;
  readonly memoryLimitInBytes: number;
  readonly oomScoreAdj: number;
  readonly cpusetCpus: string;
  readonly cpusetMems: string;
  readonly unified: Readonly<Record<string, string>>;
}

/** What containers are given besides: devices, CPUs. Filled by `@holdfast/device` and `@holdfast/resource`. kubelet: the allocation manager's admit handlers. */
export interface PodAdmission {
  /**
   * Gives the pod what it asks for, before anything of it is made; asked again after a restart of the agent, and then keeps what the pod has.
   * Resolves with why it has to wait; undefined: it has everything. Rejects when the signal aborts. Bounded by the one who fills it.
   */
  admit(pod: Pod, signal: AbortSignal): Promise<WaitingReason | undefined>;
  /** Nothing of the pod runs any more: what it was given is free. Idempotent. */
  release(podUid: string): void;
}

/** What a container is created with for its devices. kubelet: RunContainerOptions of the device manager. */
export interface ContainerDevices {
  /** The pod's own variables win. */
  readonly envs: readonly { readonly name: string; readonly value: string }[];
  /** Before the volumes'. */
  readonly mounts: readonly {
    readonly containerPath: string;
    readonly hostPath: string;
    readonly readOnly: boolean;
  }[];
  readonly devices: readonly {
    readonly containerPath: string;
    readonly hostPath: string;
    readonly permissions: string;
  }[];
  /** The agent's own win. */
  readonly annotations: Readonly<Record<string, string>>;
  /** Names that the runtime resolves. */
  readonly cdiDevices: readonly string[];
}

/** Asked at each start of a container. Filled by `@holdfast/device`. */
export interface ContainerDeviceSource {
  /** Rejects when the container must not start now: the reason is shown, and it is tried again. */
  containerDevices(pod: Pod, container: Container, signal: AbortSignal): Promise<ContainerDevices>;
}

/** Volumes of pods. Filled by `@holdfast/volume`. */
export interface PodVolumes {
  /** Makes every volume of the pod ready and returns its host path by volume name. Throws `bad-input` or `retryable`. */
  setUp(pod: Pod, podDir: string): Promise<ReadonlyMap<string, MountedVolume>>;
  /** Unmounts and removes all volumes under the pod's folder. */
  tearDown(podUid: string, podDir: string): Promise<void>;
}

/** One volume of a pod, ready to be mounted. */
export interface MountedVolume {
  readonly hostPath: string;
  readonly readOnly: boolean;
}

/** What liveness and startup probes say of a container. */
export interface ProbeResults {
  /** `undefined`: no result yet. */
  liveness(containerId: string): "success" | "failure" | undefined;
  startup(containerId: string): "success" | "failure" | undefined;
}

/** Keeps what removes images off those that are about to be used. Filled by `@holdfast/gc`. */
export interface ImageUse {
  /**
   * Runs `work` while the image is held. `hold.add` also holds the id that the image turned out to have; true when just that was being removed: then
   * look again whether the image is there.
   */
  use<T>(
    image: string,
    work: (hold: { add(id: string): Promise<boolean> }) => Promise<T>,
    options: { readonly by: string; readonly signal: AbortSignal },
  ): Promise<T>;
  /** An image was pulled for a pod of ours. `startedAt`: monotonic, when the pull began. */
  imagePulled(imageId: string, startedAt: number): void;
}

/** Files of pods: folders, logs, the termination message. Filled by `src/node/`. */
export interface PodFiles {
  /** With its parents; one that exists is fine. */
  mkdir(path: string, mode: number): Promise<void>;
  /** Removes a tree; missing is fine. Never follows a symbolic link and never crosses a mount. */
  removeTree(path: string): Promise<void>;
  /**
   * Writes temp + fsync + rename, with exactly this mode whatever the umask is. With `inPlace` the file itself is written, without fsync,
   * and missing folders above it are made: for files that are written anew at each container start, and may be mounted.
   */
  writeFile(
    path: string,
    content: string,
    mode: number,
    options?: { readonly inPlace?: boolean },
  ): Promise<void>;
  /** At most `limitBytes`; undefined when the file does not exist. With `fromEnd` the last bytes. */
  readFile(
    path: string,
    limitBytes: number,
    options?: { readonly fromEnd?: boolean },
  ): Promise<string | undefined>;
  /** Names in a folder; empty when it does not exist. */
  list(path: string): Promise<readonly string[]>;
  /** Makes missing folders above it; replaces a link that exists. */
  symlink(target: string, path: string): Promise<void>;
  /** Where a link leads; undefined for what is no link, or missing. */
  readLink(path: string): Promise<string | undefined>;
  /** Missing is fine. */
  removeFile(path: string): Promise<void>;
}

/** What survives an agent's restart, by pod and key. Filled by the store; memory will do in a test. */
export interface PodCheckpoint {
  get(key: string): string | undefined;
  set(key: string, value: string): void;
  delete(key: string): void;
  entries(prefix: string): readonly (readonly [string, string])[];
}

/** Whether the runtime and its network are ready. Filled by `@holdfast/node`. */
export interface RuntimeReadiness {
  /** Undefined when ready; else why not, as shown to people. */
  networkProblem(): string | undefined;
  runtimeProblem(): string | undefined;
}
