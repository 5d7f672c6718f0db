// SPDX-License-Identifier: Apache-2.0

/**
 * Files of pods on a real disk.
 *
 * Invariants: no path outside the given roots is touched; a tree is removed through open folders, so that no link, not even one that is put there
 * meanwhile, leads out of it; what is mounted in a tree is never removed. Lost on a crash: at most a `.tmp` file beside the real one.
 */
import { closeSync, constants, fchmodSync, mkdirSync, openSync, writeFileSync } from "node:fs";
import type { Stats } from "node:fs";
import {
  chmod,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  readlink,
  rename,
  rmdir,
  symlink,
  unlink,
} from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { dirname, normalize } from "node:path";
import { errorText, HoldfastError } from "@holdfast/core/errors";
import { hasErrorCode, ignoreMissing } from "@holdfast/core/node";
import type { PodFiles } from "../ports.ts";
import { mountPointsIn } from "./mount-points.ts";

const { O_CREAT, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_TRUNC, O_WRONLY } = constants;
/** Each level holds an open folder. */
const MAX_DEPTH = 256;
const PARENT_MODE = 0o755;

/** {@link PodFiles} under the given absolute folders: the pods' folders, pod logs, container log links. */
export function nodePodFiles(roots: readonly string[]): PodFiles {
  return new NodePodFiles({ roots });
}

/** How {@link NodePodFiles} is made. */
export interface NodePodFilesOptions {
  /** Absolute folders under which everything lies: the pods' folders, pod logs, container log links. */
  readonly roots: readonly string[];
  /** Text of the mount table. Default: /proc/self/mountinfo. */
  readonly mountInfo?: () => Promise<string>;
}

/** {@link PodFiles} of this machine. Errors are Node's own, except a path that is refused: `POD_PATH`, and `POD_TREE` for a tree that is not removed. */
export class NodePodFiles implements PodFiles {
  readonly #roots: readonly string[];
  readonly #mountInfo: () => Promise<string>;
  #temporary = 0;

  constructor(options: NodePodFilesOptions) {
    this.#roots = options.roots.map((root) => normalize(root));
    this.#mountInfo = options.mountInfo ?? (() => readFile("/proc/self/mountinfo", "utf8"));
  }

  async mkdir(path: string, mode: number): Promise<void> {
    this.#check(path);
    await mkdir(dirname(path), { recursive: true, mode: PARENT_MODE });
    try {
      await mkdir(path, { mode });
      // Whatever the umask took away.
      await chmod(path, mode);
    } catch (error) {
      if (!hasErrorCode(error, "EEXIST") || !(await lstat(path)).isDirectory()) throw error;
    }
  }

  async removeTree(path: string): Promise<void> {
    const root = this.#check(path);
    const mounted = mountPointsIn(await this.#mountInfo(), path);
    if (mounted.length > 0)
      throw treeError(path, `${mounted[0]} is mounted${mounted.length > 1 ? ", and others" : ""}`);
    const names = path.slice(root.length + 1).split("/");
    const last = names.pop() ?? "";
    const opened: FileHandle[] = [];
    try {
      let parent = await open(root, O_RDONLY | O_DIRECTORY);
      opened.push(parent);
      for (const name of names) {
        parent = await open(child(parent, name), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        opened.push(parent);
      }
      await removeEntry(parent, last, (await parent.stat()).dev, path, 0);
    } catch (error) {
      if (!hasErrorCode(error, "ENOENT")) throw error;
    } finally {
      for (const handle of opened) await handle.close();
    }
  }

  async writeFile(
    path: string,
    content: string,
    mode: number,
    options: { readonly inPlace?: boolean } = {},
  ): Promise<void> {
    this.#check(path);
    try {
      if (options.inPlace === true) this.#writeInPlace(path, content, mode);
      else await this.#replace(path, content, mode);
    } catch (error) {
      throw writeError(path, error);
    }
  }

  async #replace(path: string, content: string, mode: number): Promise<void> {
    const temporary = `${path}.${++this.#temporary}.tmp`;
    try {
      {
        await using file = await open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode);
        await file.chmod(mode);
        await file.writeFile(content);
        await file.sync();
      }
      await rename(temporary, path);
    } catch (error) {
      await ignoreMissing(unlink(temporary)).catch(() => undefined);
      throw error;
    }
  }

