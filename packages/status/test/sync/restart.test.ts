// SPDX-License-Identifier: Apache-2.0
import { ManualClock } from "@holdfast/core/manual-clock";
import { findCondition, StatusManager, StatusSync } from "@holdfast/status";
import type { StatusCheckpoint } from "@holdfast/status";
import { expect, test } from "vitest";
import { exited, options, pod, record, runtime } from "../builders.ts";
import { TestSink } from "./sink-rig.ts";

const HOUR = 3_600_000;

test("the agent restarts in the middle of an outage, the wall clock steps: the sink gets what is true, with the times of before", async () => {
  const clock = new ManualClock();
  const values = new Map<string, string>();
  const checkpoint: StatusCheckpoint = {
    get: (key) => values.get(key),
    set: (key, value) => void values.set(key, value),
    delete: (key) => void values.delete(key),
    entries: () => [...values],
  };
  const sink = new TestSink(clock);
  sink.answer = async () => {
    throw new Error("down");
  };
  const before = new StatusManager({ clock, checkpoint });
  const first = new StatusSync({ clock, source: before, sink });
  await first.start();
  before.update(pod("Never"), runtime([record("a")]), options());
  before.cordon("uid-1", "anna");
  await clock.advance(HOUR / 2);
  before.update(pod("Never"), runtime([exited("a", 4)]), options());
  await clock.advance(1000);
  await first.stop();

  clock.stepWall(-HOUR);
  const after = new StatusManager({ clock, checkpoint });
  await using second = new StatusSync({ clock, source: after, sink });
  await second.start();
  // By now the runtime has forgotten the container.
  after.update(pod("Never"), runtime([], []), options());
  await clock.advance(HOUR / 2);
  sink.answer = async () => "written";
  await clock.advance(15_000);
  expect(sink.had.length).toBe(1);
  const written = sink.last.get("uid-1")?.status;
  expect(written).toMatchObject({
    phase: "Failed",
    startTime: "2026-01-01T00:00:00Z",
    containerStatuses: [{ state: { terminated: { exitCode: 4 } } }],
  });
  expect(findCondition(written?.conditions, "Ready")).toMatchObject({
    status: "False",
    reason: "PodFailed",
    lastTransitionTime: "2026-01-01T00:00:00Z",
  });
  expect(after.cordonOf("uid-1")?.by).toBe("anna");
});
