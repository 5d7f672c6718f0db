// SPDX-License-Identifier: Apache-2.0

import { defineEvent } from "@holdfast/bus";
import type { EventType } from "@holdfast/bus";
import type { OomConstraint } from "./oom-lines.ts";

/** Who said that a process was killed. */
export type OomWitness = "kmsg" | "cgroup" | "containerd";

/** One process killed for want of memory. */
export interface OomKill {
  readonly witness: OomWitness;
  /** Whether it was the container's main process. Absent when nobody knows: the exit code decides. */
  readonly mainProcess?: boolean;
  readonly process?: string;
  /** As the host counts it. */
  readonly pid?: number;
  /** Resident memory of the killed process. */
  readonly memoryBytes?: number;
  /** The limit that was hit, and what was used by all together; absent where the machine was short. */
  readonly limitBytes?: number;
  readonly usageBytes?: number;
  /** `node`: not the container's or pod's limit, but the machine's memory. */
  readonly scope?: "node";
  /** `pod`: the pod's own limit was hit, or one above it. */
  readonly limitOf?: "container" | "pod" | "above";
  readonly constraint?: OomConstraint;
  /** Killed along with another, by memory.oom.group. */
  readonly groupMember?: boolean;
  readonly cgroup?: string;
  /** Wall time of the kill, milliseconds since the epoch, from the kernel's own timestamp. */
  readonly killedAt?: number;
  /** The record in /dev/kmsg: with the boot id, what a replay begins after. */
  readonly kmsgSequence?: number;
}

/** A process of a pod's container was killed. Subject: podUid, pod, container, containerId. */
export const ContainerOOM: EventType<OomKill, "oom/ContainerOOM"> =
  defineEvent<OomKill>()("oom/ContainerOOM");

/** The machine was out of memory. Subject: node. A victim in a container is told by a ContainerOOM too, which has this for its cause. kubelet: SystemOOM. */
export const SystemOOM: EventType<OomKill, "oom/SystemOOM"> = defineEvent<OomKill>()("oom/SystemOOM");

/** A process was killed by a cgroup's limit that is no container of ours, or whose the kernel does not say. Subject: node, podUid if known. */
export const ProcessOOM: EventType<OomKill, "oom/ProcessOOM"> = defineEvent<OomKill>()("oom/ProcessOOM");

/** What two witnesses do not agree on. */
export interface WitnessesDisagreeData {
  /** `kernel-log-silent`: a kill was counted that the log does not tell. `counter-behind`: fewer were counted than the log tells. */
  readonly kind: "kernel-log-silent" | "counter-behind";
  /** Kills of this container by each witness; undefined: it could not be asked. */
  readonly kmsg: number;
  readonly cgroup?: number;
  readonly containerd: number;
}

/** Witnesses disagree about a container. Subject as for {@link ContainerOOM}. Named apart from `oom/`: it is no kill. */
export const WitnessesDisagree: EventType<WitnessesDisagreeData, "oomwatch/WitnessesDisagree"> =
  defineEvent<WitnessesDisagreeData>()("oomwatch/WitnessesDisagree");

/** Records of the kernel's log were overwritten before they were read: kills among them are known from the other witnesses only. */
export const KmsgGap: EventType<{ readonly lost: number }, "oomwatch/KmsgGap"> = defineEvent<{
  readonly lost: number;
}>()("oomwatch/KmsgGap");

/** The kernel's log cannot be read (`problem`), or can be read again (undefined). */
export const KmsgChanged: EventType<{ readonly problem: string | undefined }, "oomwatch/KmsgChanged"> =
  defineEvent<{ readonly problem: string | undefined }>()("oomwatch/KmsgChanged");
