// SPDX-License-Identifier: Apache-2.0

/** Figures of file systems: asked within a deadline, and believed only when they can be true. */
import { errorText, HoldfastError } from "@holdfast/core/errors";
import type { RawFilesystem, Statfs } from "../ports.ts";
import type { ContainedCalls } from "./contained-calls.ts";

/** A file system. Bytes. */
export interface FilesystemFigures {
  readonly capacityBytes: number;
  /** Free for others than root. */
  readonly availableBytes: number;
  readonly usedBytes: number;
  /** Undefined where the file system has no table of them: btrfs, vfat. */
  readonly inodes: { readonly total: number; readonly free: number; readonly used: number } | undefined;
  /** Two paths with the same number lie on the same file system. */
  readonly device: number;
}

/** Judges what statfs said. Throws `STATS_FILESYSTEM` on what cannot be true: no capacity, more free than there is, no numbers. */
export function computeFilesystemFigures(raw: RawFilesystem, path: string): FilesystemFigures {
  const nonsense = (what: string): HoldfastError =>
    new HoldfastError("STATS_FILESYSTEM", "permanent", `the file system of ${path} says that ${what}`);
  const { blockBytes, blocks, blocksFree, blocksAvailable, inodes, inodesFree } = raw;
  const all = [blockBytes, blocks, blocksFree, blocksAvailable, inodes, inodesFree];
  if (!all.every((value) => Number.isFinite(value) && value >= 0))
    throw nonsense(`it has ${all.join(", ")} as figures`);
  const capacityBytes = blocks * blockBytes;
  if (capacityBytes === 0) throw nonsense("its capacity is 0");
  if (blocksAvailable > blocks || blocksFree > blocks)
    throw nonsense(`${Math.max(blocksAvailable, blocksFree)} of ${blocks} blocks are free`);
  if (inodesFree > inodes) throw nonsense(`${inodesFree} of ${inodes} inodes are free`);
  return {
    capacityBytes,
    availableBytes: blocksAvailable * blockBytes,
    usedBytes: (blocks - blocksFree) * blockBytes,
    inodes: inodes === 0 ? undefined : { total: inodes, free: inodesFree, used: inodes - inodesFree },
    device: raw.device,
  };
}

/** Reads file systems. Fits image GC's port too: so all of the process shares one bound of threads that dead mounts may hold. */
export class FilesystemReader {
  readonly #statfs: Statfs;
  readonly #calls: ContainedCalls;
  readonly #underWay = new Map<string, Promise<FilesystemFigures>>();

  constructor(statfs: Statfs, calls: ContainedCalls) {
    this.#statfs = statfs;
    this.#calls = calls;
  }

  /** The file system that `path` lies on. Who asks while it is being asked gets the same answer. Rejects with `STATS_HUNG` or `STATS_FILESYSTEM`. */
  read(path: string): Promise<FilesystemFigures> {
    const known = this.#underWay.get(path);
    if (known !== undefined) return known;
    const reading = this.#read(path).finally(() => this.#underWay.delete(path));
    this.#underWay.set(path, reading);
    return reading;
  }

  async #read(path: string): Promise<FilesystemFigures> {
    try {
      return computeFilesystemFigures(
        await this.#calls.run(`statfs of ${path}`, () => this.#statfs(path)),
        path,
      );
    } catch (error) {
      if (HoldfastError.is(error)) throw error;
      throw new HoldfastError("STATS_FILESYSTEM", "permanent", `statfs of ${path}: ${errorText(error)}`, {
        cause: error,
      });
    }
  }
}
