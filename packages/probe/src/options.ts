// SPDX-License-Identifier: Apache-2.0

import { nullPublisher } from "@holdfast/bus";
import type { EventType, Publisher, Subscriber } from "@holdfast/bus";
import type { Clock } from "@holdfast/core/clock";
import { silentLogger } from "@holdfast/core/log";
import type { Logger } from "@holdfast/core/log";
import { noMetrics } from "@holdfast/core/metrics";
import type { Metrics } from "@holdfast/core/metrics";
import { seededRandom } from "@holdfast/core/random";
import type { Random } from "@holdfast/core/random";
import { DEFAULT_USER_AGENT } from "./http-request.ts";
import type { ProbeCheckpoint, ProbeHandlers, ProbeProcesses, ProbeRuntime, ProbeTarget } from "./ports.ts";

/** How a `ProbeManager` is made. Milliseconds. */
export interface ProbeManagerOptions {
  readonly clock: Clock;
  readonly target: ProbeTarget;
  /** `nodeProbeHandlers` of `@holdfast/probe/node`. */
  readonly handlers: ProbeHandlers;
  /** For exec probes. Without it they are prober errors. */
  readonly runtime?: ProbeRuntime;
  /** Counts what timed-out commands leave behind. Default: one for each that the runtime did not end. */
  readonly processes?: ProbeProcesses;
  /** Where verdicts survive a restart. Default: nowhere. */
  readonly checkpoint?: ProbeCheckpoint;
  readonly publish?: Publisher;
  /** Where events about containers come from: the pod that is their subject is looked at once. */
  readonly bus?: Subscriber;
  /** Which events: the PLEG's Started, Died and PodSync. Default: none. */
  readonly wakeOn?: readonly EventType<unknown>[];
  readonly logger?: Logger;
  readonly metrics?: Metrics;
  /** For jitter. Default: seeded with 1. */
  readonly random?: Random;
  /** How often a worker that has nothing to do looks again. Default 10000 with `bus`, else the probe's period. */
  readonly idleRecheckMs?: number;
  /** Containers that run already when the manager starts are probed within so many milliseconds, at random. Default 1000. */
  readonly restartSpreadMs?: number;
  /**
   * Probes due within this time wake the process together: the rhythm stays exact, its phase is rounded up. At most a tenth of the period, less
   * where many probes would come at once, and rounded down to a part of a second. Default 100.
   */
  readonly coalesceMs?: number;
  /** Commands under way at once on the node. Default 8. */
  readonly parallelExecs?: number;
  /** Commands under way at once in one pod. Default 2. */
  readonly parallelExecsPerPod?: number;
  /** Attempts over the network under way at once. Default 512. */
  readonly parallelSockets?: number;
  /** How much later than a command's timeout the runtime may answer. Default 10000; the kubelet waits 2 minutes. */
  readonly execAnswerGraceMs?: number;
  /** The same Unhealthy text is told again after so long. Default 60000. */
  readonly eventRepeatMs?: number;
  /** Whether what targets say themselves (bodies, outputs of commands) is told in events. Default true; else it is counted in bytes. */
  readonly probeOutput?: boolean;
  /** More workers than this are not made, and counted. Default 20000. */
  readonly capacity?: number;
  /** Default `kube-probe/1.36`. */
  readonly userAgent?: string;
}

/** The options with all defaults filled in. */
export type ResolvedProbeOptions = Required<
  Omit<ProbeManagerOptions, "runtime" | "processes" | "checkpoint" | "bus" | "idleRecheckMs">
> & {
  readonly runtime: ProbeRuntime | undefined;
  readonly processes: ProbeProcesses | undefined;
  readonly checkpoint: ProbeCheckpoint | undefined;
  readonly bus: Subscriber | undefined;
  /** 0: the probe's period. */
  readonly idleRecheckMs: number;
};

/** Fills in defaults. Throws a `RangeError` on a number that makes no sense. */
export function resolveOptions(options: ProbeManagerOptions): ResolvedProbeOptions {
  const resolved: ResolvedProbeOptions = {
    ...options,
    runtime: options.runtime,
    processes: options.processes,
    checkpoint: options.checkpoint,
    bus: options.bus,
    publish: options.publish ?? nullPublisher,
    wakeOn: options.wakeOn ?? [],
    logger: options.logger ?? silentLogger,
    metrics: options.metrics ?? noMetrics,
    random: options.random ?? seededRandom(1),
    idleRecheckMs: options.idleRecheckMs ?? (options.bus === undefined ? 0 : 10_000),
    restartSpreadMs: options.restartSpreadMs ?? 1000,
    coalesceMs: options.coalesceMs ?? 100,
    parallelExecs: options.parallelExecs ?? 8,
    parallelExecsPerPod: options.parallelExecsPerPod ?? 2,
    parallelSockets: options.parallelSockets ?? 512,
    execAnswerGraceMs: options.execAnswerGraceMs ?? 10_000,
    eventRepeatMs: options.eventRepeatMs ?? 60_000,
    probeOutput: options.probeOutput ?? true,
    capacity: options.capacity ?? 20_000,
    userAgent: options.userAgent ?? DEFAULT_USER_AGENT,
  };
  for (const [key, value] of Object.entries(resolved)) {
    const least = key.endsWith("Ms") ? 0 : 1;
    if (typeof value === "number" && !(value >= least))
      throw new RangeError(`probe option ${key} must be at least ${least}, got ${value}`);
  }
  return resolved;
}
