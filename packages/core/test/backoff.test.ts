// SPDX-License-Identifier: Apache-2.0
import { Backoff } from "@holdfast/core/backoff";
import { ManualClock } from "@holdfast/core/manual-clock";
import { expect, test } from "vitest";

const make = (clock: ManualClock, capacity = 10): Backoff =>
  new Backoff({ clock, initialMs: 10_000, maxMs: 300_000, forgetAfterMs: 600_000, capacity });

test("delays double up to the maximum", async () => {
  const clock = new ManualClock();
  const backoff = make(clock);
  const delays = Array.from({ length: 7 }, () => backoff.next("a"));
  expect(delays).toEqual([10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000]);
});

test("the remaining wait counts from the event, and is forgotten after 600 s without one", async () => {
  const clock = new ManualClock();
  const backoff = make(clock);
  backoff.next("a");
  await clock.advance(4_000);
  expect(backoff.remainingMs("a", 0)).toBe(6_000);
  expect(backoff.remainingMs("a", 4_000)).toBe(10_000);
  expect(backoff.remainingMs("b", 0)).toBe(0);
  await clock.advance(600_000);
  expect(backoff.remainingMs("a", clock.monotonic())).toBe(0);
  expect(backoff.next("a")).toBe(10_000);
});

test("entries are bounded, can be collected, restored and reset", async () => {
  const clock = new ManualClock();
  const backoff = make(clock, 2);
  for (const key of ["a", "b", "c"]) backoff.next(key);
  expect([...backoff.entries().keys()]).toEqual(["b", "c"]);
  await clock.advance(600_001);
  backoff.gc();
  expect(backoff.entries().size).toBe(0);
  backoff.restore("a", { delayMs: 40_000, updatedAt: clock.monotonic() });
  expect(backoff.next("a")).toBe(80_000);
  backoff.reset("a");
  expect(backoff.delayMs("a")).toBe(0);
});
