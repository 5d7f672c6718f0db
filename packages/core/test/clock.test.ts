// SPDX-License-Identifier: Apache-2.0
import { clampedAge } from "@holdfast/core/clock";
import { ManualClock } from "@holdfast/core/manual-clock";
import { systemClock } from "@holdfast/core/node";
import { expect, test } from "vitest";

test("timers fire in order of due time, then of arming, and move both clocks", async () => {
  const clock = new ManualClock(1000);
  const fired: string[] = [];
  clock.timer(20, () => fired.push(`b@${clock.monotonic()}`));
  clock.timer(10, () => fired.push(`a@${clock.monotonic()}`));
  clock.timer(20, () => fired.push(`c@${clock.monotonic()}`));
  await clock.advance(25);
  expect(fired).toEqual(["a@10", "b@20", "c@20"]);
  expect([clock.now(), clock.monotonic(), clock.waiting]).toEqual([1025, 25, 0]);
});

test("code woken by one timer can arm its own timer in time", async () => {
  const clock = new ManualClock();
  let rounds = 0;
  const loop = (async () => {
    while (rounds < 3600) {
      await clock.sleep(1000);
      rounds += 1;
    }
  })();
  await clock.advance(3_600_000);
  await loop;
  expect(rounds).toBe(3600);
});

test("an aborted sleep rejects with the signal's reason and leaves no timer", async () => {
  const clock = new ManualClock();
  const controller = new AbortController();
  const sleeping = clock.sleep(1000, { signal: controller.signal });
  const reason = new Error("enough");
  controller.abort(reason);
  await expect(sleeping).rejects.toBe(reason);
  await expect(clock.sleep(1, { signal: controller.signal })).rejects.toBe(reason);
  expect(clock.waiting).toBe(0);
});

test("stepping the wall clock leaves timers and ages alone", async () => {
  const clock = new ManualClock(0);
  let fired = false;
  clock.timer(1000, () => (fired = true));
  clock.stepWall(3_600_000);
  await clock.settle();
  expect([fired, clock.monotonic(), clock.now()]).toEqual([false, 0, 3_600_000]);
  expect(clampedAge(clock, 7_200_000, 60_000)).toBe(0);
  expect(clampedAge(clock, 0, 60_000)).toBe(60_000);
});

test("the system clock sleeps through its port and can be cancelled", async () => {
  await systemClock.sleep(0);
  let fired = false;
  systemClock.timer(0, () => (fired = true)).cancel();
  await systemClock.sleep(1);
  expect(fired).toBe(false);
});
