// SPDX-License-Identifier: Apache-2.0

/** Finds the last lines of container logs below the pods' log folder. Reads at most 8 KiB of a file, whatever its size. */
import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { join } from "node:path";
import type { LogOwner, LogPosition, LogTails } from "../ports.ts";

const MAX_BYTES = 8192;
const MAX_LINES = 10;
const NEWLINE = 10;

/** Fills {@link LogTails} for the layout of the kubelet: `NAMESPACE_NAME_UID/CONTAINER/RESTART.log`. */
export class NodeLogTails implements LogTails {
  readonly #podLogsDir: string;

  /** `podLogsDir` is the kubelet's `podLogsDir`: `/var/log/pods`. */
  constructor(podLogsDir: string) {
    this.#podLogsDir = podLogsDir;
  }

  async locate(owner: LogOwner): Promise<LogPosition | undefined> {
    const { namespace, podName, podUid, container, restartCount } = owner;
    const parts = [namespace, podName, podUid, container];
    // Names come from valid manifests; a journal that somebody edited leads nowhere else.
    if (parts.some((part) => part === "" || part.includes("/") || part.includes(".."))) return undefined;
    const file = join(
      this.#podLogsDir,
      `${namespace}_${podName}_${podUid}`,
      container,
      `${restartCount}.log`,
    );
    await using handle = await openIfThere(file);
    if (handle === undefined) return undefined;
    const { size } = await handle.stat();
    const tail = await readPart(handle, Math.max(size - MAX_BYTES, 0), Math.min(size, MAX_BYTES));
    const length = lengthOfLastLines(tail);
    return length === 0 ? undefined : { file, offset: size - length, length };
  }

  async read({ file, offset, length }: LogPosition): Promise<readonly string[] | undefined> {
    if (!file.startsWith(`${this.#podLogsDir}/`) || file.includes("..")) return undefined;
    await using handle = await openIfThere(file);
    if (handle === undefined) return undefined;
    const part = await readPart(handle, offset, Math.min(length, MAX_BYTES));
    if (part.length < Math.min(length, MAX_BYTES)) return undefined;
    return part
      .toString("utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map(withoutPrefix);
  }
}

async function openIfThere(file: string): Promise<FileHandle | undefined> {
  try {
    return await open(file, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

async function readPart(handle: FileHandle, offset: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  const { bytesRead } = await handle.read(buffer, 0, length, offset);
  return buffer.subarray(0, bytesRead);
}

/** Bytes of the last whole lines. A tail that begins within a line leaves that line out, unless it is all there is. */
function lengthOfLastLines(tail: Buffer): number {
  let start = tail.length;
  for (let line = 0; line < MAX_LINES && start > 0; line++) {
    const newline = start < 2 ? -1 : tail.lastIndexOf(NEWLINE, start - 2);
    if (newline < 0) return tail.length < MAX_BYTES || line === 0 ? tail.length : tail.length - start;
    start = newline + 1;
  }
  return tail.length - start;
}

/** `TIME STREAM TAG CONTENT` without the first three. kubelet: parseCRILog. */
function withoutPrefix(line: string): string {
  return /^\S+ (?:stdout|stderr) \S+ ?/.test(line) ? line.replace(/^\S+ (?:stdout|stderr) \S+ ?/, "") : line;
}
