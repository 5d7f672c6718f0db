// SPDX-License-Identifier: Apache-2.0

import { ManualClock } from "@holdfast/core/manual-clock";
import { describe, expect, it } from "vitest";
import { CrashLoopBackOff } from "../../src/kuberuntime/crash-loop-back-off.ts";
import { container, exited, makePod, record } from "./fixtures.ts";
import { MemoryCheckpoint } from "./memory-ports.ts";

const pod = makePod();
const one = container("foo1");

function setUp(maxMs?: number): {
  clock: ManualClock;
  checkpoint: MemoryCheckpoint;
  make: () => CrashLoopBackOff;
} {
  const clock = new ManualClock();
  const checkpoint = new MemoryCheckpoint();
  const make = (): CrashLoopBackOff =>
    new CrashLoopBackOff({ clock, checkpoint, ...(maxMs === undefined ? {} : { maxMs }) });
  return { clock, checkpoint, make };
}

const died = (clock: ManualClock, id: string): ReturnType<typeof record> =>
  record(pod, "foo1", { ...exited(1), id, finishedAt: clock.now() });

describe("CrashLoopBackOff", () => {
  // kubelet: TestDoBackOff, TestCrashLoopBackOffConfiguration
  it.each([
    [undefined, [0, 10, 20, 40, 80, 160, 300, 300]],
    [60_000, [0, 10, 20, 40, 60, 60]],
    [5000, [0, 5, 5]],
    [500, [0, 1, 1]],
    [900_000, [0, 10, 20]],
  ])("maximum %s: the waits are %j s", async (maxMs, waits) => {
    const { clock, make } = setUp(maxMs);
    const backoff = make();
    for (const [index, seconds] of waits.entries()) {
      const exit = died(clock, `c${index}`);
      const waiting = backoff.waiting(pod, one, exit);
      expect(waiting?.delayMs ?? 0).toBe(seconds * 1000);
      await clock.advance(seconds * 1000);
      expect(backoff.waiting(pod, one, exit)).toBeUndefined();
      backoff.starting(pod, one, exit)();
    }
  });

  it("is kept over an agent's restart, with its age", async () => {
    const { clock, make } = setUp();
    const before = make();
    before.starting(pod, one, died(clock, "a"))();
    before.starting(pod, one, died(clock, "b"))();
    await clock.advance(5000);
    const exit = died(clock, "c");
    await clock.advance(1000);
    const waiting = make().waiting(pod, one, exit);
    expect(waiting).toEqual({ delayMs: 20_000, until: clock.monotonic() + 19_000 });
  });

  it("is forgotten after ten quiet minutes, and its entry goes", async () => {
    const { clock, checkpoint, make } = setUp();
    const backoff = make();
    backoff.starting(pod, one, died(clock, "a"))();
    expect(checkpoint.values.size).toBe(1);
    await clock.advance(601_000);
    expect(backoff.waiting(pod, one, died(clock, "b"))).toBeUndefined();
    // The entry's own wait is over as well then.
    await clock.advance(10_000);
    backoff.gc();
    expect(checkpoint.values.size).toBe(0);
  });

  it.each([3_600_000, -3_600_000])("a clock stepped by %i ms never prolongs a wait", async (step) => {
    const { clock, make } = setUp();
    const backoff = make();
    backoff.starting(pod, one, died(clock, "a"))();
    const exit = died(clock, "b");
    clock.stepWall(step);
    const first = backoff.waiting(pod, one, exit);
    expect(first?.until ?? 0).toBeLessThanOrEqual(clock.monotonic() + 10_000);
    await clock.advance(10_000);
    expect(backoff.waiting(pod, one, exit)).toBeUndefined();
    // The same over a restart of the agent.
    backoff.starting(pod, one, exit)();
    clock.stepWall(step);
    const restored = make().waiting(pod, one, died(clock, "c"));
    expect(restored?.until ?? 0).toBeLessThanOrEqual(clock.monotonic() + 20_000);
  });

  it("ignores and drops entries that cannot be read", () => {
    const { checkpoint, make } = setUp();
    checkpoint.set("crash-loop-back-off/uid-1/abc", "{");
    checkpoint.set("crash-loop-back-off/uid-1/abd", '{"delayMs":"x","at":1}');
    make();
    expect(checkpoint.values.size).toBe(0);
  });

  it("a wait is worth an event when it begins, and every ten seconds", async () => {
    const { clock, make } = setUp();
    const backoff = make();
    const [exit, other] = [died(clock, "a"), died(clock, "b")];
    expect([backoff.shouldTell(exit), backoff.shouldTell(exit), backoff.shouldTell(other)]).toEqual([
      true,
      false,
      true,
    ]);
    await clock.advance(9999);
    expect(backoff.shouldTell(exit)).toBe(false);
    await clock.advance(1);
    expect(backoff.shouldTell(exit)).toBe(true);
  });

  it("forgets a pod", () => {
    const { clock, checkpoint, make } = setUp();
    const backoff = make();
    backoff.starting(pod, one, died(clock, "a"))();
    backoff.forget("uid-1");
    expect(checkpoint.values.size).toBe(0);
    expect(backoff.waiting(pod, one, died(clock, "b"))).toBeUndefined();
  });
});
