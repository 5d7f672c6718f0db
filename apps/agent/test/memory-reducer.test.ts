// SPDX-License-Identifier: Apache-2.0
import { ManualClock } from "@holdfast/core/manual-clock";
import { MemoryReducer } from "../src/run/memory-reducer.ts";
import { expect, test } from "vitest";

test("after a burst memory is collected three times, and never while idle or busy", async () => {
  const clock = new ManualClock();
  let events = 0;
  let collections = 0;
  const reducer = new MemoryReducer({ clock, activity: () => events, collect: () => (collections += 1) });
  await reducer.start();
  await clock.advance(60_000);
  expect(collections).toBe(3);
  await clock.advance(3_600_000);
  expect(collections).toBe(3);
  for (let round = 0; round < 10; round++) {
    events += 20;
    await clock.advance(5_000);
  }
  expect(collections).toBe(3);
  await clock.advance(60_000);
  expect(collections).toBe(6);
  await reducer.stop();
  expect(clock.waiting).toBe(0);
});
