// SPDX-License-Identifier: Apache-2.0

import { ManualClock } from "@holdfast/core/manual-clock";
import { ContainedCalls, FilesystemReader, TreeMeter } from "@holdfast/stats";
import { expect, test } from "vitest";
import { DISK } from "./fixtures.ts";

const never = (): Promise<never> => new Promise(() => {});

test("a call that hangs is given up at its deadline, and not made again until it answers", async () => {
  const clock = new ManualClock();
  const calls = new ContainedCalls({ clock });
  let asked = 0;
  let answer = (_value: string): void => {};
  const hanging = (): Promise<string> => {
    asked += 1;
    return new Promise((resolve) => {
      answer = resolve;
    });
  };
  const first = calls.run("statfs of /dead", hanging).catch((error: Error) => error.message);
  await clock.advance(2000);
  expect(await first).toBe("statfs of /dead has not answered for 2 s");
  await clock.advance(60_000);
  await expect(calls.run("statfs of /dead", hanging)).rejects.toMatchObject({
    code: "STATS_HUNG",
    kind: "deadline",
    message: "statfs of /dead has not answered for 62 s",
  });
  expect(asked).toBe(1);
  expect(calls.hung()).toEqual([{ subject: "statfs of /dead", forMs: 62_000 }]);

  answer("late");
  await clock.advance(0);
  expect(calls.hung()).toEqual([]);
  const again = calls.run("statfs of /dead", async () => "back");
  expect(await again).toBe("back");
  expect(clock.waiting).toBe(0);
});

test("hung calls hold two places and no more; others are refused at once, by name", async () => {
  const clock = new ManualClock();
  const calls = new ContainedCalls({ clock });
  const hung = ["/a", "/b", "/c"].map((path) =>
    calls.run(path, never).catch((error: Error) => error.message),
  );
  await clock.advance(2000);
  expect(await Promise.all(hung)).toEqual([
    "/a has not answered for 2 s",
    "/b has not answered for 2 s",
    "/c is not asked: /a, /b hold all places",
  ]);
  let asked = false;
  const third = calls.run("/d", async () => {
    asked = true;
  });
  await expect(third).rejects.toThrow("/d is not asked: /a, /b hold all places");
  expect(asked).toBe(false);
  expect(clock.waiting).toBe(0);
});

test("who gives up waiting leaves nothing behind", async () => {
  const clock = new ManualClock();
  const calls = new ContainedCalls({ clock });
  const controller = new AbortController();
  const waiting = calls.run("/a", never, controller.signal);
  controller.abort(new Error("no more"));
  await expect(waiting).rejects.toThrow("no more");
});

test("who asks a file system that is being asked gets the same answer", async () => {
  let asked = 0;
  const statfs = async (): Promise<typeof DISK> => {
    asked += 1;
    return DISK;
  };
  const reader = new FilesystemReader(statfs, new ContainedCalls({ clock: new ManualClock() }));
  const [one, two] = await Promise.all([reader.read("/x"), reader.read("/x")]);
  expect(one).toBe(two);
  await reader.read("/x");
  expect(asked).toBe(2);
});

test("an error of the system has a name and the path", async () => {
  const statfs = async (): Promise<never> => {
    throw new Error("EIO: i/o error");
  };
  const reader = new FilesystemReader(statfs, new ContainedCalls({ clock: new ManualClock() }));
  await expect(reader.read("/x")).rejects.toMatchObject({
    code: "STATS_FILESYSTEM",
    message: "statfs of /x: EIO: i/o error",
  });
});

test("a folder's figures are kept for their age, also that it is not there", async () => {
  const clock = new ManualClock();
  let measured = 0;
  const meter = new TreeMeter({
    clock,
    calls: new ContainedCalls({ clock }),
    listFolders: async () => [],
    measureTree: async (path) => {
      measured += 1;
      return path === "/gone" ? undefined : { usedBytes: measured, inodesUsed: 1, complete: true };
    },
  });
  const at = clock.now();
  expect(await meter.measure("/x", { maxAgeMs: 1000 })).toMatchObject({ usedBytes: 1, measuredAt: at });
  expect(await meter.measure("/gone", { maxAgeMs: 1000 })).toBeUndefined();
  await clock.advance(1000);
  expect(await meter.measure("/x", { maxAgeMs: 1000 })).toMatchObject({ usedBytes: 1 });
  await meter.measure("/gone", { maxAgeMs: 1000 });
  expect(measured).toBe(2);
  expect(await meter.measure("/x", { maxAgeMs: 999 })).toMatchObject({ usedBytes: 3 });
  expect(meter.last("/x")?.usedBytes).toBe(3);
});

test("a long walk ends with what it has; only one that hangs is an error", async () => {
  const clock = new ManualClock();
  const calls = new ContainedCalls({ clock });
  const meter = new TreeMeter({
    clock,
    calls,
    listFolders: never,
    measureTree: (path, { signal }) =>
      new Promise((resolve) => {
        if (path === "/long")
          signal.addEventListener("abort", () => resolve({ usedBytes: 5, inodesUsed: 1, complete: false }));
      }),
  });
  const long = meter.measure("/long", { maxAgeMs: 0 });
  await clock.advance(1500);
  expect(await long).toMatchObject({ usedBytes: 5, complete: false });
  const dead = meter.measure("/dead", { maxAgeMs: 0 }).catch((error: Error) => error.message);
  await clock.advance(2000);
  expect(await dead).toBe("/dead has not answered for 2 s");
  const list = meter.folders("/dead").catch((error: Error) => error.message);
  await clock.advance(2000);
  expect(await list).toBe("the list of /dead has not answered for 2 s");
});
