// SPDX-License-Identifier: Apache-2.0

/** Figures of all probes together. Those by container are kept by the workers themselves: see `probe-exposition.ts`. */
import type { Counter, Gauge, Histogram, Metrics } from "@holdfast/core/metrics";
import type { ProberErrorWhy } from "./outcome.ts";

/** What carries out a probe. */
export type HandlerName = "http" | "tcp" | "grpc" | "exec";

const MS_PER_SECOND = 1000;
const LATENESS_BUCKETS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5];
/** Made once: most probes need one of them. */
const HANDLER_LABELS: Readonly<Record<HandlerName, Readonly<Record<string, string>>>> = {
  http: Object.freeze({ handler: "http" }),
  tcp: Object.freeze({ handler: "tcp" }),
  grpc: Object.freeze({ handler: "grpc" }),
  exec: Object.freeze({ handler: "exec" }),
};

/** See the top of the file. */
export class ProbeMetrics {
  readonly #lateness: Histogram;
  readonly #attempts: Counter;
  readonly #seconds: Counter;
  readonly #errors: Counter;
  readonly #changes: Counter;
  readonly #leftBehind: Counter;
  readonly #leftEnded: Counter;
  readonly #dropped: Counter;
  readonly #workers: Gauge;

  constructor(metrics: Metrics) {
    this.#lateness = metrics.histogram(
      "holdfast_probe_lateness_seconds",
      "From when a probe was due to its start, the wait for a place included.",
      LATENESS_BUCKETS,
    );
    this.#attempts = metrics.counter("holdfast_probe_attempts_total", "Attempts made, by handler.");
    this.#seconds = metrics.counter(
      "holdfast_probe_seconds_total",
      "Time that attempts took, by handler; several may be under way at once.",
    );
    this.#errors = metrics.counter(
      "holdfast_prober_errors_total",
      "Attempts that say nothing about their target, by why.",
    );
    this.#changes = metrics.counter("holdfast_probe_result_changes_total", "Verdicts that changed, by kind.");
    this.#leftBehind = metrics.counter(
      "holdfast_probe_exec_left_total",
      "Processes that timed-out commands left behind.",
    );
    this.#leftEnded = metrics.counter("holdfast_probe_exec_ended_total", "Those of them that were ended.");
    this.#dropped = metrics.counter(
      "holdfast_probe_workers_dropped_total",
      "Workers not made for want of room.",
    );
    this.#workers = metrics.gauge("holdfast_probe_workers", "Workers.");
  }

  started(lateMs: number): void {
    // A machine's timer may come a little early.
    this.#lateness.observe(Math.max(lateMs, 0) / MS_PER_SECOND);
  }
  attempt(handler: HandlerName): void {
    this.#attempts.inc(HANDLER_LABELS[handler]);
  }
  took(handler: HandlerName, ms: number): void {
    this.#seconds.inc(HANDLER_LABELS[handler], ms / MS_PER_SECOND);
  }
  proberError(why: ProberErrorWhy): void {
    this.#errors.inc({ why });
  }
  changed(kind: string): void {
    this.#changes.inc({ kind });
  }
  leftBehind(processes: number, ended: number): void {
    this.#leftBehind.inc({}, processes);
    this.#leftEnded.inc({}, ended);
  }
  dropped(): void {
    this.#dropped.inc();
  }
  workers(count: number): void {
    this.#workers.set(count);
  }
}
