// SPDX-License-Identifier: Apache-2.0

import type { Publisher } from "@holdfast/bus";
import type { Clock } from "@holdfast/core/clock";
import type { Logger } from "@holdfast/core/log";
import type { Metrics } from "@holdfast/core/metrics";
import type { Random } from "@holdfast/core/random";
import type { StatusManager } from "../status-manager.ts";
import type { StatusSink } from "./ports.ts";

/** How a `StatusSync` is made. Milliseconds. */
export interface StatusSyncOptions {
  readonly clock: Clock;
  /** Whose statuses. */
  readonly source: Pick<StatusManager, "all" | "observe">;
  readonly sink: StatusSink;
  /** Writes under way at once, of different pods. Default 8; the kubelet writes one after another. */
  readonly parallel?: number;
  /** For one write. Default 10 s. */
  readonly deadlineMs?: number;
  /** Distance to the first retry, doubling. Default 200 ms. */
  readonly initialBackoffMs?: number;
  /** Longest distance. Default 10 s: the kubelet's own period. */
  readonly maxBackoffMs?: number;
  /** How often what was written is compared, where the sink can, and pods that are waited for are looked at again. Default 10 s. kubelet: syncPeriod. */
  readonly reconcileMs?: number;
  /** Pods that are kept at most, those that the node has forgotten and the sink has not heard of included. Default 8192. */
  readonly capacity?: number;
  /** For jitter. Default none. */
  readonly random?: Random;
  readonly publish?: Publisher;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

/** What {@link StatusSyncOptions} leaves out. */
export const SYNC_DEFAULTS = {
  parallel: 8,
  deadlineMs: 10_000,
  initialBackoffMs: 200,
  maxBackoffMs: 10_000,
  reconcileMs: 10_000,
  capacity: 8192,
  random: () => 0,
} as const;

/** A status that the sink refuses for good is tried again after this long, in case the sink has changed its mind. */
export const REFUSED_RETRY_MS = 60_000;
/** A server that asks to be left alone for longer is asked again all the same. */
export const MAX_RETRY_AFTER_MS = 300_000;
/** An outage is a failure of health after this long. */
export const UNHEALTHY_AFTER_MS = 60_000;
