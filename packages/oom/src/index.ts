// SPDX-License-Identifier: Apache-2.0

export { parseCgroupOwner } from "./cgroup-path.ts";
export type { CgroupOwner } from "./cgroup-path.ts";
export { parseKmsgRecord, unescapeKmsg } from "./kmsg-record.ts";
export type { KmsgRecord } from "./kmsg-record.ts";
export { OomAssembler } from "./oom-assembler.ts";
export type { OomFact } from "./oom-assembler.ts";
export { parseOomLine } from "./oom-lines.ts";
export type { OomConstraint, OomLine } from "./oom-lines.ts";
