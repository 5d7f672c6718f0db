// SPDX-License-Identifier: Apache-2.0

import { statfs } from "node:fs/promises";
import { HoldfastError } from "@holdfast/core/errors";
import type { FilesystemFigures } from "../ports.ts";

/** Mount points whose statfs has not returned: each may hold a thread for ever, so a second one is not asked. */
const underWay = new Set<string>();
/** Threads that dead mounts may hold. */
const MAX_UNDER_WAY = 2;

/** Figures of the file system that a path lies on, from statfs. Rejects with `GC_FILESYSTEM` while an earlier call still hangs. */
export async function readNodeFilesystem(mountpoint: string): Promise<FilesystemFigures> {
  if (underWay.has(mountpoint) || underWay.size >= MAX_UNDER_WAY)
    throw new HoldfastError("GC_FILESYSTEM", "retryable", `statfs of ${[...underWay].join(", ")} hangs`);
  underWay.add(mountpoint);
  try {
    const { bsize, blocks, bavail } = await statfs(mountpoint);
    return { capacityBytes: blocks * bsize, availableBytes: bavail * bsize };
  } finally {
    underWay.delete(mountpoint);
  }
}
