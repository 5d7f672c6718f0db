// SPDX-License-Identifier: Apache-2.0

import type { Dirent, Stats } from "node:fs";
import { lstat, opendir, readdir, stat, statfs } from "node:fs/promises";
import type { MeasureTree, RawFilesystem, TreeUsage, WalkBounds } from "../ports.ts";
import { ignoreMissing } from "@holdfast/core/node";

/** What st_blocks counts, on every file system. */
const BLOCK_BYTES = 512;
/** Files with several names that are remembered, so that none counts twice. */
const MAX_LINKED = 100_000;

/** statfs and the device's number, by Node's thread pool. */
export async function nodeStatfs(path: string): Promise<RawFilesystem> {
  const { dev } = await stat(path);
  const { bsize, blocks, bfree, bavail, files, ffree } = await statfs(path);
  return {
    blockBytes: bsize,
    blocks,
    blocksFree: bfree,
    blocksAvailable: bavail,
    inodes: files,
    inodesFree: ffree,
    device: dev,
  };
}

/** Adds up a folder as `du -x` does: one call at a time, so that it never holds more than one thread. */
export const nodeMeasureTree: MeasureTree = async (path, bounds) => {
  const root = await ignoreMissing(lstat(path));
  if (root === undefined) return undefined;
  const walk = new Walk(root.dev, bounds);
  walk.add(root);
  if (root.isDirectory()) await walk.enter(path);
  return walk.usage();
};

/** Names of the folders in a folder; empty when it is not there. */
export async function nodeListFolders(path: string): Promise<readonly string[]> {
  const entries = (await ignoreMissing(readdir(path, { withFileTypes: true }))) ?? [];
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
}

class Walk {
  readonly #device: number;
  readonly #bounds: WalkBounds;
  readonly #linked = new Set<number>();
  #bytes = 0;
  #inodes = 0;
  #complete = true;

  constructor(device: number, bounds: WalkBounds) {
    this.#device = device;
    this.#bounds = bounds;
  }

  usage(): TreeUsage {
    return { usedBytes: this.#bytes, inodesUsed: this.#inodes, complete: this.#complete };
  }

  add(facts: Stats): void {
    this.#bytes += facts.blocks * BLOCK_BYTES;
    this.#inodes += 1;
    if (facts.nlink > 1 && !facts.isDirectory() && this.#linked.size < MAX_LINKED)
      this.#linked.add(facts.ino);
  }

  async enter(root: string): Promise<void> {
    const folders = [root];
    for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
      const entries = await ignoreMissing(opendir(folder));
      if (entries === undefined) continue;
      for await (const entry of entries) {
        if (this.#inodes >= this.#bounds.maxEntries || this.#bounds.signal.aborted) {
          this.#complete = false;
          return;
        }
        const below = await this.#look(folder, entry);
        if (below !== undefined && this.#bounds.flat !== true) folders.push(below);
      }
    }
  }

  /** Counts one entry; a folder of the same file system is given back to be entered. */
  async #look(folder: string, entry: Dirent): Promise<string | undefined> {
    if (this.#bounds.flat === true && !entry.isFile()) return undefined;
    const path = `${folder}/${entry.name}`;
    const facts = await ignoreMissing(lstat(path));
    if (facts === undefined || facts.dev !== this.#device) return undefined;
    if (!facts.isDirectory() && this.#linked.has(facts.ino)) return undefined;
    this.add(facts);
    return facts.isDirectory() ? path : undefined;
  }
}
