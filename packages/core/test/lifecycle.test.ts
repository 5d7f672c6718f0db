// SPDX-License-Identifier: Apache-2.0
import { linkSignal, Supervisor, withDeadline } from "@holdfast/core/lifecycle";
import type { Component } from "@holdfast/core/lifecycle";
import { ManualClock } from "@holdfast/core/manual-clock";
import { MetricsRegistry } from "@holdfast/core/metrics";
import { expect, test } from "vitest";

function component(
  name: string,
  log: string[],
  start: () => Promise<void> = async () => {},
  stop: () => Promise<void> = async () => {},
): Component {
  return {
    name,
    start: async () => {
      await start();
      log.push(`+${name}`);
    },
    stop: async () => {
      await stop();
      log.push(`-${name}`);
    },
    health: () => ({ failures: name === "sick" ? ["feels bad"] : [] }),
    async [Symbol.asyncDispose]() {
      await this.stop();
    },
  };
}

test("starts in order and stops in reverse", async () => {
  const log: string[] = [];
  const supervisor = new Supervisor({ clock: new ManualClock() });
  await supervisor.start([component("a", log), component("sick", log)]);
  expect(supervisor.health().failures).toEqual(["sick: feels bad"]);
  await supervisor.stop();
  await supervisor.stop();
  expect(log).toEqual(["+a", "+sick", "-sick", "-a"]);
});

test("a failed start stops what had started, itself included", async () => {
  const log: string[] = [];
  const supervisor = new Supervisor({ clock: new ManualClock() });
  const failing = component("b", log, () => Promise.reject(new Error("no")));
  await expect(supervisor.start([component("a", log), failing, component("c", log)])).rejects.toThrow("no");
  expect(log).toEqual(["+a", "-b", "-a"]);
});

test("a component that does not stop is left behind after its limit", async () => {
  const clock = new ManualClock();
  const log: string[] = [];
  const supervisor = new Supervisor({ clock, stopTimeoutMs: 1000 });
  await supervisor.start([
    component("a", log),
    component("stuck", log, undefined, () => new Promise(() => {})),
  ]);
  const stopping = supervisor.stop();
  await clock.advance(1000);
  await stopping;
  expect(log).toEqual(["+a", "+stuck", "-a"]);
  expect(clock.waiting).toBe(0);
});

test("a linked signal follows its parent until it is let go of", () => {
  const parent = new AbortController();
  const kept = linkSignal(parent.signal);
  const released = linkSignal(parent.signal);
  released[Symbol.dispose]();
  parent.abort(new Error("stop"));
  expect([kept.signal.aborted, released.signal.aborted, linkSignal(parent.signal).signal.aborted]).toEqual([
    true,
    false,
    true,
  ]);
});

test("withDeadline names what took too long", async () => {
  const clock = new ManualClock();
  const waiting = expect(withDeadline(clock, 50, "stopping x", new Promise(() => {}))).rejects.toThrow(
    "stopping x took longer than 50 ms",
  );
  await clock.advance(50);
  await waiting;
  expect(await withDeadline(clock, 50, "y", Promise.resolve(1))).toBe(1);
  expect(clock.waiting).toBe(0);
});

test("metrics print in Prometheus' format, escaped and bounded", () => {
  const metrics = new MetricsRegistry();
  metrics.counter("a_total", "A.").inc({ path: 'x"\\\n' });
  metrics.gauge("g", "G.").set(2);
  const histogram = metrics.histogram("h_seconds", "H.", [0.1, 1]);
  for (const value of [0.05, 0.5, 5]) histogram.observe(value, { op: "list" });
  const text = metrics.exposition();
  expect(text).toContain('a_total{path="x\\"\\\\\\n"} 1');
  expect(text).toContain("g 2");
  expect(text).toContain('h_seconds_bucket{op="list",le="1"} 2');
  expect(text).toContain('h_seconds_bucket{op="list",le="+Inf"} 3');
  for (let series = 0; series < 3000; series++)
    metrics.counter("b_total", "B.").inc({ series: String(series) });
  expect(metrics.exposition()).toContain("holdfast_metric_series_dropped_total 1000");
});

test("frozen labels that come again and again lead to their own series, whatever comes in between", () => {
  const metrics = new MetricsRegistry();
  const [a, b] = [Object.freeze({ op: "a" }), Object.freeze({ op: "b" })];
  const counter = metrics.counter("c_total", "C.");
  const changing = { op: "a" };
  for (let turn = 0; turn < 3; turn++) {
    for (const labels of [a, a, b, undefined]) counter.inc(labels);
    counter.inc(changing);
    changing.op = "b";
  }
  expect(["a", "b"].map((op) => metrics.value("c_total", { op }))).toEqual([7, 5]);
  expect(metrics.value("c_total")).toBe(3);
  const histogram = metrics.histogram("n_seconds", "N.", [1]);
  for (const value of [0.5, 1, Number.NaN, 2]) histogram.observe(value);
  expect(metrics.exposition()).toContain('n_seconds_bucket{le="1"} 2');
});
