// SPDX-License-Identifier: Apache-2.0

import { setImmediate } from "node:timers/promises";
import type { StatsHost } from "../ports.ts";
import { nodeListFolders, nodeMeasureTree, nodeStatfs } from "./filesystem.ts";
import { NodeKernelFiles } from "./kernel-files.ts";

/** This machine. `root` is where its root is mounted, for the kernel's files only: "/" but in a container. */
export function nodeStatsHost(root = "/"): StatsHost {
  return {
    files: new NodeKernelFiles(root),
    statfs: nodeStatfs,
    measureTree: nodeMeasureTree,
    listFolders: nodeListFolders,
    breathe: () => setImmediate(),
  };
}
