// SPDX-License-Identifier: Apache-2.0

import type { OomWitness, WitnessesDisagreeData } from "./events.ts";

/** What each witness said of one container. */
export interface Testimony {
  /** Kills told by the kernel's log. */
  readonly kmsg: number;
  /** Those of them that the container's own cgroup must have counted, too. */
  readonly ownCgroup: number;
  /** Kills counted by its cgroup since the watching began; undefined: it could not be read. */
  readonly cgroup: number | undefined;
  /** Whether that count was read after all that the log tells: an earlier one, of a cgroup that is gone, may lack kills. */
  readonly isCountFinal: boolean;
  /** Kills told by containerd; it may tell several as one. */
  readonly containerd: number;
  /** Kills told from the last two, before. */
  readonly told: number;
  /** Whether the log could be read, without a gap. */
  readonly isLogWhole: boolean;
}

/** What follows from a {@link Testimony}. */
export interface Verdict {
  /** Kills that the log does not tell, and who vouches for them. */
  readonly untold: number;
  readonly witness: OomWitness;
  /** Undefined when they agree, or when the log's silence is explained. */
  readonly disagreement: WitnessesDisagreeData["kind"] | undefined;
}

/** Compares the witnesses: who is missing a kill, and whether that is a disagreement or was to be expected. */
export function compareWitnesses(testimony: Testimony): Verdict {
  const { kmsg, ownCgroup, cgroup, isCountFinal, containerd, told, isLogWhole } = testimony;
  // containerd may join kills, and it may tell the one that the cgroup counts: never added together.
  const vouched = Math.max(cgroup ?? 0, containerd > 0 ? 1 : 0);
  const untold = Math.max(vouched - kmsg - told, 0);
  const witness: OomWitness = (cgroup ?? 0) > 0 ? "cgroup" : "containerd";
  if (untold > 0) return { untold, witness, disagreement: isLogWhole ? "kernel-log-silent" : undefined };
  const isBehind = isCountFinal && cgroup !== undefined && cgroup < ownCgroup;
  return { untold: 0, witness, disagreement: isBehind ? "counter-behind" : undefined };
}
