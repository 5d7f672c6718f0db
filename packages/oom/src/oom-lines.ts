// SPDX-License-Identifier: Apache-2.0

import { unescapeKmsg } from "./kmsg-record.ts";

/** Whose want of memory it was: a cgroup's limit, the machine's, or a NUMA restriction's. The kernel's own words. */
export type OomConstraint =
  | "CONSTRAINT_NONE"
  | "CONSTRAINT_MEMCG"
  | "CONSTRAINT_CPUSET"
  | "CONSTRAINT_MEMORY_POLICY";

/** What one line of the kernel says about an OOM kill. */
export type OomLine =
  /** `NAME invoked oom-killer: ...`: the report begins. */
  | { readonly kind: "invoked"; readonly invoker: string }
  /** `Task in T killed as a result of limit of M`: kernels before 5.0. */
  | { readonly kind: "task-in"; readonly taskCgroup: string; readonly oomCgroup: string }
  /** `memory: usage ..., limit ...`, of the cgroup whose limit it was. */
  | { readonly kind: "usage"; readonly usageBytes: number; readonly limitBytes: number | undefined }
  /** `oom-kill:constraint=...`: kernels from 5.0. */
  | {
      readonly kind: "summary";
      readonly constraint: OomConstraint;
      /** Absent in an OOM of the machine. */
      readonly oomCgroup: string | undefined;
      readonly taskCgroup: string;
      readonly process: string;
      readonly pid: number;
      readonly uid: number;
    }
  /** `Kill process PID (NAME) score N or sacrifice child`: who was chosen, before 5.3; a child of it may die instead. */
  | { readonly kind: "chosen"; readonly pid: number; readonly isMemcg: boolean }
  /** `Killed process PID (NAME) ...`. `isMemcg` is undefined where the line does not say it (before 5.3). */
  | {
      readonly kind: "killed";
      readonly pid: number;
      readonly process: string;
      readonly isMemcg: boolean | undefined;
      /** Resident: anonymous, file and shared memory. */
      readonly memoryBytes: number | undefined;
    }
  /** `Tasks in X are going to be killed due to memory.oom.group set`. */
  | { readonly kind: "group"; readonly cgroup: string }
  /** Nobody could be killed. */
  | { readonly kind: "no-victim" };

const INVOKED = /^(.{0,64}) invoked oom-killer: /;
const TASK_IN = /^Task in (\/.*) killed as a result of limit of (\/.*)$/;
const USAGE = /^memory: usage (\d{1,16})kB, limit (\d{1,16})kB, failcnt /;
// A process may call itself "x,pid=1,uid=0": its name ends at the last ",pid=", and the cgroup at the first ",task=".
const SUMMARY =
  /^oom-kill:constraint=(CONSTRAINT_[A-Z_]+),nodemask=.*?,cpuset=.*?,mems_allowed=.*?(?:,global_oom|,oom_memcg=(\/.*?)),task_memcg=(\/.*?),task=(.*),pid=(\d{1,10}),uid=(\d{1,10})$/;
const CHOSEN =
  /^(Memory cgroup out|Out) of memory(?: \(.{0,40}\))?: Kill process (\d{1,10}) \(.*\) score \d+ or sacrifice child$/;
const KILLED =
  /^(?:(Memory cgroup out|Out) of memory(?: \([^)]{0,40}\))?: )?Killed process (\d{1,10}) \((.*)\)(?: total-vm:\d+kB,| \(|,|$)/;
const GROUP = /^Tasks in (\/.*) are going to be killed due to memory\.oom\.group set$/;
const NO_VICTIM = /^(?:Memory cgroup out|Out) of memory and no killable processes/;
const RESIDENT = /, (?:anon|file|shmem)-rss:(\d{1,15})kB/g;

const CONSTRAINTS: ReadonlySet<string> = new Set<OomConstraint>([
  "CONSTRAINT_NONE",
  "CONSTRAINT_MEMCG",
  "CONSTRAINT_CPUSET",
  "CONSTRAINT_MEMORY_POLICY",
]);
/** What the kernel prints for "no limit" is a little under 2^53 kB. */
const UNLIMITED_KB = 2 ** 52;

/** What a line says about an OOM kill; undefined for all others. kubelet: oomparser's patterns. */
export function parseOomLine(message: string): OomLine | undefined {
  switch (message.charCodeAt(0)) {
    case 0x6d: // m
      return usage(message) ?? invoked(message);
    case 0x6f: // o
      return message.startsWith("oom-kill:") ? summary(message) : invoked(message);
    case 0x54: // T
      return tasks(message) ?? invoked(message);
    case 0x4d: // M
    case 0x4f: // O
    case 0x4b: // K
      return kill(message) ?? invoked(message);
    default:
      return invoked(message);
  }
}

function invoked(message: string): OomLine | undefined {
  if (!message.includes(" invoked oom-killer: ")) return undefined;
  const invoker = INVOKED.exec(message)?.[1];
  return invoker === undefined ? undefined : { kind: "invoked", invoker: unescapeKmsg(invoker) };
}

function usage(message: string): OomLine | undefined {
  const match = USAGE.exec(message);
  if (match === null) return undefined;
  const limitKb = Number(match[2]);
  return {
    kind: "usage",
    usageBytes: Number(match[1]) * 1024,
    limitBytes: limitKb >= UNLIMITED_KB ? undefined : limitKb * 1024,
  };
}

function tasks(message: string): OomLine | undefined {
  const legacy = TASK_IN.exec(message);
  if (legacy !== null)
    return {
      kind: "task-in",
      taskCgroup: unescapeKmsg(legacy[1] ?? ""),
      oomCgroup: unescapeKmsg(legacy[2] ?? ""),
    };
  const group = GROUP.exec(message)?.[1];
  return group === undefined ? undefined : { kind: "group", cgroup: unescapeKmsg(group) };
}

function summary(message: string): OomLine | undefined {
  const match = SUMMARY.exec(message);
  if (match === null) return undefined;
  const [, constraint = "", oomCgroup, taskCgroup = "", process = "", pid, uid] = match;
  if (!isConstraint(constraint)) return undefined;
  return {
    kind: "summary",
    constraint,
    oomCgroup: oomCgroup === undefined ? undefined : unescapeKmsg(oomCgroup),
    taskCgroup: unescapeKmsg(taskCgroup),
    process: unescapeKmsg(process),
    pid: Number(pid),
    uid: Number(uid),
  };
}

function isConstraint(word: string): word is OomConstraint {
  return CONSTRAINTS.has(word);
}

function kill(message: string): OomLine | undefined {
  const chosen = CHOSEN.exec(message);
  if (chosen !== null) return { kind: "chosen", pid: Number(chosen[2]), isMemcg: chosen[1] !== "Out" };
  const killed = KILLED.exec(message);
  if (killed !== null) {
    const [, cause, pid, process = ""] = killed;
    return {
      kind: "killed",
      pid: Number(pid),
      process: unescapeKmsg(process),
      isMemcg: cause === undefined ? undefined : cause !== "Out",
      memoryBytes: residentBytes(message),
    };
  }
  return NO_VICTIM.test(message) ? { kind: "no-victim" } : undefined;
}

function residentBytes(message: string): number | undefined {
  let bytes: number | undefined;
  for (const [, kb] of message.matchAll(RESIDENT)) bytes = (bytes ?? 0) + Number(kb) * 1024;
  return bytes;
}
