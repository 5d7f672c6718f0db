// SPDX-License-Identifier: Apache-2.0
import { Limiter } from "@holdfast/core/limiter";
import { ManualClock } from "@holdfast/core/manual-clock";
import fc from "fast-check";
import { expect, test } from "vitest";

test("at most limit run, restarts overtake first starts, order holds within a priority", async () => {
  const clock = new ManualClock();
  const limiter = new Limiter({ clock, limit: 1 });
  const order: string[] = [];
  const task = (name: string) => async () => {
    order.push(name);
    await clock.sleep(10);
  };
  const all = [
    limiter.run(task("first"), { priority: 1 }),
    limiter.run(task("start-a"), { priority: 1 }),
    limiter.run(task("start-b"), { priority: 1 }),
    limiter.run(task("restart"), { priority: 0 }),
  ];
  await clock.advance(100);
  await Promise.all(all);
  expect(order).toEqual(["first", "restart", "start-a", "start-b"]);
  expect([limiter.held, limiter.waiting]).toEqual([0, 0]);
});

test("a task that hangs gives its place back after the limit and does not give it back twice", async () => {
  const clock = new ManualClock();
  const limiter = new Limiter({ clock, limit: 1, releaseAfterMs: 10_000 });
  let finishHung: () => void = () => {};
  const hung = limiter.run(() => new Promise<void>((resolve) => (finishHung = resolve)));
  let ran = false;
  const next = limiter.run(async () => void (ran = true));
  await clock.advance(9_999);
  expect(ran).toBe(false);
  await clock.advance(1);
  await next;
  finishHung();
  await hung;
  expect([ran, limiter.held]).toEqual([true, 0]);
});

test("giving up waiting frees the queue; a failed task frees its place", async () => {
  const clock = new ManualClock();
  const limiter = new Limiter({ clock, limit: 1 });
  const controller = new AbortController();
  const first = limiter.run(async () => {
    await clock.sleep(5);
    throw new Error("boom");
  });
  const waiting = limiter.run(async () => {}, { signal: controller.signal });
  controller.abort(new Error("gone"));
  await expect(waiting).rejects.toThrow("gone");
  const failed = expect(first).rejects.toThrow("boom");
  await clock.advance(5);
  await failed;
  expect([limiter.held, limiter.waiting]).toEqual([0, 0]);
});

test("property: never more than the limit at once, and everything runs", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 5 }),
      fc.array(fc.nat(3), { maxLength: 30 }),
      async (limit, priorities) => {
        const clock = new ManualClock();
        const limiter = new Limiter({ clock, limit });
        let running = 0;
        let most = 0;
        const all = priorities.map((priority) =>
          limiter.run(
            async () => {
              most = Math.max(most, ++running);
              await clock.sleep(priority + 1);
              running -= 1;
            },
            { priority },
          ),
        );
        await clock.advance(1000);
        await Promise.all(all);
        expect(most).toBeLessThanOrEqual(limit);
      },
    ),
    { numRuns: 25 },
  );
});
