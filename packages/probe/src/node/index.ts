// SPDX-License-Identifier: Apache-2.0

export { nodeProbeHandlers } from "./node-probe-handlers.ts";
export { nodeProbeProcesses } from "./left-behind.ts";
export { probeOnce, watchAddress } from "./probe-once.ts";
export type { WatchAddressOptions } from "./probe-once.ts";
