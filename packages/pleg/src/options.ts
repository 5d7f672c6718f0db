// SPDX-License-Identifier: Apache-2.0

import { nullPublisher } from "@holdfast/bus";
import type { Publisher } from "@holdfast/bus";
import type { Clock } from "@holdfast/core/clock";
import { silentLogger } from "@holdfast/core/log";
import type { Logger } from "@holdfast/core/log";
import { noMetrics } from "@holdfast/core/metrics";
import type { Metrics } from "@holdfast/core/metrics";
import { seededRandom } from "@holdfast/core/random";
import type { Random } from "@holdfast/core/random";
import type { PlegCheckpoint, PlegRuntime, TaskEventStream } from "./ports.ts";

/** How a `GenericPLEG` is made. Milliseconds. */
export interface GenericPlegOptions {
  readonly runtime: PlegRuntime;
  readonly clock: Clock;
  /** The runtime's events: `runtimeEvents(runtime)`, or containerd's alone. Without it, relist alone. */
  readonly events?: TaskEventStream;
  /** Only what has these labels is seen: whose pods are ours. Default: everything. */
  readonly labelSelector?: Readonly<Record<string, string>>;
  /** Keeps what was up, so that a list which lacks it is not believed right after a start either. Default: nothing is kept. */
  readonly checkpoint?: PlegCheckpoint;
  readonly publish?: Publisher;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
  /** For jitter. Default: seeded with 1. */
  readonly random?: Random;
  /** From the end of one relist to the next, without events. Default 1000. kubelet: genericPlegRelistPeriod. */
  readonly relistPeriodMs?: number;
  /** The longest time between relists while events come in; up to a fifth is taken off as jitter. Default 10000. */
  readonly relistPeriodWithEventsMs?: number;
  /** Unhealthy when the last good list is older. Default 180000. kubelet: genericPlegRelistThreshold. */
  readonly relistThresholdMs?: number;
  /** Deadline of a list call. Default 120000. kubelet: runtimeRequestTimeout. */
  readonly listDeadlineMs?: number;
  /** Deadline of a status call. Default 10000. */
  readonly statusDeadlineMs?: number;
  /** A call older than this is called stuck, holds no place and is not waited for. Default 1000. */
  readonly stuckAfterMs?: number;
  /** Status calls under way at once. Default 8. */
  readonly parallelStatusCalls?: number;
  /** Looks at single pods under way at once. Default 4. */
  readonly parallelLooks?: number;
  /** Pods that may wait for a look; more mean a relist. Default 200. kubelet: the relist queue. */
  readonly lookQueueCapacity?: number;
  /**
   * How long after an event of an id that no list has shown it is asked for whose it is. Default 100. Whoever makes all that it looks at, and asks
   * for a look after it has made something, needs no answer sooner than its own calls take: the question costs three calls.
   */
  readonly unknownIdDelayMs?: number;
}

/** The options with all defaults filled in. */
export type ResolvedPlegOptions = Required<Omit<GenericPlegOptions, "checkpoint" | "events">> & {
  readonly checkpoint: PlegCheckpoint | undefined;
  readonly events: TaskEventStream | undefined;
};

/** Fills in defaults. Throws a `RangeError` on a number that makes no sense. */
export function resolveOptions(options: GenericPlegOptions): ResolvedPlegOptions {
  const resolved: ResolvedPlegOptions = {
    ...options,
    checkpoint: options.checkpoint,
    events: options.events,
    labelSelector: options.labelSelector ?? {},
    publish: options.publish ?? nullPublisher,
    logger: options.logger ?? silentLogger,
    metrics: options.metrics ?? noMetrics,
    random: options.random ?? seededRandom(1),
    relistPeriodMs: options.relistPeriodMs ?? 1000,
    relistPeriodWithEventsMs: options.relistPeriodWithEventsMs ?? 10_000,
    relistThresholdMs: options.relistThresholdMs ?? 180_000,
    listDeadlineMs: options.listDeadlineMs ?? 120_000,
    statusDeadlineMs: options.statusDeadlineMs ?? 10_000,
    stuckAfterMs: options.stuckAfterMs ?? 1000,
    parallelStatusCalls: options.parallelStatusCalls ?? 8,
    parallelLooks: options.parallelLooks ?? 4,
    lookQueueCapacity: options.lookQueueCapacity ?? 200,
    unknownIdDelayMs: options.unknownIdDelayMs ?? 100,
  };
  for (const [key, value] of Object.entries(resolved))
    if (typeof value === "number" && !(value >= 1))
      throw new RangeError(`pleg option ${key} must be at least 1, got ${value}`);
  return resolved;
}
