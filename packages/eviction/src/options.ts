// SPDX-License-Identifier: Apache-2.0

import type { Publisher } from "@holdfast/bus";
import type { Clock } from "@holdfast/core/clock";
import type { Logger } from "@holdfast/core/log";
import type { Metrics } from "@holdfast/core/metrics";
import type { MemoryUsageReader, NodeReclaim, PodKiller, StatsProvider } from "./ports.ts";
import type { Threshold } from "./threshold.ts";

/** How an `EvictionManager` is made. */
export interface EvictionManagerOptions {
  readonly clock: Clock;
  readonly stats: StatsProvider;
  readonly pods: PodKiller;
  /** Absent: the node has nothing to give up, and pods go at once. */
  readonly reclaim?: NodeReclaim;
  /** Of `parseThresholdConfig`. None: only limits of pods' own are looked after. */
  readonly thresholds: readonly Threshold[];
  /** How long a condition stays after it was seen last. Milliseconds. Default 300 000. kubelet: evictionPressureTransitionPeriod. */
  readonly transitionPeriodMs?: number;
  /** The most grace that a soft threshold leaves a pod. Seconds. Default 0. kubelet: evictionMaxPodGracePeriod. */
  readonly maxPodGraceSeconds?: number;
  /** Static pods below the system's own priority may go too. Default false, as in the kubelet: on a node that has no others nobody would ever go. */
  readonly evictStaticPods?: boolean;
  /** From the end of one round to the next. Milliseconds. Default 10 000. kubelet: evictionMonitoringPeriod. */
  readonly periodMs?: number;
  /** What reading the machine's figures may take. Milliseconds. Default 10 000. */
  readonly statsDeadlineMs?: number;
  /** What one step of node-level reclaim may take, before it is left to itself and a pod goes. Milliseconds. Default 120 000. */
  readonly reclaimDeadlineMs?: number;
  /** Memory is looked at four times a second, and a threshold that is crossed begins a round at once. Default: not. kubelet: kernelMemcgNotification. */
  readonly memoryUsage?: MemoryUsageReader;
  readonly nodeName?: string;
  /** Conditions have changed: `admit` may say something else now. */
  readonly onConditionsChanged?: () => void;
  readonly publish?: Publisher;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

/** kubelet: evictionMonitoringPeriod. */
export const DEFAULT_PERIOD_MS: number = 10_000;
/** Of the machine's or the pods' figures. */
export const DEFAULT_STATS_DEADLINE_MS: number = 10_000;
/** Of one step of reclaim. */
export const DEFAULT_RECLAIM_DEADLINE_MS: number = 120_000;
