// SPDX-License-Identifier: Apache-2.0
import { ManualClock } from "@holdfast/core/manual-clock";
import { expect, test } from "vitest";
import { Bus, defineEvent, MAX_CAUSES, mergeCauses } from "@holdfast/bus";
import fc from "fast-check";

const Died = defineEvent<{ exitCode: number }>()("test/Died");
const Started = defineEvent<{ id: string }>()("test/Started");

test("a subscriber sees its types, in order, with typed payloads and causes", () => {
  const bus = new Bus({ clock: new ManualClock(), firstSeq: 10 });
  using sub = bus.subscribe([Died, Started], { name: "t", capacity: 8, overflow: "drop-oldest" });
  const first = bus.publish(Started, { id: "a" });
  bus.publish(Died, { exitCode: 3 }, { causes: [first], subject: { podUid: "u" } });
  const events = [sub.take(), sub.take(), sub.take()];
  expect(events.map((event) => event?.type)).toEqual(["test/Started", "test/Died", undefined]);
  const died = events[1];
  if (died?.type === "test/Died") {
    expect(died.data.exitCode).toBe(3);
    expect(died.causes).toEqual([10]);
    expect(died.seq).toBe(11);
  }
  // @ts-expect-error a wrong payload does not compile
  bus.publish(Died, { id: "x" });
});

test("drop-oldest keeps the newest and delivers one gap with the count", () => {
  const bus = new Bus({ clock: new ManualClock() });
  using sub = bus.subscribe([Died], { name: "t", capacity: 2, overflow: "drop-oldest" });
  for (let exitCode = 0; exitCode < 5; exitCode++) bus.publish(Died, { exitCode });
  expect(sub.take()).toEqual({ type: "gap", dropped: 3 });
  expect([sub.take(), sub.take()].map((e) => (e?.type === "test/Died" ? e.data.exitCode : -1))).toEqual([
    3, 4,
  ]);
});

test("latest-by-key replaces by key and merges causes", () => {
  const bus = new Bus({ clock: new ManualClock() });
  using sub = bus.subscribe([Started], {
    name: "t",
    capacity: 4,
    overflow: "latest-by-key",
    keyOf: (e) => e.subject.podUid ?? "",
  });
  bus.publish(Started, { id: "1" }, { subject: { podUid: "a" } });
  bus.publish(Started, { id: "2" }, { subject: { podUid: "a" } });
  const event = sub.take();
  expect(event).toMatchObject({ seq: 2, causes: [1], data: { id: "2" } });
  expect(sub.pending).toBe(0);
});

test("for await ends when the subscription is disposed, and a disposed one gets nothing", async () => {
  const bus = new Bus({ clock: new ManualClock() });
  const sub = bus.subscribe([Died], { name: "t", capacity: 4, overflow: "drop-oldest" });
  const seen: number[] = [];
  const reading = (async () => {
    for await (const event of sub) if (event.type === "test/Died") seen.push(event.data.exitCode);
  })();
  bus.publish(Died, { exitCode: 1 });
  await new ManualClock().settle();
  sub[Symbol.dispose]();
  bus.publish(Died, { exitCode: 2 });
  await reading;
  expect(seen).toEqual([1]);
});

test("property: whatever is published, delivered plus dropped is all of it, and the queue is bounded", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 9 }), fc.array(fc.boolean()), (capacity, steps) => {
      const bus = new Bus({ clock: new ManualClock() });
      using sub = bus.subscribe([Died], { name: "t", capacity, overflow: "drop-oldest" });
      let published = 0;
      let delivered = 0;
      let dropped = 0;
      const drain = (): boolean => {
        const next = sub.take();
        if (next?.type === "gap") dropped += next.dropped;
        else if (next !== undefined) delivered += 1;
        return next !== undefined;
      };
      for (const publish of steps) {
        if (publish) bus.publish(Died, { exitCode: published++ });
        else drain();
        expect(sub.pending).toBeLessThanOrEqual(capacity);
      }
      while (drain());
      expect(delivered + dropped).toBe(published);
    }),
  );
});

test("merged causes are distinct, sorted and bounded", () => {
  expect(mergeCauses([3, 1], [2, 3])).toEqual([1, 2, 3]);
  expect(mergeCauses(Array.from({ length: 20 }, (_, i) => i))).toHaveLength(MAX_CAUSES);
});
