// SPDX-License-Identifier: Apache-2.0

import type { Pod } from "@holdfast/core/pod-types";

/** kubelet: the message that goes with reason DeadlineExceeded. */
export const DEADLINE_MESSAGE = "Pod was active on the node longer than the specified deadline";

/**
 * Milliseconds until activeDeadlineSeconds are over, 0 when they are; undefined without one, or before the pod started. Pure. `activeForMs` is
 * monotonic: a stepped clock neither ends a pod nor lets it live on. kubelet: activeDeadlineHandler.pastActiveDeadline.
 */
export function computeDeadlineRemaining(pod: Pod, activeForMs: number | undefined): number | undefined {
  const seconds = pod.spec.activeDeadlineSeconds;
  if (seconds === undefined || activeForMs === undefined) return undefined;
  return Math.max(seconds * 1000 - activeForMs, 0);
}
