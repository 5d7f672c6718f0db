// SPDX-License-Identifier: Apache-2.0

/** What a path is, links followed. */
export type PathKind = "missing" | "file" | "directory" | "socket" | "char-device" | "block-device" | "other";

/** The host's files, as volumes need them. Filled by `src/node/`. */
export interface VolumeHost {
  kindOf(path: string): Promise<PathKind>;
  /** Makes the folder and its parents; `mode` is set whatever the umask. */
  makeFolder(path: string, mode: number): Promise<void>;
  makeFile(path: string, mode: number): Promise<void>;
  setGroup(path: string, gid: number): Promise<void>;
  /** Whether something is mounted exactly here. */
  isMountPoint(path: string): Promise<boolean>;
  /** Mounts a tmpfs of at most `sizeBytes` (0: the kernel's default). */
  mountTmpfs(path: string, sizeBytes: number): Promise<void>;
  unmount(path: string): Promise<void>;
  /** Removes a tree without following links or crossing into a mount. Missing is fine. */
  removeTree(path: string): Promise<void>;
  list(path: string): Promise<readonly string[]>;
}
