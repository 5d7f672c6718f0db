// SPDX-License-Identifier: Apache-2.0

import { closeSync, constants, openSync, readdirSync, readlinkSync, readSync } from "node:fs";
import { errorText, HoldfastError } from "@holdfast/core/errors";
import type { KernelFiles } from "../ports.ts";

/** Most files of the kernel are smaller than a page. */
const FIRST_BYTES = 16 * 1024;
const MAX_BYTES = 1024 * 1024;
/** The kernel hands out long lists a page at a time, in whole lines: what comes short of half a page was the last of it, and its end need not be asked for. */
const SHORT_BYTES = 2048;
/** Not there, a process or cgroup that has gone in the midst of it, a controller or pressure that is switched off. */
const MISSING: ReadonlySet<unknown> = new Set([
  "ENOENT",
  "ENOTDIR",
  "ESRCH",
  "ENODEV",
  "EOPNOTSUPP",
  "ENOTSUP",
]);

/** The kernel's files of this machine, below `root`: where a container has the host's root mounted. */
export class NodeKernelFiles implements KernelFiles {
  readonly #root: string;
  #buffer: Buffer;

  /** `bufferBytes` is what one read takes at most; the buffer grows with the files. */
  constructor(root = "/", bufferBytes: number = FIRST_BYTES) {
    this.#buffer = Buffer.allocUnsafeSlow(bufferBytes);
    this.#root = root.replace(/\/+$/, "");
  }

  read(path: string): string | undefined {
    let fd: number;
    try {
      fd = openSync(this.#root + path, constants.O_RDONLY);
    } catch (error) {
      return missing(error, path);
    }
    try {
      let length = 0;
      for (;;) {
        const got = readSync(fd, this.#buffer, length, this.#buffer.length - length, null);
        length += got;
        if (length < this.#buffer.length) {
          if (got < SHORT_BYTES) return this.#buffer.toString("latin1", 0, length);
          continue;
        }
        if (length >= MAX_BYTES)
          throw new HoldfastError("STATS_READ", "permanent", `${path} is larger than ${MAX_BYTES} bytes`);
        this.#buffer = Buffer.concat([this.#buffer, Buffer.allocUnsafeSlow(this.#buffer.length)]);
      }
    } catch (error) {
      return missing(error, path);
    } finally {
      closeSync(fd);
    }
  }

  folders(path: string): readonly string[] {
    try {
      return readdirSync(this.#root + path, { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map(({ name }) => name);
    } catch (error) {
      missing(error, path);
      return [];
    }
  }

  link(path: string): string | undefined {
    try {
      return readlinkSync(this.#root + path);
    } catch {
      return undefined; // no link, or none for us: namespaces of others need privileges
    }
  }
}

function missing(error: unknown, path: string): undefined {
  if (HoldfastError.is(error)) throw error;
  if (error instanceof Error && "code" in error && MISSING.has(error.code)) return undefined;
  throw new HoldfastError("STATS_READ", "permanent", `reading ${path}: ${errorText(error)}`, {
    cause: error,
  });
}
