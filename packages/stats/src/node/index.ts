// SPDX-License-Identifier: Apache-2.0

export { nodeListFolders, nodeMeasureTree, nodeStatfs } from "./filesystem.ts";
export { NodeKernelFiles } from "./kernel-files.ts";
export { nodeStats } from "./node-stats.ts";
export type { NodeStatsOptions } from "./node-stats.ts";
export { nodeStatsHost } from "./node-stats-host.ts";
