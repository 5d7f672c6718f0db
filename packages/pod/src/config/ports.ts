// SPDX-License-Identifier: Apache-2.0

/** What the file source needs from the machine. `src/node/` fills it; tests fill it with memory. */

/** What `stat` says of a path, symbolic links followed. */
export interface ManifestFacts {
  readonly kind: "file" | "directory" | "other";
  /** Bytes. */
  readonly size: number;
  /** Wall time of the last write, milliseconds. */
  readonly modifiedAt: number;
  /** Changes whenever the file was replaced or written: device, inode, size and times. */
  readonly version: string;
}

/**
 * Something may have changed. `entry`: the name appeared, vanished or was renamed onto; `content`: bytes or attributes of the file changed;
 * `all`: no path is known, look at everything.
 */
export type ManifestHint =
  | { readonly kind: "entry" | "content"; readonly path: string }
  | { readonly kind: "all" };

/** A watch that was begun. */
export interface ManifestWatch {
  close(): Promise<void>;
}

/** A folder of manifests, or one file. Every call rejects with a `HoldfastError`. */
export interface ManifestFolder {
  /** The folder's or file's path, absolute. */
  readonly path: string;
  /** Absolute paths of the entries that may be manifests, sorted, not recursive. Rejects with `not-found` when the folder is not there. */
  list(): Promise<readonly string[]>;
  /** Rejects with `not-found` only when there is no such entry: a link to nothing is another error. */
  stat(path: string): Promise<ManifestFacts>;
  /** All bytes. Rejects with `bad-input` when there are more than `limitBytes`. Never waits for a writer. */
  read(path: string, limitBytes: number): Promise<Uint8Array>;
  /**
   * Hints from now on, until closed. `onLost` is called at most once, when the watch ended by itself (the folder was moved or removed).
   * Hints may be lost, never trusted alone.
   */
  watch(onHint: (hint: ManifestHint) => void, onLost: (reason: string) => void): Promise<ManifestWatch>;
}

/** The last good text of each manifest, kept on disk: what runs while a file is broken, over restarts of the agent. */
export interface LastGoodManifests {
  /** All that is kept, by path. */
  list(): Promise<ReadonlyMap<string, string>>;
  set(path: string, text: string): Promise<void>;
  /** Deleting what is not there is fine. */
  delete(path: string): Promise<void>;
}
