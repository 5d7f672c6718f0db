// SPDX-License-Identifier: Apache-2.0

export { NodeOomCounters } from "./cgroup-counters.ts";
export { NodeKmsgDevice } from "./kmsg-device.ts";
