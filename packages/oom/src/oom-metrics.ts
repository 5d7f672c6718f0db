// SPDX-License-Identifier: Apache-2.0

import type { Counter, Labels, Metrics } from "@holdfast/core/metrics";
import type { OomContainer } from "./ports.ts";

/** The watcher's figures. Label values are bounded: containers beyond `maxLabelSets` share one set without names. */
export class OomMetrics {
  readonly #container: Counter;
  readonly #seen = new Set<string>();
  readonly #maxLabelSets: number;
  readonly records: Counter;
  readonly lost: Counter;
  readonly system: Counter;
  readonly dropped: Counter;
  readonly disagreements: Counter;

  constructor(metrics: Metrics, maxLabelSets: number) {
    this.#maxLabelSets = maxLabelSets;
    this.#container = metrics.counter(
      "container_oom_events_total",
      "Count of out of memory events observed for the container",
    );
    this.records = metrics.counter("holdfast_oom_kmsg_records_total", "Records read from the kernel's log.");
    this.lost = metrics.counter("holdfast_oom_kmsg_lost_total", "Records overwritten before they were read.");
    this.system = metrics.counter("holdfast_oom_system_total", "OOM kills for want of the machine's memory.");
    this.dropped = metrics.counter(
      "holdfast_oom_dropped_total",
      "OOM kills dropped because too many waited.",
    );
    this.disagreements = metrics.counter(
      "holdfast_oom_disagreements_total",
      "Witnesses of OOM kills that disagreed.",
    );
  }

  /** One kill of a container. cAdvisor counts reports: a group's members count as one with the first. */
  container(facts: OomContainer): void {
    const [namespace = "", pod = ""] = facts.pod.split("/");
    const key = `${facts.pod}/${facts.container}`;
    const isKnown = this.#seen.has(key) || this.#seen.size < this.#maxLabelSets;
    if (isKnown) this.#seen.add(key);
    const labels: Labels = isKnown
      ? { container: facts.container, namespace, pod }
      : { container: "", namespace: "", pod: "" };
    this.#container.inc(labels);
  }
}
