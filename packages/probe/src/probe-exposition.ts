// SPDX-License-Identifier: Apache-2.0

/**
 * The kubelet's two metrics about probes, by container. They are counted in the worker, so that a series ends with it and a probe costs no
 * look-up; the text is made when somebody asks. kubelet: /metrics/probes.
 */
import { DEFAULT_BUCKETS } from "@holdfast/core/metrics";
import type { Pod } from "@holdfast/core/pod-types";
import { KIND_TITLES } from "./outcome.ts";
import type { ProbeVerdict } from "./outcome.ts";
import type { ProbeKind } from "./probe-spec.ts";

const MS_PER_SECOND = 1000;

/** One worker's counts. */
export class WorkerCounts {
  successful = 0;
  failed = 0;
  /** Thrown away: prober errors. Not in the kubelet's metric. */
  errors = 0;
  /** Milliseconds that the last probe took, its repeats included; those of all of them. Whatever they came to. */
  lastTookMs = 0;
  tookMs = 0;
  #sumSeconds = 0;
  readonly #perBucket = new Uint32Array(DEFAULT_BUCKETS.length + 1);

  /** How many probes were made. */
  get made(): number {
    return this.successful + this.failed + this.errors;
  }

  /** `result` undefined: thrown away. The metric has durations of successes only, as the kubelet's. */
  count(result: ProbeVerdict | undefined, elapsedMs: number): void {
    this.lastTookMs = elapsedMs;
    this.tookMs += elapsedMs;
    if (result === undefined) {
      this.errors += 1;
      return;
    }
    if (result === "failure") {
      this.failed += 1;
      return;
    }
    this.successful += 1;
    const seconds = elapsedMs / MS_PER_SECOND;
    this.#sumSeconds += seconds;
    let bucket = 0;
    while (bucket < DEFAULT_BUCKETS.length && seconds > (DEFAULT_BUCKETS[bucket] ?? 0)) bucket += 1;
    // The last one, of what is longer than all, is not shown.
    this.#perBucket[bucket] = (this.#perBucket[bucket] ?? 0) + 1;
  }

  /** Lines of `prober_probe_duration_seconds`. */
  durationLines(labels: string): string[] {
    let cumulative = 0;
    const lines = DEFAULT_BUCKETS.map((bound, index) => {
      cumulative += this.#perBucket[index] ?? 0;
      return `prober_probe_duration_seconds_bucket{${labels},le="${bound}"} ${cumulative}`;
    });
    return [
      ...lines,
      `prober_probe_duration_seconds_bucket{${labels},le="+Inf"} ${this.successful}`,
      `prober_probe_duration_seconds_sum{${labels}} ${this.#sumSeconds}`,
      `prober_probe_duration_seconds_count{${labels}} ${this.successful}`,
    ];
  }
}

/** What of a worker is shown. */
export interface CountedWorker {
  readonly pod: Pod;
  readonly container: { readonly name: string };
  readonly kind: ProbeKind;
  readonly counts: WorkerCounts;
}

/** Prometheus' text format. */
export function probeExposition(workers: Iterable<CountedWorker>): string {
  const totals: string[] = [];
  const durations: string[] = [];
  for (const { pod, container, kind, counts } of workers) {
    const { name, namespace, uid } = pod.metadata;
    const about = `container="${container.name}",namespace="${namespace}",pod="${name}"`;
    const type = `probe_type="${KIND_TITLES[kind]}"`;
    for (const [result, value] of [
      ["successful", counts.successful],
      ["failed", counts.failed],
    ] as const)
      if (value > 0)
        totals.push(`prober_probe_total{${about},pod_uid="${uid}",${type},result="${result}"} ${value}`);
    if (counts.successful > 0) durations.push(...counts.durationLines(`${about},${type}`));
  }
  const lines = [
    "# HELP prober_probe_total Cumulative number of a liveness, readiness or startup probe for a container by result.",
    "# TYPE prober_probe_total counter",
    ...totals,
    "# HELP prober_probe_duration_seconds Duration in seconds for a probe response.",
    "# TYPE prober_probe_duration_seconds histogram",
    ...durations,
  ];
  return `${lines.join("\n")}\n`;
}
