// SPDX-License-Identifier: Apache-2.0
import { ManualClock } from "@holdfast/core/manual-clock";
import { MemoryReducer } from "../src/run/memory-reducer.ts";
import { expect, test } from "vitest";

const MIB = 1024 * 1024;

function watched(): {
  readonly clock: ManualClock;
  readonly reducer: MemoryReducer;
  readonly state: { events: number; heap: number; collections: number };
} {
  const clock = new ManualClock();
  const state = { events: 0, heap: 10 * MIB, collections: 0 };
  const reducer = new MemoryReducer({
    clock,
    activity: () => state.events,
    heapBytes: () => state.heap,
    collect: () => {
      state.collections += 1;
      state.heap = 10 * MIB;
    },
  });
  return { clock, reducer, state };
}

test("after a burst memory is collected once, and never while idle or busy", async () => {
  const { clock, reducer, state } = watched();
  await reducer.start();
  await clock.advance(60_000);
  expect(state.collections).toBe(1);
  await clock.advance(3_600_000);
  expect(state.collections).toBe(1);
  for (let round = 0; round < 10; round++) {
    state.events += 20;
    await clock.advance(5_000);
  }
  expect(state.collections).toBe(1);
  await clock.advance(60_000);
  expect(state.collections).toBe(2);
  await reducer.stop();
  expect(clock.waiting).toBe(0);
});

test("a quiet agent's heap is collected when it has crept up, not before", async () => {
  const { clock, reducer, state } = watched();
  await reducer.start();
  await clock.advance(60_000);
  state.heap += 3 * MIB;
  await clock.advance(60_000);
  expect(state.collections).toBe(1);
  state.heap += 1;
  await clock.advance(60_000);
  expect(state.collections).toBe(2);
  await clock.advance(3_600_000);
  expect(state.collections).toBe(2);
  await reducer.stop();
});
