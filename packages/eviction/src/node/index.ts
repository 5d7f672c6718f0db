// SPDX-License-Identifier: Apache-2.0

export { nodeMachine } from "./node-machine.ts";