  async readFile(
    path: string,
    limitBytes: number,
    options: { readonly fromEnd?: boolean } = {},
  ): Promise<string | undefined> {
    this.#check(path);
    let file: FileHandle;
    try {
      // Not blocking: what was a file may have become a pipe.
      file = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    } catch (error) {
      if (hasErrorCode(error, "ENOENT")) return undefined;
      throw error;
    }
    await using handle = file;
    const facts = await handle.stat();
    if (!facts.isFile()) throw new HoldfastError("POD_PATH", "bad-input", `${path} is no regular file`);
    const length = Math.min(facts.size, limitBytes);
    const buffer = Buffer.alloc(length);
    const start = options.fromEnd === true ? facts.size - length : 0;
    const { bytesRead } = await handle.read(buffer, 0, length, start);
    return buffer.toString("utf8", 0, bytesRead);
  }

  async list(path: string): Promise<readonly string[]> {
    this.#check(path, true);
    try {
      return await readdir(path);
    } catch (error) {
      if (hasErrorCode(error, "ENOENT")) return [];
      throw error;
    }
  }

  async symlink(target: string, path: string): Promise<void> {
    this.#check(path);
    const make = (): Promise<void> => symlink(target, path);
    try {
      await make();
    } catch (error) {
      if (hasErrorCode(error, "ENOENT")) {
        await mkdir(dirname(path), { recursive: true, mode: PARENT_MODE });
        return make();
      }
      if (!hasErrorCode(error, "EEXIST")) throw error;
      if (!(await lstat(path)).isSymbolicLink()) throw error;
      if ((await readlink(path)) === target) return;
      const temporary = `${path}.${++this.#temporary}.tmp`;
      await ignoreMissing(unlink(temporary));
      await symlink(target, temporary);
      await rename(temporary, path);
    }
  }

  async readLink(path: string): Promise<string | undefined> {
    this.#check(path);
    try {
      return await readlink(path);
    } catch (error) {
      if (hasErrorCode(error, "ENOENT") || hasErrorCode(error, "EINVAL")) return undefined;
      throw error;
    }
  }

  async removeFile(path: string): Promise<void> {
    this.#check(path);
    await ignoreMissing(unlink(path));
  }

  /**
   * Not through the thread pool: each restart waits for two such files, which take some microseconds, and the four turns of each through the pool took
   * 3 to 11 ms of a restart on a machine that is busy with it. The disk is the one that state.db is written to in the same way.
   */
  #writeInPlace(path: string, content: string, mode: number): void {
    const flags = O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK;
    let file: number;
    try {
      file = openSync(path, flags, mode);
    } catch (error) {
      if (!hasErrorCode(error, "ENOENT")) throw error;
      mkdirSync(dirname(path), { recursive: true, mode: PARENT_MODE });
      file = openSync(path, flags, mode);
    }
    try {
      fchmodSync(file, mode);
      if (content !== "") writeFileSync(file, content);
    } finally {
      closeSync(file);
    }
  }

  /** The root that the path is under. */
  #check(path: string, rootItself = false): string {
    const root = this.#roots.find((one) => path.startsWith(`${one}/`) || (rootItself && path === one));
    if (root === undefined || normalize(path) !== path || path.endsWith("/") || path.includes("\0"))
      throw new HoldfastError("POD_PATH", "bad-input", `${JSON.stringify(path)} is not under a pod folder`);
    return root;
  }
}

/** What Node says of a write names no file, and of a full disk no disk. */
function writeError(path: string, error: unknown): HoldfastError {
  const text = hasErrorCode(error, "ENOSPC", "EDQUOT")
    ? "there is no space left on its disk"
    : errorText(error);
  return new HoldfastError("POD_WRITE", "retryable", `writing ${path}: ${text}`);
}

/** Through the open folder itself, whatever its path leads to by now. */
function child(parent: FileHandle, name: string): string {
  return `/proc/self/fd/${parent.fd}/${name}`;
}

/** Removes `name` in the open folder `parent`, and all below it. */
async function removeEntry(
  parent: FileHandle,
  name: string,
  device: number,
  path: string,
  depth: number,
): Promise<void> {
  const entry = child(parent, name);
  const facts: Stats = await lstat(entry);
  if (!facts.isDirectory()) return ignoreMissing(unlink(entry));
  if (facts.dev !== device) throw treeError(path, `another file system is mounted at ${name}`);
  if (depth >= MAX_DEPTH) throw treeError(path, `it is deeper than ${MAX_DEPTH} folders`);
  {
    await using folder = await open(entry, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    for (const below of await readdir(`/proc/self/fd/${folder.fd}`))
      await removeEntry(folder, below, device, path, depth + 1);
  }
  await ignoreMissing(rmdir(entry));
}

function treeError(path: string, why: string): HoldfastError {
  return new HoldfastError("POD_TREE", "retryable", `${path} is not removed: ${why}`);
}
