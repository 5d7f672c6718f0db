// SPDX-License-Identifier: Apache-2.0

import { defineEvent } from "@holdfast/bus";
import type { EventType } from "@holdfast/bus";
import type { ProberErrorWhy, ProbeVerdict } from "./outcome.ts";
import type { ProbeKind } from "./probe-spec.ts";

/** What `probe/ResultChanged` carries. `subject` has pod, container and container id too. */
export interface ProbeResultChange {
  readonly podUid: string;
  readonly container: string;
  readonly containerId: string;
  readonly kind: ProbeKind;
  readonly result: ProbeVerdict;
  /** Undefined when nothing was known. */
  readonly previous: ProbeVerdict | undefined;
  /** The first line of what the target said, at most 256 characters. */
  readonly output: string;
}

/** A verdict changed by a probe. Read `liveness`, `readiness`, `startup` again. Seeds, restored verdicts and the end of a container are told by nobody. */
export const ProbeResultChanged: EventType<ProbeResultChange, "probe/ResultChanged"> =
  defineEvent<ProbeResultChange>()("probe/ResultChanged");

/** What `probe/Unhealthy` carries: the text of the Kubernetes event and what is counted behind it. */
export interface ProbeUnhealthyData {
  readonly eventType: "Warning";
  readonly reason: "Unhealthy" | "ProbeWarning";
  readonly message: string;
  /** `spec.containers{name}` or `spec.initContainers{name}`. */
  readonly fieldPath: string;
  readonly kind: ProbeKind;
  /** Not the target's failure: why the attempt was thrown away. */
  readonly proberError?: ProberErrorWhy;
  /** How many were like this since the last event of this worker, this one included. */
  readonly count: number;
}

/**
 * A probe failed, warned or could not be made. kubelet: Unhealthy, ProbeWarning. The same text again is told at most once a minute; the
 * kubelet tells each and leaves the counting to the API.
 */
export const ProbeUnhealthy: EventType<ProbeUnhealthyData, "probe/Unhealthy"> =
  defineEvent<ProbeUnhealthyData>()("probe/Unhealthy");

/** An annotation about timing cannot be read: the probes' own fields hold. */
export const ProbeTimingRefused: EventType<
  { readonly eventType: "Warning"; readonly reason: "InvalidProbeTiming"; readonly message: string },
  "probe/TimingRefused"
> = defineEvent<{
  readonly eventType: "Warning";
  readonly reason: "InvalidProbeTiming";
  readonly message: string;
}>()("probe/TimingRefused");
