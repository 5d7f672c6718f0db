// SPDX-License-Identifier: Apache-2.0

/** Pure: how long a container may take to stop. kubelet: setTerminationGracePeriod. */
import type { Container, Pod } from "@holdfast/core/pod-types";
import type { KillReason } from "./events.ts";

/** No stop gets less. kubelet: minimumGracePeriodInSeconds. */
export const MINIMUM_GRACE_SECONDS = 2;

/** Seconds, before a caller's override and before hooks take their part. */
export function computeGracePeriod(
  pod: Pick<Pod, "spec" | "metadata">,
  container: Pick<Container, "livenessProbe" | "startupProbe">,
  reason: KillReason,
): number {
  const { deletionGracePeriodSeconds } = pod.metadata;
  if (deletionGracePeriodSeconds !== undefined) return deletionGracePeriodSeconds;
  const { terminationGracePeriodSeconds } = pod.spec;
  if (terminationGracePeriodSeconds === undefined) return MINIMUM_GRACE_SECONDS;
  const ofProbe =
    reason === "LivenessProbe"
      ? container.livenessProbe?.terminationGracePeriodSeconds
      : reason === "StartupProbe"
        ? container.startupProbe?.terminationGracePeriodSeconds
        : undefined;
  return ofProbe ?? terminationGracePeriodSeconds;
}
