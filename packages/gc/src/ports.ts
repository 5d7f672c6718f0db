// SPDX-License-Identifier: Apache-2.0

/** What garbage collection needs from others, as narrow as it can be said. `apps/agent` fills these ports; a `CriClient` fits those of the runtime. */
import type { CriClient } from "@holdfast/cri";

/** The runtime calls of image GC. */
export type ImageGcRuntime = Pick<
  CriClient,
  | "listImages"
  | "imageStatus"
  | "removeImage"
  | "imageFsInfo"
  | "listContainers"
  | "containerStatus"
  | "listPodSandbox"
  | "podSandboxStatus"
  | "status"
> &
  Partial<Pick<CriClient, "listContainerStats">>;

/** The runtime calls of container GC. */
export type ContainerGcRuntime = Pick<
  CriClient,
  | "listContainers"
  | "listPodSandbox"
  | "stopContainer"
  | "removeContainer"
  | "stopPodSandbox"
  | "removePodSandbox"
>;

/** The runtime calls of log rotation. */
export type ContainerLogRuntime = Pick<CriClient, "reopenContainerLog">;

/** Figures of one file system. Bytes. */
export interface FilesystemFigures {
  readonly capacityBytes: number;
  /** What is free for others than root. */
  readonly availableBytes: number;
}

/** Reads the figures of the file system that `mountpoint` lies on. May hang on a dead mount: it is never waited for longer than 10 s. */
export type ReadFilesystem = (mountpoint: string) => Promise<FilesystemFigures>;

/**
 * Reads one of the runtime's blobs by its digest: a manifest. `mountpoint` is the image file system's, as ImageFsInfo has it. Undefined when it is not to be had.
 */
export type ReadBlob = (mountpoint: string, digest: string) => Promise<string | undefined>;

/** What survives an agent's restart. Filled by the store; memory will do in a test. */
export interface GcCheckpoint {
  get(key: string): string | undefined;
  set(key: string, value: string): void;
  delete(key: string): void;
  entries(prefix: string): readonly (readonly [string, string])[];
}

/** What is known of pods. kubelet: podStateProvider. */
export interface GcPods {
  /** Every source has listed once. Nothing is removed wholly before. */
  allSourcesReady(): boolean;
  /** The pod is gone for good: all of its containers, sandboxes and logs may go. kubelet: ShouldPodContentBeRemoved. */
  shouldPodContentBeRemoved(uid: string): boolean;
  /** Nothing of the pod should run any more. kubelet: ShouldPodRuntimeBeRemoved. */
  shouldPodRuntimeBeRemoved(uid: string): boolean;
  /** A pod's folder or the store proves that what bears this UID is ours. Log folders carry no labels. */
  ownsPod(uid: string): boolean;
}

/** A file in a log folder. */
export interface LogFile {
  readonly name: string;
  readonly bytes: number;
}

/** Log files. Filled by `nodeLogFiles`; no path outside its roots is touched, and no link is followed. */
export interface LogFiles {
  /** Bytes of a regular file; undefined when there is none. */
  size(path: string): Promise<number | undefined>;
  /** Regular files of a folder; empty when it does not exist. */
  list(folder: string): Promise<readonly LogFile[]>;
  /** Folders of a folder; empty when it does not exist. */
  folders(folder: string): Promise<readonly string[]>;
  rename(from: string, to: string): Promise<void>;
  /** Missing is fine. */
  remove(path: string): Promise<void>;
  /** Removes a tree; missing is fine. */
  removeTree(path: string): Promise<void>;
  /**
   * Calls `onChange` when the file is written to, moved or removed, until it is disposed; perhaps more often than that. Undefined when it cannot be watched.
   * Optional: without it, idle logs are looked at again and again.
   */
  watch?(path: string, onChange: () => void): Disposable | undefined;
  /** Writes `path.gz` with the mode of `path`, by way of `path.tmp`, then removes `path`. */
  compress(path: string, signal: AbortSignal): Promise<void>;
}
