// SPDX-License-Identifier: Apache-2.0
import { HoldfastError } from "@holdfast/core/errors";
import { StatusSinkError } from "@holdfast/status";
import { expect, test } from "vitest";
import { rig } from "./sink-rig.ts";

const HOUR = 3_600_000;
const down = () => new StatusSinkError("TEST_DOWN", "retryable", "connection refused", { scope: "sink" });
const broken = () => new HoldfastError("TEST_500", "retryable", "internal error");
const uids = (count: number): string[] => Array.from({ length: count }, (_, index) => `pod-${index}`);

test("an hour without the sink: one try at a time, nothing lost, bounded, and all written soon after", async () => {
  const { clock, created, failed, manager, outages, podOf, runs, sink, sync, metrics } = rig();
  await sync.start();
  const pods = uids(200);
  for (const uid of pods) created(uid);
  await clock.advance(1000);
  sink.answer = async () => {
    throw down();
  };
  sink.calls = 0;
  for (let minute = 0; minute < 60; minute++) {
    for (const [index, uid] of pods.entries()) {
      if (index % 60 === minute) runs(uid);
      if (index % 60 === minute && index >= 100) failed(uid, 1);
    }
    // Every minute a pod comes, ends and goes from the node.
    runs(`gone-${minute}`);
    manager.terminatePod(podOf(`gone-${minute}`));
    manager.remove(`gone-${minute}`);
    await clock.advance(60_000);
  }
  expect(sink.calls).toBeLessThan(8 + HOUR / 10_000 + 20);
  expect(sync.health().failures).toEqual([
    "pod statuses have not reached test for 3600 s: connection refused",
  ]);
  expect(sync.snapshot()).toMatchObject({ pods: 260, pending: 260, down: true });
  sink.answer = async () => "written";
  sink.had.length = 0;
  await clock.advance(15_000);
  expect([sync.isSettled(), sync.health().failures, clock.waiting]).toEqual([true, [], 0]);
  // Each pod once, with its last state.
  expect(sink.had.length).toBe(260);
  for (const one of manager.all()) expect(sink.last.get(one.uid)?.version).toBe(one.version);
  for (let minute = 0; minute < 60; minute++)
    expect(sink.last.get(`gone-${minute}`)).toMatchObject({ finished: true, status: { phase: "Failed" } });
  expect([sink.forgotten.length, sync.snapshot().pods]).toEqual([60, 200]);
  expect(metrics.value("holdfast_status_sync_lost_total")).toBe(0);
  expect([outages.take(), outages.take(), outages.take()]).toMatchObject([
    { data: { sink: "test", reachable: false, message: "connection refused" } },
    { data: { sink: "test", reachable: true } },
    undefined,
  ]);
  await sync.stop();
});

test("many pods that fail each for itself are an outage too; one good answer ends it for all", async () => {
  const { clock, runs, sink, sync } = rig();
  sink.answer = async () => {
    throw broken();
  };
  await sync.start();
  for (const uid of uids(100)) runs(uid);
  await clock.advance(30_000);
  expect(sync.snapshot().down).toBe(true);
  expect(sink.calls).toBeLessThan(40);
  sink.answer = async () => "written";
  await clock.advance(11_000);
  expect([sink.last.size, sync.isSettled()]).toEqual([100, true]);
  await sync.stop();
});

test("one pod that makes the sink look down is found out, and harms nobody", async () => {
  const { clock, created, runs, sink, sync, outages } = rig();
  sink.answer = async ({ uid }) => {
    if (uid === "bad") throw down();
    return "written";
  };
  await sync.start();
  for (const uid of ["bad", ...uids(20)]) created(uid);
  await clock.advance(60_000);
  for (const uid of uids(20)) runs(uid);
  await clock.advance(100);
  expect(uids(20).every((uid) => sink.last.get(uid)?.status.phase === "Running")).toBe(true);
  expect([outages.pending, sink.calls]).toEqual([2, 40 + 11]);
  await sync.stop();
});

test("pods beyond the capacity: those that are gone from the node go first, and are counted", async () => {
  const { clock, manager, runs, sink, sync, metrics } = rig({ capacity: 3 });
  sink.answer = async () => {
    throw down();
  };
  await sync.start();
  for (const uid of ["a", "b", "c"]) runs(uid);
  await clock.advance(1000);
  manager.remove("b");
  runs("d");
  expect(metrics.value("holdfast_status_sync_lost_total")).toBe(1);
  sink.answer = async () => "written";
  await clock.advance(11_000);
  expect([[...sink.last.keys()].sort(), sink.forgotten]).toEqual([["a", "c", "d"], ["b"]]);
  await sync.stop();
});
