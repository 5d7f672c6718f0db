// SPDX-License-Identifier: Apache-2.0

// Values that need not be written at once: together, in one transaction, a moment later.
import { HoldfastError } from "@holdfast/core/errors";
import { ManualClock } from "@holdfast/core/manual-clock";
import { openStore, resilientCheckpoint } from "@holdfast/store";
import type { ResilientCheckpoint, Store } from "@holdfast/store";
import { expect, test } from "vitest";

function make(): {
  clock: ManualClock;
  store: Store;
  checkpoint: ResilientCheckpoint;
  transactions: () => number;
} {
  const clock = new ManualClock();
  const store = openStore({ path: ":memory:", durability: "soon" });
  let transactions = 0;
  const counted = new Proxy(store, {
    get(target, name) {
      if (name === "transaction") transactions += 1;
      const member = Reflect.get(target, name) as unknown;
      return typeof member === "function" ? (member.bind(target) as unknown) : member;
    },
  });
  const checkpoint = resilientCheckpoint({ store: counted, namespace: "n", clock, togetherMs: 25 });
  return { clock, store, checkpoint, transactions: () => transactions };
}

test("what is set and deleted within the time is one transaction, and can be read before", async () => {
  const { clock, store, checkpoint, transactions } = make();
  store.set("n", "old", "0");
  checkpoint.set("a", "1");
  await clock.advance(24);
  checkpoint.set("b", "1");
  checkpoint.set("a", "2");
  checkpoint.delete("old");
  expect([checkpoint.get("a"), checkpoint.get("old"), checkpoint.entries("")]).toEqual([
    "2",
    undefined,
    [
      ["a", "2"],
      ["b", "1"],
    ],
  ]);
  expect([store.entries("n").length, checkpoint.health().failures]).toEqual([1, []]);
  await clock.advance(1);
  expect([store.entries("n"), checkpoint.waiting, transactions()]).toEqual([
    [
      ["a", "2"],
      ["b", "1"],
    ],
    0,
    1,
  ]);
  await clock.advance(1000);
  expect(transactions()).toBe(1);
});

test("disposing writes what waits", () => {
  const { store, checkpoint } = make();
  checkpoint.set("a", "1");
  checkpoint[Symbol.dispose]();
  expect(store.get("n", "a")).toBe("1");
});

test("one value that can never be written is dropped, and keeps no other from the disk", async () => {
  const { clock, store, checkpoint } = make();
  checkpoint.set("a", "1");
  checkpoint.set("huge", "x".repeat((1 << 20) + 1));
  checkpoint.set("b", "1");
  await clock.advance(25);
  expect(store.entries("n").map(([key]) => key)).toEqual(["a", "b"]);
  expect([checkpoint.dropped, checkpoint.waiting, checkpoint.health().failures]).toEqual([1, 0, []]);
});

test("a disk that does not take it: told, kept, and written when it does", async () => {
  const { clock, store } = make();
  let isFull = true;
  const failing = new Proxy(store, {
    get(target, name) {
      if (name === "transaction" && isFull)
        return () => {
          throw new HoldfastError("STORE_FULL", "retryable", "no space left");
        };
      const member = Reflect.get(target, name) as unknown;
      return typeof member === "function" ? (member.bind(target) as unknown) : member;
    },
  });
  const checkpoint = resilientCheckpoint({ store: failing, namespace: "n", clock, togetherMs: 25 });
  checkpoint.set("a", "1");
  await clock.advance(25);
  checkpoint.set("b", "1");
  expect(checkpoint.health().failures).toEqual(["n: 2 values wait in memory: no space left"]);
  isFull = false;
  await clock.advance(2000);
  expect([store.entries("n").length, checkpoint.waiting, checkpoint.health().failures]).toEqual([2, 0, []]);
});
