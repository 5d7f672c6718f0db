// SPDX-License-Identifier: Apache-2.0

export { NodeLogTails } from "./node-log-tails.ts";
export { readBootId } from "./boot-id.ts";
