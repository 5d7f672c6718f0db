// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import { HoldfastError, isRetryable } from "@holdfast/core/errors";
import { ManualClock } from "@holdfast/core/manual-clock";
import { openStore, resilientCheckpoint } from "@holdfast/store";
import type { Store } from "@holdfast/store";
import { expect, test } from "vitest";
import { temporaryFolder } from "./folder.ts";

const small = (folder: string): Store =>
  openStore({ path: join(folder, "state.db"), durability: "full", maxBytes: 32 << 10 });

/** Sets until the file is full and returns what was thrown. */
function fillUp(store: Store): HoldfastError {
  try {
    for (let n = 0; n < 1000; n++) store.set("filler", String(n), "x".repeat(3000));
  } catch (error) {
    if (HoldfastError.is(error)) return error;
    throw error;
  }
  throw new Error("never full");
}

test("a full file fails writes with a retryable STORE_FULL; reading goes on, space mends it", () => {
  using folder = temporaryFolder();
  using store = small(folder.path);
  const error = fillUp(store);
  expect([error.code, isRetryable(error)]).toEqual(["STORE_FULL", true]);
  expect(store.get("filler", "0")?.length).toBe(3000);
  expect(store.health().failures).toEqual([expect.stringMatching(/state\.db: no space left/)]);
  expect(() => store.transaction(() => store.set("n", "a", "y".repeat(20_000)))).toThrow(HoldfastError);
  expect(store.get("n", "a")).toBeUndefined();
  store.run("DELETE FROM checkpoint");
  store.set("n", "a", "1");
  expect(store.health().failures).toEqual([]);
  expect(store.health().setAside).toEqual([]);
});

test("a transaction whose work swallows the error keeps nothing of itself", () => {
  using folder = temporaryFolder();
  using store = small(folder.path);
  store.set("n", "a", "1");
  const sloppy = (): void => {
    try {
      for (let n = 0; n < 1000; n++) store.set("filler", String(n), "x".repeat(3000));
    } catch {
      // As a careless caller would.
    }
    store.delete("n", "a");
  };
  expect(() => store.transaction(sloppy)).toThrow(/no space left/);
  expect([store.get("n", "a"), store.entries("filler").length]).toEqual(["1", 0]);
  store.transaction(() => store.set("n", "b", "2"));
  expect(store.entries("n").length).toBe(2);
});

test("a resilient checkpoint goes on in memory and writes when there is space again", async () => {
  using folder = temporaryFolder();
  using store = small(folder.path);
  const clock = new ManualClock();
  const checkpoint = resilientCheckpoint({ store, namespace: "status", clock });
  checkpoint.set("a/1", "old");
  checkpoint.set("a/2", "goes");
  fillUp(store);
  const big = "z".repeat(5000);
  checkpoint.set("a/1", big);
  checkpoint.set("a/3", "new");
  checkpoint.delete("a/2");
  expect([checkpoint.get("a/1"), checkpoint.get("a/2"), checkpoint.get("a/3")]).toEqual([
    big,
    undefined,
    "new",
  ]);
  expect(checkpoint.entries("a/")).toEqual([
    ["a/1", big],
    ["a/3", "new"],
  ]);
  expect(checkpoint.health().failures).toEqual([
    expect.stringMatching(/^status: 3 values wait in memory: .*no space left/),
  ]);
  expect(store.get("status", "a/1")).toBe("old");
  await clock.advance(1000);
  expect(checkpoint.waiting).toBe(3);
  expect(clock.nextIn).toBe(2000);
  store.run("DELETE FROM checkpoint WHERE namespace = 'filler'");
  await clock.advance(2000);
  expect(checkpoint.waiting).toBe(0);
  expect(checkpoint.health().failures).toEqual([]);
  expect(store.entries("status")).toEqual([
    ["a/1", big],
    ["a/3", "new"],
  ]);
  expect(clock.waiting).toBe(0);
});

test("what waits is bounded; the oldest goes and is counted; disposing leaves no timer", () => {
  using folder = temporaryFolder();
  using store = small(folder.path);
  const clock = new ManualClock();
  fillUp(store);
  {
    using checkpoint = resilientCheckpoint({ store, namespace: "status", clock, capacity: 3 });
    for (let n = 0; n < 5; n++) checkpoint.set(`k${n}`, "z".repeat(4000));
    expect([checkpoint.waiting, checkpoint.dropped]).toEqual([3, 2]);
    expect(checkpoint.entries("").map(([key]) => key)).toEqual(["k2", "k3", "k4"]);
    expect(checkpoint.flush()).toBe(false);
  }
  expect(clock.waiting).toBe(0);
});

test("a value that is too large is refused also here", () => {
  using store = openStore({ path: ":memory:", durability: "disposable" });
  using checkpoint = resilientCheckpoint({ store, namespace: "n", clock: new ManualClock() });
  expect(() => checkpoint.set("a", "x".repeat((1 << 20) + 1))).toThrow(/1048576 at most/);
  expect(checkpoint.waiting).toBe(0);
});
