// SPDX-License-Identifier: Apache-2.0

import type { Publisher } from "@holdfast/bus";
import type { Clock } from "@holdfast/core/clock";
import type { Logger } from "@holdfast/core/log";
import type { Metrics } from "@holdfast/core/metrics";
import type { ContainerLookup, KmsgDevice, OomCounters } from "./ports.ts";

/** Where a replay begins: what a caller kept of {@link OomWatcherOptions.bootId} and the last event's `kmsgSequence`. */
export interface ReplayPoint {
  readonly bootId: string;
  readonly sequence: number;
}

/** How an OomWatcher is made. */
export interface OomWatcherOptions {
  readonly device: KmsgDevice;
  readonly clock: Clock;
  readonly publish?: Publisher;
  /** Default: nobody is known, kills carry what their cgroup says. */
  readonly lookup?: ContainerLookup;
  /** The second witness. Default: none. */
  readonly counters?: OomCounters;
  readonly metrics?: Metrics;
  readonly logger?: Logger;
  readonly nodeName?: string;
  /** This boot's id; needed for a replay. */
  readonly bootId?: string;
  /**
   * Opt-in: tells what happened while nobody watched. A point of this boot: all after it; one of another boot: all of this boot that the
   * kernel still has. Default: only what happens after the start. kubelet: always replays everything, and tells it again after each restart.
   */
  readonly replay?: ReplayPoint;
  /** Milliseconds between looks at the log when nothing tells that there may be something. Default 10 000. */
  readonly periodMs?: number;
  /** Milliseconds that witnesses have before they are compared. Default 2000. */
  readonly settleMs?: number;
  /** Deadline of one lookup. Default 2000. */
  readonly lookupTimeoutMs?: number;
  /** Containers remembered, gone ones too. Default 1024. */
  readonly memoryCapacity?: number;
  /** Kills that may wait for a lookup; more are counted and dropped. Default 1024. */
  readonly queueCapacity?: number;
  /** Label sets of `container_oom_events_total`; further containers share one without names. Default 500. */
  readonly maxLabelSets?: number;
}

/** The sequence to read after, or undefined to begin at the end. */
export function replayAfter(replay: ReplayPoint | undefined, bootId: string | undefined): number | undefined {
  if (replay === undefined || bootId === undefined) return undefined;
  return replay.bootId === bootId ? replay.sequence : -1;
}
