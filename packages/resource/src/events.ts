// SPDX-License-Identifier: Apache-2.0

/** Events of admission and of dedicated resources. What they tell of is readable from the managers; an event only says that it changed. */
import { defineEvent } from "@holdfast/bus";
import type { EventType } from "@holdfast/bus";

/** Why a pod is not let in. */
export interface PodRefusedData {
  /** The kubelet's word: OutOfcpu, TopologyAffinityError … */
  readonly reason: string;
  readonly message: string;
}

/** A pod is not let in. Told once for each reason and message; it is asked about again when what it lacks may be there. */
export const PodRefused: EventType<PodRefusedData, "resource/PodRefused"> =
  defineEvent<PodRefusedData>()("resource/PodRefused");

/** A container has CPUs of its own from now on. `cpus`: the kernel's list format. */
export const CpusAssigned: EventType<{ readonly cpus: string }, "resource/CpusAssigned"> = defineEvent<{
  readonly cpus: string;
}>()("resource/CpusAssigned");
