// SPDX-License-Identifier: Apache-2.0

/** Values of a metric's labels. Label values must come from a bounded set. Frozen ones that are handed in again and again cost no look-up. */
export type Labels = Readonly<Record<string, string>>;

/** A number that only grows. */
export interface Counter {
  inc(labels?: Labels, by?: number): void;
}
/** A number that goes up and down. */
export interface Gauge {
  set(value: number, labels?: Labels): void;
  /** What it was about is gone: it is no longer shown. */
  remove(labels: Labels): void;
}
/** A distribution of observed values, in seconds where it is a duration. */
export interface Histogram {
  observe(value: number, labels?: Labels): void;
}

/** Where a manager's figures go. Names are the kubelet's where it has one, else they begin with `holdfast_`. */
export interface Metrics {
  counter(name: string, help: string): Counter;
  gauge(name: string, help: string): Gauge;
  histogram(name: string, help: string, buckets?: readonly number[]): Histogram;
}

/** Keeps nothing: every manager's default. */
export const noMetrics: Metrics = {
  counter: () => ({ inc() {} }),
  gauge: () => ({ set() {}, remove() {} }),
  histogram: () => ({ observe() {} }),
};

/** Prometheus' own default buckets, in seconds. */
export const DEFAULT_BUCKETS: readonly number[] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** How many label combinations one metric may have; further ones are counted in `holdfast_metric_series_dropped_total`. */
const MAX_SERIES = 2000;

const NO_LABELS: Labels = Object.freeze({});

interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly buckets: readonly number[];
  readonly series: Map<string, Series>;
  /** The last frozen labels, and what they led to. */
  lastLabels: Labels | undefined;
  lastSeries: Series | undefined;
}
interface Series {
  value: number;
  count: number;
  readonly perBucket: number[];
}

/** Keeps metrics in memory and prints them in Prometheus' text format. The same name twice is the same metric. */
export class MetricsRegistry implements Metrics {
  readonly #families = new Map<string, Family>();
  #dropped = 0;

  counter(name: string, help: string): Counter {
    const family = this.#family(name, help, "counter", []);
    return {
      inc: (labels = NO_LABELS, by = 1) => {
        const series = this.#series(family, labels);
        if (series !== undefined) series.value += by;
      },
    };
  }

  gauge(name: string, help: string): Gauge {
    const family = this.#family(name, help, "gauge", []);
    return {
      set: (value, labels = NO_LABELS) => {
        const series = this.#series(family, labels);
        if (series !== undefined) series.value = value;
      },
      remove: (labels) => {
        family.series.delete(labelText(labels));
        family.lastLabels = undefined;
      },
    };
  }

  histogram(name: string, help: string, buckets: readonly number[] = DEFAULT_BUCKETS): Histogram {
    const family = this.#family(name, help, "histogram", buckets);
    return {
      observe: (value, labels = NO_LABELS) => {
        const series = this.#series(family, labels);
        if (series === undefined) return;
        series.count += 1;
        series.value += value;
        let index = 0;
        while (index < family.buckets.length && !(value <= (family.buckets[index] ?? 0))) index += 1;
        if (index < family.buckets.length) series.perBucket[index] = (series.perBucket[index] ?? 0) + 1;
      },
    };
  }

  /** The value of one series (a histogram's count), or 0: for tests and the CLI. */
  value(name: string, labels: Labels = {}): number {
    const family = this.#families.get(name);
    const series = family?.series.get(labelText(labels));
    return (family?.type === "histogram" ? series?.count : series?.value) ?? 0;
  }

  /** Prometheus' text exposition format, version 0.0.4. */
  exposition(): string {
    const lines: string[] = [];
    for (const family of this.#families.values()) {
      lines.push(
        `# HELP ${family.name} ${family.help.replaceAll("\n", " ")}`,
        `# TYPE ${family.name} ${family.type}`,
      );
      for (const [labels, series] of family.series) {
        if (family.type === "histogram") lines.push(...histogramLines(family, labels, series));
        else lines.push(`${family.name}${labels === "" ? "" : `{${labels}}`} ${series.value}`);
      }
    }
    lines.push(
      "# TYPE holdfast_metric_series_dropped_total counter",
      `holdfast_metric_series_dropped_total ${this.#dropped}`,
    );
    return `${lines.join("\n")}\n`;
  }

  #family(name: string, help: string, type: Family["type"], buckets: readonly number[]): Family {
    const known = this.#families.get(name);
    if (known !== undefined) {
      if (known.type !== type) throw new TypeError(`metric ${name} is a ${known.type}, not a ${type}`);
      return known;
    }
    const family: Family = {
      name,
      help,
      type,
      buckets,
      series: new Map(),
      lastLabels: undefined,
      lastSeries: undefined,
    };
    this.#families.set(name, family);
    return family;
  }

  #series(family: Family, labels: Labels): Series | undefined {
    if (labels === family.lastLabels) return family.lastSeries;
    const series = this.#seriesOf(family, labels);
    if (Object.isFrozen(labels)) {
      family.lastLabels = labels;
      family.lastSeries = series;
    }
    return series;
  }

  #seriesOf(family: Family, labels: Labels): Series | undefined {
    const key = labelText(labels);
    const known = family.series.get(key);
    if (known !== undefined) return known;
    if (family.series.size >= MAX_SERIES) {
      this.#dropped += 1;
      return undefined;
    }
    const series: Series = { value: 0, count: 0, perBucket: family.buckets.map(() => 0) };
    family.series.set(key, series);
    return series;
  }
}

function labelText(labels: Labels): string {
  return Object.entries(labels)
    .map(
      ([key, value]) =>
        `${key}="${value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")}"`,
    )
    .join(",");
}

function histogramLines(family: Family, labels: string, series: Series): string[] {
  const prefix = labels === "" ? "" : `${labels},`;
  const braces = labels === "" ? "" : `{${labels}}`;
  let cumulative = 0;
  const lines = family.buckets.map((bound, index) => {
    cumulative += series.perBucket[index] ?? 0;
    return `${family.name}_bucket{${prefix}le="${bound}"} ${cumulative}`;
  });
  lines.push(
    `${family.name}_bucket{${prefix}le="+Inf"} ${series.count}`,
    `${family.name}_sum${braces} ${series.value}`,
    `${family.name}_count${braces} ${series.count}`,
  );
  return lines;
}
