// SPDX-License-Identifier: Apache-2.0
import { PodCache } from "@holdfast/pleg";
import type { CachedPodStatus } from "@holdfast/pleg";
import { emptyRuntimePodStatus } from "@holdfast/core/runtime-status";
import { setImmediate } from "node:timers/promises";
import { expect, test } from "vitest";

const empty = emptyRuntimePodStatus("p");
const good = { ...empty, name: "n" };

function make(): {
  cache: PodCache;
  waits: string[];
  ask: (min: number) => { answer: () => CachedPodStatus | undefined };
} {
  const waits: string[] = [];
  const cache = new PodCache((uid) => waits.push(uid));
  const ask = (min: number): { answer: () => CachedPodStatus | undefined } => {
    let got: CachedPodStatus | undefined;
    void cache.getNewerThan("p", min, new AbortController().signal).then((answer) => (got = answer));
    return { answer: () => got };
  };
  return { cache, waits, ask };
}

// kubelet: TestCacheNotInitialized
test("reads of unknown pods return an empty status", () => {
  expect(make().cache.get("p")).toEqual({ status: empty, error: undefined });
});

// kubelet: TestGetIfNewerThanWhenPodExists
test.each([
  ["all older", 5, 5, 5, 10, false],
  ["all equal", 10, 10, 10, 10, false],
  ["global newer", 11, 5, 5, 10, true],
  ["modified newer", 5, 11, 5, 10, true],
  ["observed newer", 5, 5, 11, 10, true],
] as const)("entry: %s", async (_name, global, modified, observed, min, at_once) => {
  const { ask, cache, waits } = make();
  cache.set("p", good, undefined, modified);
  cache.setObservedTime("p", observed);
  cache.updateTime(global);
  const { answer } = ask(min);
  await setImmediate();
  expect(answer() !== undefined).toBe(at_once);
  expect(waits).toEqual(at_once ? [] : ["p"]);
});

// kubelet: TestGetPodNewerThanWhenPodDoesNotExist
test.each([
  ["older", 9, false],
  ["equal", 10, false],
  ["newer", 11, true],
] as const)("no entry, global time %s", async (_name, global, at_once) => {
  const { ask, cache } = make();
  cache.updateTime(global);
  const { answer } = ask(10);
  await setImmediate();
  expect(answer()).toEqual(at_once ? { status: empty, error: undefined } : undefined);
});

// kubelet: TestGetNewerThan UnblockBySet, UnblockBySetObservedTime, UnblockByUpdateTimeExists, Missing:UnblockBySet, Missing:UnblockByUpdateTime
test.each([
  ["set", true, (cache: PodCache, time: number) => cache.set("p", good, undefined, time), good],
  ["observed", true, (cache: PodCache, time: number) => cache.setObservedTime("p", time), good],
  ["global", true, (cache: PodCache, time: number) => cache.updateTime(time), good],
  ["missing, set", false, (cache: PodCache, time: number) => cache.set("p", good, undefined, time), good],
  ["missing, global", false, (cache: PodCache, time: number) => cache.updateTime(time), empty],
  [
    "missing, a look found nothing",
    false,
    (cache: PodCache, time: number) => cache.setAbsent("p", time),
    empty,
  ],
] as const)(
  "a waiter is let go by an equal time, not by an older one: %s",
  async (_name, exists, act, status) => {
    const { ask, cache } = make();
    if (exists) cache.set("p", good, undefined, 5);
    const { answer } = ask(10);
    act(cache, 9);
    await setImmediate();
    expect(answer()).toBeUndefined();
    act(cache, 10);
    await setImmediate();
    expect(answer()).toEqual({ status, error: undefined });
    expect(cache.waiting).toBe(0);
  },
);

// kubelet: TestRegisterNotification
test("one set wakes all waiters, once", async () => {
  const { ask, cache } = make();
  const waiters = [ask(10), ask(11), ask(12)];
  expect(cache.waiting).toBe(3);
  cache.set("p", good, undefined, 11);
  await setImmediate();
  expect(waiters.map(({ answer }) => answer() !== undefined)).toEqual([true, true, false]);
});

test("a delete wakes nobody, an observed time makes no entry", async () => {
  const { ask, cache } = make();
  cache.set("p", good, undefined, 1);
  const { answer } = ask(10);
  cache.delete("p");
  cache.setObservedTime("p", 20);
  await setImmediate();
  expect([answer(), cache.size, cache.waiting]).toEqual([undefined, 0, 1]);
});

test("a pod that is behind is not meant by a pass over all pods", async () => {
  const { ask, cache } = make();
  cache.set("p", good, undefined, 5);
  cache.setBehind("p", true);
  const { answer } = ask(10);
  cache.updateTime(20);
  await setImmediate();
  expect(answer()).toBeUndefined();
  cache.set("p", empty, new Error("hung"), 15);
  await setImmediate();
  expect(answer()?.error?.message).toBe("hung");
});

test("an amendment shows and is no look", async () => {
  const { ask, cache } = make();
  cache.set("p", empty, undefined, 5);
  const { answer } = ask(10);
  cache.amend("p", () => good);
  await setImmediate();
  expect([answer(), cache.get("p").status]).toEqual([undefined, good]);
});

test("an aborted waiter rejects with the reason and leaves nothing", async () => {
  const { cache } = make();
  const controller = new AbortController();
  const waiting = cache.getNewerThan("p", 1, controller.signal);
  controller.abort(new Error("enough"));
  await expect(waiting).rejects.toThrow("enough");
  await expect(cache.getNewerThan("p", 1, controller.signal)).rejects.toThrow("enough");
  expect(cache.waiting).toBe(0);
});
