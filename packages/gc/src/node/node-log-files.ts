// SPDX-License-Identifier: Apache-2.0

/**
 * Log files on a real disk.
 *
 * Invariants: no path outside the given roots is touched; no link is followed as the last part of a path. Lost on a crash: at most a `.tmp` file beside a log
 * that was being compressed.
 */
import { constants, watch } from "node:fs";
import type { Dirent, Stats } from "node:fs";
import { lstat, open, readdir, rename, rm, unlink } from "node:fs/promises";
import { normalize } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { HoldfastError } from "@holdfast/core/errors";
import { hasErrorCode, ignoreMissing } from "@holdfast/core/node";
import type { LogFile, LogFiles } from "../ports.ts";

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;
/** Logs shrink well at any level; the lowest costs a third of the default's CPU. */
const GZIP_LEVEL = 1;
const MODE_BITS = 0o7777;

/** {@link LogFiles} under the given absolute folders. A path elsewhere is refused with `GC_LOG`; other errors are Node's own. */
export function nodeLogFiles(roots: readonly string[]): LogFiles {
  return new NodeLogFiles(roots);
}

class NodeLogFiles implements LogFiles {
  readonly #roots: readonly string[];

  constructor(roots: readonly string[]) {
    this.#roots = roots.map((root) => normalize(root));
  }

  async size(path: string): Promise<number | undefined> {
    const facts = await this.#lstat(path);
    return facts?.isFile() === true ? facts.size : undefined;
  }

  async list(folder: string): Promise<readonly LogFile[]> {
    const files: LogFile[] = [];
    for (const entry of await this.#entries(folder)) {
      if (!entry.isFile()) continue;
      const bytes = await this.size(`${folder}/${entry.name}`);
      if (bytes !== undefined) files.push({ name: entry.name, bytes });
    }
    return files;
  }

  async folders(folder: string): Promise<readonly string[]> {
    return (await this.#entries(folder)).filter((entry) => entry.isDirectory()).map(({ name }) => name);
  }

  async rename(from: string, to: string): Promise<void> {
    await rename(this.#check(from), this.#check(to));
  }

  async remove(path: string): Promise<void> {
    await ignoreMissing(unlink(this.#check(path)));
  }

  async removeTree(path: string): Promise<void> {
    await rm(this.#check(path), { recursive: true, force: true });
  }

  watch(path: string, onChange: () => void): Disposable | undefined {
    this.#check(path);
    try {
      const watcher = watch(path, { persistent: false }, onChange);
      watcher.on("error", onChange);
      return { [Symbol.dispose]: () => watcher.close() };
    } catch {
      return undefined; // gone, or no more watches are to be had: it is looked at as others are
    }
  }

  async compress(path: string, signal: AbortSignal): Promise<void> {
    this.#check(path);
    const temporary = `${path}.tmp`;
    await using source = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    const { mode } = await source.stat();
    await ignoreMissing(unlink(temporary));
    try {
      {
        await using target = await open(
          temporary,
          O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW,
          mode & MODE_BITS,
        );
        await target.chmod(mode & MODE_BITS);
        await pipeline(
          source.createReadStream(),
          createGzip({ level: GZIP_LEVEL }),
          target.createWriteStream(),
          { signal },
        );
      }
      await rename(temporary, `${path}.gz`);
    } catch (error) {
      await ignoreMissing(unlink(temporary)).catch(() => undefined);
      throw error;
    }
    await ignoreMissing(unlink(path));
  }

  async #entries(folder: string): Promise<readonly Dirent[]> {
    this.#check(folder, true);
    try {
      return await readdir(folder, { withFileTypes: true });
    } catch (error) {
      if (hasErrorCode(error, "ENOENT")) return [];
      throw error;
    }
  }

  async #lstat(path: string): Promise<Stats | undefined> {
    this.#check(path);
    try {
      return await lstat(path);
    } catch (error) {
      if (hasErrorCode(error, "ENOENT")) return undefined;
      throw error;
    }
  }

  #check(path: string, rootItself = false): string {
    const inside = this.#roots.some((root) => path.startsWith(`${root}/`) || (rootItself && path === root));
    if (!inside || normalize(path) !== path || path.endsWith("/") || path.includes("\0"))
      throw new HoldfastError("GC_LOG", "bad-input", `${JSON.stringify(path)} is not under a log folder`);
    return path;
  }
}
