// SPDX-License-Identifier: Apache-2.0

import type { Clock } from "@holdfast/core/clock";
import type { Gauge, Histogram, Metrics } from "@holdfast/core/metrics";
import type { ListedPod } from "./pod-records.ts";

const MS_PER_SECOND = 1000;
const RELIST_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** The PLEG's figures. Names are the kubelet's where it has one. */
export class PlegMetrics {
  readonly #clock: Pick<Clock, "now" | "monotonic">;
  readonly #relistDuration: Histogram;
  readonly #relistInterval: Histogram;
  readonly #podRelistDuration: Histogram;
  readonly #lastSeen: Gauge;
  readonly #runningPods: Gauge;
  readonly #runningContainers: Gauge;
  readonly #eventToCache: Histogram;
  readonly #listToCache: Histogram;
  readonly #quarantined: Gauge;
  readonly #oldestCall: Gauge;
  readonly #stuck: Gauge;
  readonly #unconfirmed: Gauge;
  readonly #dropped: { inc(labels: { readonly why: string }): void };
  readonly #streamUp: Gauge;

  constructor(metrics: Metrics, clock: Pick<Clock, "now" | "monotonic">) {
    this.#clock = clock;
    this.#relistDuration = metrics.histogram(
      "kubelet_pleg_relist_duration_seconds",
      "Duration of a relist of all pods.",
      RELIST_BUCKETS,
    );
    this.#relistInterval = metrics.histogram(
      "kubelet_pleg_relist_interval_seconds",
      "From the start of one relist to the start of the next.",
    );
    this.#podRelistDuration = metrics.histogram(
      "kubelet_pleg_pod_relist_duration_seconds",
      "Duration of a relist of one pod.",
      RELIST_BUCKETS,
    );
    this.#lastSeen = metrics.gauge(
      "kubelet_pleg_last_seen_seconds",
      "Unix time of the last good relist's start.",
    );
    // The bus never refuses an event; what a slow reader loses is counted there.
    metrics.counter("kubelet_pleg_discard_events", "Events lost to a full channel.").inc({}, 0);
    this.#runningPods = metrics.gauge("kubelet_running_pods", "Pods with a running sandbox.");
    this.#runningContainers = metrics.gauge("kubelet_running_containers", "Containers by state.");
    this.#eventToCache = metrics.histogram(
      "holdfast_pleg_event_to_cache_seconds",
      "From an event to the cache: an exit entered, and confirmed by the CRI; any other event looked into.",
      RELIST_BUCKETS,
    );
    this.#listToCache = metrics.histogram(
      "holdfast_pleg_relist_to_cache_seconds",
      "From the start of a list that showed a pod's change to the cache, by what was listed.",
      RELIST_BUCKETS,
    );
    this.#quarantined = metrics.gauge("holdfast_pleg_quarantined_pods", "Pods whose status cannot be read.");
    this.#oldestCall = metrics.gauge(
      "holdfast_pleg_oldest_call_seconds",
      "Age of the oldest call under way.",
    );
    this.#stuck = metrics.gauge(
      "holdfast_pleg_stuck_seconds",
      "For how long something is stuck: a pod set apart, a call past its time, or the lists. 0 when nothing is.",
    );
    this.#unconfirmed = metrics.gauge(
      "holdfast_pleg_unconfirmed_exits",
      "Exits that events told of and the CRI does not confirm.",
    );
    this.#dropped = metrics.counter(
      "holdfast_pleg_hints_dropped_total",
      "Hints that a relist took the place of.",
    );
    this.#streamUp = metrics.gauge("holdfast_pleg_event_stream_up", "Whether the event stream is trusted.");
  }

  relisted(startedAt: number, previousAt: number | undefined): void {
    this.#relistDuration.observe(this.#since(startedAt));
    if (previousAt !== undefined) this.#relistInterval.observe((startedAt - previousAt) / MS_PER_SECOND);
  }

  podRelisted(startedAt: number): void {
    this.#podRelistDuration.observe(this.#since(startedAt));
  }

  lastSeen(at: number): void {
    this.#lastSeen.set(this.#clock.now() / MS_PER_SECOND - this.#since(at));
  }

  eventToCache(eventAt: number, step: "entered" | "confirmed" | "looked"): void {
    this.#eventToCache.observe(this.#since(eventAt), { step });
  }

  listToCache(startedAt: number, whole: boolean): void {
    this.#listToCache.observe(this.#since(startedAt), { list: whole ? "all" : "pod" });
  }

  hintDropped(why: string): void {
    this.#dropped.inc({ why });
  }

  /** kubelet: updateRunningPodAndContainerMetrics. */
  running(pods: ReadonlyMap<string, ListedPod>): void {
    const containers = { running: 0, exited: 0, unknown: 0 };
    let runningPods = 0;
    for (const { items } of pods.values()) {
      let runs = false;
      for (const { kind, state } of items) {
        if (kind === "container") containers[state] += 1;
        else runs ||= state === "running";
      }
      if (runs) runningPods += 1;
    }
    this.#runningPods.set(runningPods);
    for (const state of ["running", "exited", "unknown"] as const)
      this.#runningContainers.set(containers[state], { container_state: state });
  }

  trouble(facts: {
    quarantined: number;
    unconfirmed: number;
    oldestCallMs: number;
    stuckMs: number;
    streamUp: boolean;
  }): void {
    this.#quarantined.set(facts.quarantined);
    this.#unconfirmed.set(facts.unconfirmed);
    this.#oldestCall.set(facts.oldestCallMs / MS_PER_SECOND);
    this.#stuck.set(facts.stuckMs / MS_PER_SECOND);
    this.#streamUp.set(facts.streamUp ? 1 : 0);
  }

  #since(at: number): number {
    return (this.#clock.monotonic() - at) / MS_PER_SECOND;
  }
}
