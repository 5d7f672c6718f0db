// SPDX-License-Identifier: Apache-2.0

import { parseCgroupOwner } from "./cgroup-path.ts";
import type { OomKill } from "./events.ts";
import type { OomFact } from "./oom-assembler.ts";

/** Whether it was the machine's memory that was short, not a cgroup's limit. */
export function isSystemOom({ constraint }: Pick<OomFact, "constraint">): boolean {
  return constraint !== "CONSTRAINT_MEMCG";
}

/** Whose limit it was, seen from the victim; undefined when the machine was short or nobody says. */
export function limitOf({ taskCgroup, oomCgroup }: OomFact): OomKill["limitOf"] {
  if (taskCgroup === undefined || oomCgroup === undefined) return undefined;
  const victim = parseCgroupOwner(taskCgroup);
  const limited = parseCgroupOwner(oomCgroup);
  if (limited.containerId !== undefined && limited.containerId === victim.containerId) return "container";
  return limited.podUid !== undefined && limited.podUid === victim.podUid ? "pod" : "above";
}

/** The event's data of a fact. `mainPid` is undefined when nobody knows the container's main process. */
export function describeKill(fact: OomFact, mainPid: number | undefined, killedAt: number): OomKill {
  const limited = limitOf(fact);
  return {
    witness: "kmsg",
    ...(mainPid === undefined ? {} : { mainProcess: mainPid === fact.pid }),
    process: fact.process,
    pid: fact.pid,
    ...(fact.memoryBytes === undefined ? {} : { memoryBytes: fact.memoryBytes }),
    ...(fact.limitBytes === undefined ? {} : { limitBytes: fact.limitBytes }),
    ...(fact.usageBytes === undefined ? {} : { usageBytes: fact.usageBytes }),
    ...(isSystemOom(fact) ? { scope: "node" as const } : {}),
    ...(limited === undefined ? {} : { limitOf: limited }),
    constraint: fact.constraint,
    ...(fact.isGroupMember ? { groupMember: true } : {}),
    ...(fact.taskCgroup === undefined ? {} : { cgroup: fact.taskCgroup }),
    killedAt,
    kmsgSequence: fact.sequence,
  };
}
