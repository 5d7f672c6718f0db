// SPDX-License-Identifier: Apache-2.0

import type { Counter, Gauge, Histogram, Metrics } from "@holdfast/core/metrics";
import type { ImageGcEntry, ImageGcPlan } from "./image-gc-facts.ts";

const BUCKETS = [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 600];

/** Figures of image GC. Names are the kubelet's where it has one. */
export class ImageGcMetrics {
  readonly #collected: Counter;
  readonly #freed: Counter;
  readonly #failures: Counter;
  readonly #images: Gauge;
  readonly #usage: Gauge;
  readonly #duration: Histogram;

  constructor(metrics: Metrics) {
    this.#collected = metrics.counter(
      "kubelet_image_garbage_collected_total",
      "Images that image GC removed, by reason: age or space.",
    );
    this.#freed = metrics.counter(
      "holdfast_image_gc_freed_bytes_total",
      "Sizes of images that were removed.",
    );
    this.#failures = metrics.counter("holdfast_image_gc_failures_total", "Passes of image GC that failed.");
    this.#images = metrics.gauge("holdfast_image_gc_images", "Images by what the last plan said of them.");
    this.#usage = metrics.gauge("holdfast_image_filesystem_usage_percent", "As image GC saw it last.");
    this.#duration = metrics.histogram("holdfast_image_gc_duration_seconds", "Duration of a pass.", BUCKETS);
  }

  planned({ entries, usage }: ImageGcPlan): void {
    if (usage !== undefined) this.#usage.set(usage.usagePercent);
    const going = entries.filter(({ verdict }) => verdict === "remove").length;
    this.#images.set(going, { verdict: "remove" });
    this.#images.set(entries.length - going, { verdict: "keep" });
  }

  removed({ rule, freesBytes }: ImageGcEntry): void {
    this.#collected.inc({ reason: rule === "max-age" ? "age" : "space" });
    this.#freed.inc({}, freesBytes);
  }

  passed(ms: number, failed: boolean): void {
    this.#duration.observe(ms / 1000);
    if (failed) this.#failures.inc();
  }
}
