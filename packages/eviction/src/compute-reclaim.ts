// SPDX-License-Identifier: Apache-2.0

/** What the node gives up of its own before a pod has to go, and how much time a pod gets. Pure. kubelet: buildSignalToNodeReclaimFuncs, evictPod's grace. */
import type { Pod } from "@holdfast/core/pod-types";
import type { FilesystemLayout } from "./parse-thresholds.ts";
import { filesystemOf } from "./signals.ts";
import type { Signal } from "./signals.ts";
import { isHardThreshold } from "./threshold.ts";
import type { Threshold } from "./threshold.ts";

/** One thing the node can do. */
export type ReclaimStep = "containers" | "images";

/** In order; empty: there is nothing that would help. */
export function nodeReclaimSteps(signal: Signal, layout: FilesystemLayout): readonly ReclaimStep[] {
  const filesystem = filesystemOf(signal);
  if (filesystem === undefined) return [];
  if (!layout.dedicatedImageFs) return ["containers", "images"];
  if (layout.splitContainerFs) return filesystem === "imagefs" ? ["images"] : ["containers"];
  return filesystem === "nodefs" ? [] : ["containers", "images"];
}

/** kubelet: immediateEvictionGracePeriodSeconds. */
export const IMMEDIATE_GRACE_SECONDS = 1;

/** Seconds. A soft threshold leaves a pod its own grace, up to the setting. kubelet: gracePeriodOverride. */
export function evictionGraceSeconds(threshold: Threshold, pod: Pod, maxPodGraceSeconds: number): number {
  if (isHardThreshold(threshold)) return IMMEDIATE_GRACE_SECONDS;
  const { terminationGracePeriodSeconds: own } = pod.spec;
  return own === undefined ? maxPodGraceSeconds : Math.min(maxPodGraceSeconds, own);
}
