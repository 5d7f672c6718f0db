// SPDX-License-Identifier: Apache-2.0

export { nodeEviction } from "./node-eviction.ts";
export type { NodeEvictionOptions } from "./node-eviction.ts";
export { nodeMachine } from "./node-machine.ts";
