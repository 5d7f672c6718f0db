// SPDX-License-Identifier: Apache-2.0

export { parseCgroupOwner } from "./cgroup-path.ts";
export type { CgroupOwner } from "./cgroup-path.ts";
export { parseKmsgRecord, unescapeKmsg } from "./kmsg-record.ts";
export type { KmsgRecord } from "./kmsg-record.ts";
export { OomAssembler } from "./oom-assembler.ts";
export type { OomFact } from "./oom-assembler.ts";
export { parseOomLine } from "./oom-lines.ts";
export type { OomConstraint, OomLine } from "./oom-lines.ts";
export { compareWitnesses } from "./compare-witnesses.ts";
export type { Testimony, Verdict } from "./compare-witnesses.ts";
export { ContainerOOM, KmsgChanged, KmsgGap, ProcessOOM, SystemOOM, WitnessesDisagree } from "./events.ts";
export type { OomKill, OomWitness, WitnessesDisagreeData } from "./events.ts";
export { KmsgReader } from "./kmsg-reader.ts";
export type { KmsgReaderOptions } from "./kmsg-reader.ts";
export { parseOomKillCount } from "./oom-counter.ts";
export { computeOomGroup } from "./oom-group.ts";
export type { OomGroupInput } from "./oom-group.ts";
export { OomWatcher } from "./oom-watcher.ts";
export type { OomWatcherOptions, ReplayPoint } from "./options.ts";
export type {
  ContainerLookup,
  KmsgDevice,
  KmsgHandle,
  KmsgRead,
  OomContainer,
  OomCounters,
  OomTaskEvent,
} from "./ports.ts";
