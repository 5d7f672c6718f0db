// SPDX-License-Identifier: Apache-2.0

/**
 * The manifest folder, or one manifest file, on this machine.
 *
 * Owns: a chokidar watcher. Invariants: nothing here waits for a writer (no pipe is opened for reading); a watch that lost its folder ends itself.
 */
import { constants } from "node:fs";
import type { BigIntStats } from "node:fs";
import { lstat, open, readdir, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { watch } from "chokidar";
import type { FSWatcher } from "chokidar";
import { errorText, HoldfastError } from "@holdfast/core/errors";
import type { ErrorKind } from "@holdfast/core/errors";
import { manifestTooLarge } from "../config/manifest-looker.ts";
import { isManifestName } from "../config/manifest-name.ts";
import type { ManifestFacts, ManifestFolder, ManifestHint, ManifestWatch } from "../config/ports.ts";

/** kubelet: staticPodPath. */
export class NodeManifestFolder implements ManifestFolder {
  readonly path: string;
  /** The path was last seen as a file: when it is gone and its folder is not, the file was deleted. */
  #isFile = false;

  constructor(path: string) {
    this.path = resolve(path);
  }

  async list(): Promise<readonly string[]> {
    return await translated(this.path, async () => {
      try {
        this.#isFile = !(await stat(this.path)).isDirectory();
      } catch (error) {
        if (!this.#isFile || errnoOf(error) !== "ENOENT") throw error;
        await stat(dirname(this.path));
        return [];
      }
      if (this.#isFile) return [this.path];
      const names = await readdir(this.path);
      return names
        .filter(isManifestName)
        .toSorted()
        .map((name) => join(this.path, name));
    });
  }

  async stat(path: string): Promise<ManifestFacts> {
    return await translated(path, async () => {
      try {
        return factsOf(await stat(path, { bigint: true }));
      } catch (error) {
        if (errnoOf(error) !== "ENOENT") throw error;
        // Only what has no entry is gone; a link to nothing is there.
        if ((await lstat(path)).isSymbolicLink())
          throw new HoldfastError("POD_MANIFEST_LINK", "permanent", "it is a symbolic link to nothing");
        throw error;
      }
    });
  }

  async read(path: string, limitBytes: number): Promise<Uint8Array> {
    return await readManifestFile(path, limitBytes);
  }

  async watch(
    onHint: (hint: ManifestHint) => void,
    onLost: (reason: string) => void,
  ): Promise<ManifestWatch> {
    return await translated(this.path, async () => {
      const isFolder = (await stat(this.path)).isDirectory();
      const root = isFolder ? this.path : dirname(this.path);
      return await watchFolder(root, isFolder ? undefined : basename(this.path), onHint, onLost);
    });
  }
}

/**
 * Reads a manifest's bytes without ever blocking on a pipe. Rejects with `bad-input` for anything but a regular file of at most `limitBytes`,
 * `not-found` for what is not there.
 */
export async function readManifestFile(path: string, limitBytes: number = 256 * 1024): Promise<Uint8Array> {
  return await translated(path, async () => {
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
    const stats = await file.stat();
    if (!stats.isFile())
      throw new HoldfastError("POD_MANIFEST_KIND", "bad-input", `${path} is no regular file`);
    if (stats.size > limitBytes) throw manifestTooLarge(stats.size, limitBytes);
    // One byte more than allowed tells a file that grew meanwhile.
    const buffer = new Uint8Array(Math.min(stats.size, limitBytes) + 1);
    let length = 0;
    while (length < buffer.length) {
      const { bytesRead } = await file.read(buffer, length, buffer.length - length, length);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    if (length > limitBytes) throw manifestTooLarge(length, limitBytes);
    return buffer.subarray(0, length);
  });
}

/** Hints come from the raw events: they tell a rename from a write, and come a millisecond before chokidar's own. */
async function watchFolder(
  root: string,
  only: string | undefined,
  onHint: (hint: ManifestHint) => void,
  onLost: (reason: string) => void,
): Promise<ManifestWatch> {
  const watcher = watch(root, { depth: 0, ignoreInitial: true, atomic: false, ignorePermissionErrors: true });
  let lost = false;
  const lose = (reason: string): void => {
    if (lost) return;
    lost = true;
    onLost(reason);
  };
  watcher.on("raw", (event, path, details) => {
    const name = basename(String(path));
    const { watchedPath } = details as { watchedPath?: string };
    const outside = watchedPath !== root;
    // Of the parent folder only our own folder counts; anything else outside is the target of a link.
    if (outside && watchedPath === dirname(root) && name !== basename(root)) return;
    if (outside || name === basename(root) || name.startsWith("..")) onHint({ kind: "all" });
    else if (only === undefined ? isManifestName(name) : name === only)
      onHint({ kind: event === "change" ? "content" : "entry", path: join(root, name) });
  });
  watcher.on("unlinkDir", (path) => {
    if (resolve(String(path)) === root) lose("the folder was removed or moved");
  });
  watcher.on("error", (error) => {
    if (!isOfAnEntry(error, root)) lose(errorText(error));
  });
  await whenReady(watcher, root);
  return {
    close: async () => {
      lost = true;
      await watcher.close();
    },
  };
}

/** One entry that cannot be followed (a loop of links) leaves the others watched; the file source names it when it looks at it. */
function isOfAnEntry(error: unknown, root: string): boolean {
  if (!(error instanceof Error) || !("path" in error) || typeof error.path !== "string") return false;
  return dirname(error.path) === root;
}

function whenReady(watcher: FSWatcher, root: string): Promise<void> {
  return new Promise((resolveReady) => {
    watcher.once("ready", () => resolveReady());
    // A watcher that fails at once is told as lost.
    watcher.on("error", (error) => {
      if (!isOfAnEntry(error, root)) resolveReady();
    });
  });
}

function factsOf(stats: BigIntStats): ManifestFacts {
  return {
    kind: stats.isFile() ? "file" : stats.isDirectory() ? "directory" : "other",
    size: Number(stats.size),
    modifiedAt: Number(stats.mtimeNs / 1_000_000n),
    version: [stats.dev, stats.ino, stats.size, stats.mtimeNs, stats.ctimeNs].join(":"),
  };
}

function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

const KINDS: Readonly<Record<string, ErrorKind>> = {
  ENOENT: "not-found",
  ENOTDIR: "not-found",
  EACCES: "permanent",
  EPERM: "permanent",
  ELOOP: "permanent",
  ENAMETOOLONG: "permanent",
};

const TEXTS: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file or folder",
  ENOTDIR: "there is no such file or folder",
  EACCES: "permission denied",
  EPERM: "permission denied",
  ELOOP: "its symbolic links form a loop",
};

async function translated<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (HoldfastError.is(error)) throw error;
    const errno = errnoOf(error);
    const text = TEXTS[errno ?? ""] ?? errorText(error);
    throw new HoldfastError("POD_MANIFEST_IO", KINDS[errno ?? ""] ?? "retryable", `${path}: ${text}`, {
      details: { errno },
    });
  }
}
