// SPDX-License-Identifier: Apache-2.0

/** A disk in memory, for pods' files and volumes alike: folders, files, links, mounts. Refuses what a real one refuses. */
import { HoldfastError } from "@holdfast/core/errors";
import type { LogSink } from "@holdfast/cri-fake";
import type { PodFiles } from "@holdfast/pod";
import type { PathKind, VolumeHost } from "@holdfast/volume";

type Entry =
  | { readonly kind: "folder" }
  | { readonly kind: "file"; readonly text: string }
  | { readonly kind: "link"; readonly target: string };

const FOLDER: Entry = { kind: "folder" };

/** See the top of the file. Paths are absolute and without a slash at the end. */
export class MemoryDisk {
  readonly #entries = new Map<string, Entry>();
  readonly #mounts = new Set<string>();
  writes = 0;
  /** Nothing can be made or written; what is there can be read and removed. */
  full = false;

  /** Everything below a folder, sorted. */
  below(folder: string): string[] {
    return [...this.#entries.keys()].filter((path) => path.startsWith(`${folder}/`)).sort();
  }

  /** Names directly in a folder. */
  names(folder: string): string[] {
    const names = this.below(folder).map((path) => path.slice(folder.length + 1).split("/")[0] ?? "");
    return [...new Set(names)];
  }

  get mounts(): readonly string[] {
    return [...this.#mounts];
  }

  readonly files: PodFiles = {
    mkdir: async (path) => this.#makeFolders(path),
    removeTree: async (path) => this.#removeTree(path),
    writeFile: async (path, content, _mode, options) => {
      if (options?.inPlace === true) this.#makeFolders(parent(path));
      else if (!this.#entries.has(parent(path))) throw missing(path);
      this.writes += 1;
      this.#set(path, { kind: "file", text: content });
    },
    readFile: async (path, limitBytes, options) => {
      const entry = this.#entries.get(path);
      if (entry?.kind !== "file") return undefined;
      return options?.fromEnd === true ? entry.text.slice(-limitBytes) : entry.text.slice(0, limitBytes);
    },
    list: async (path) => this.names(path),
    symlink: async (target, path) => {
      this.#makeFolders(parent(path));
      this.#set(path, { kind: "link", target });
    },
    readLink: async (path) => {
      const entry = this.#entries.get(path);
      return entry?.kind === "link" ? entry.target : undefined;
    },
    removeFile: async (path) => void this.#entries.delete(path),
  };

  readonly volumes: VolumeHost = {
    kindOf: async (path): Promise<PathKind> => {
      const kind = this.#entries.get(path)?.kind;
      return kind === undefined ? "missing" : kind === "folder" ? "directory" : "file";
    },
    makeFolder: async (path) => this.#makeFolders(path),
    makeFile: async (path) => this.#set(path, { kind: "file", text: "" }),
    setGroup: async () => {},
    isMountPoint: async (path) => this.#mounts.has(path),
    mountTmpfs: async (path) => void this.#mounts.add(path),
    unmount: async (path) => void this.#mounts.delete(path),
    removeTree: async (path) => this.#removeTree(path),
    list: async (path) => this.names(path),
  };

  /** Where the runtime writes logs. */
  readonly logs: LogSink = {
    append: (path, line) => {
      const entry = this.#entries.get(path);
      // The runtime makes no folders: without one the log is lost.
      if (this.full || !this.#entries.has(parent(path))) return;
      this.#entries.set(path, { kind: "file", text: (entry?.kind === "file" ? entry.text : "") + line });
    },
    reopen() {},
  };

  #makeFolders(path: string): void {
    for (let at = path; at !== ""; at = parent(at)) {
      const entry = this.#entries.get(at);
      if (entry !== undefined && entry.kind !== "folder")
        throw new HoldfastError("TEST_DISK", "permanent", `${at} is no folder`);
      if (entry === undefined) this.#set(at, FOLDER);
    }
  }

  #set(path: string, entry: Entry): void {
    if (this.full)
      throw Object.assign(new Error(`ENOSPC: no space left on device, write '${path}'`), { code: "ENOSPC" });
    this.#entries.set(path, entry);
  }

  #removeTree(path: string): void {
    const mounted = this.mounts.find((at) => at === path || at.startsWith(`${path}/`));
    if (mounted !== undefined) throw new HoldfastError("TEST_DISK", "retryable", `${mounted} is mounted`);
    for (const at of [path, ...this.below(path)]) this.#entries.delete(at);
  }
}

function parent(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}

function missing(path: string): HoldfastError {
  return new HoldfastError("TEST_DISK", "not-found", `${parent(path)}: there is no such folder`);
}
