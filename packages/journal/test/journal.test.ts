// SPDX-License-Identifier: Apache-2.0
import { GAP_TYPE, Journal } from "@holdfast/journal";
import type { JournalEvent } from "@holdfast/journal";
import { MetricsRegistry } from "@holdfast/core/metrics";
import { expect, test } from "vitest";
import { ABOUT, Bench, POD, UID } from "./builders.ts";

const types = (events: readonly JournalEvent[]): string[] => events.map(({ type }) => type);

test("what is published is read back: order, subject, causes, payload", async () => {
  await using bench = new Bench();
  await bench.journal.start();
  const cause = bench.publish("pod/PodUpdated", { source: "file" }, { podUid: UID, pod: POD });
  const seq = bench.publish("pod/ContainerKilling", { killReason: "SpecChanged" }, ABOUT, [cause]);
  expect(bench.journal.event(seq)).toBeUndefined();
  const [newest, older] = bench.journal.events({ pod: POD });
  expect(newest).toStrictEqual({
    seq,
    at: bench.clock.now(),
    monotonic: 0,
    type: "pod/ContainerKilling",
    subject: ABOUT,
    causes: [cause],
    data: { killReason: "SpecChanged" },
  });
  expect(older?.seq).toBe(cause);
});

test("events are written by themselves within the linger time, many in one batch", async () => {
  await using bench = new Bench();
  await bench.journal.start();
  for (let index = 0; index < 1000; index++) bench.publish("pod/X", { index });
  await bench.clock.advance(250);
  await bench.clock.advance(10);
  // The store itself: nothing is flushed by asking.
  expect(bench.store.all("SELECT count(*) AS n FROM event")).toStrictEqual([{ n: 1001 }]);
});

test("queries: by pod of any UID, container, type, beginning of type, since, before, after, limit", async () => {
  await using bench = new Bench();
  await bench.journal.start();
  const { journal, clock } = bench;
  bench.publish("oom/SystemOOM", {}, {});
  bench.publish("pod/PodAdded", {}, { podUid: UID, pod: POD });
  bench.publish("pod/PodAdded", {}, { podUid: "uid-2", pod: "default/other" });
  journal.flush();
  await clock.advance(60_000);
  const since = clock.now();
  const first = bench.publish("pod/ContainerStarted", {}, { ...ABOUT, podUid: "uid-9" });
  bench.publish("pleg/ContainerDied", { kind: "container" }, ABOUT);
  const last = bench.publish("pod/PodTerminated", {}, { podUid: UID, pod: POD });
  expect(types(journal.events({ pod: POD }))).toStrictEqual([
    "pod/PodTerminated",
    "pleg/ContainerDied",
    "pod/ContainerStarted",
    "pod/PodAdded",
  ]);
  expect(types(journal.events({ pod: POD, podUid: "uid-9" }))).toStrictEqual(["pod/ContainerStarted"]);
  expect(types(journal.events({ container: "web" }))).toStrictEqual([
    "pleg/ContainerDied",
    "pod/ContainerStarted",
  ]);
  expect(types(journal.events({ types: ["pod/PodAdded", "oom/*"] }))).toStrictEqual([
    "pod/PodAdded",
    "pod/PodAdded",
    "oom/SystemOOM",
  ]);
  expect(types(journal.events({ types: ["pod/*"], pod: POD, limit: 2 }))).toStrictEqual([
    "pod/PodTerminated",
    "pod/ContainerStarted",
  ]);
  expect(journal.events({ types: ["nothing"] })).toStrictEqual([]);
  expect(journal.events({ pod: "default/unknown" })).toStrictEqual([]);
  expect(journal.events({ since })).toHaveLength(3);
  expect(journal.events({ since: since + 3_600_000 })).toStrictEqual([]);
  expect(journal.events({ before: last, after: first })).toHaveLength(1);
});

test("a new run goes on after the last number and tells of a boot", async () => {
  const bootIds = ["boot-1", "boot-1", "boot-2"];
  const first = new Bench({ bootId: "boot-1", version: "1" });
  await first.journal.start();
  first.journal.flush();
  const { store } = first;
  const runs: JournalEvent[] = [];
  for (const bootId of bootIds.slice(1)) {
    const { Bus } = await import("@holdfast/bus");
    const { lastJournalSeq } = await import("@holdfast/journal");
    const bus = new Bus({ clock: first.clock, firstSeq: lastJournalSeq(store) + 1 });
    const journal = new Journal({ database: store, bus, publish: bus, clock: first.clock, bootId });
    await journal.start();
    runs.push(...journal.events({ types: ["journal/NodeRebooted"] }));
    await journal.stop();
  }
  expect(runs.map(({ data }) => data)).toStrictEqual([{ bootId: "boot-2", previousBootId: "boot-1" }]);
  await first[Symbol.asyncDispose]();
});

test("what was lost stands in its place as a gap", async () => {
  const metrics = new MetricsRegistry();
  await using bench = new Bench({ queueCapacity: 10, metrics });
  await bench.journal.start();
  bench.journal.flush();
  for (let index = 0; index < 25; index++) bench.publish("pod/X", { index });
  const events = bench.journal.events({ types: ["pod/X", GAP_TYPE] });
  const gap = events.at(-1);
  expect(gap?.type).toBe(GAP_TYPE);
  expect(gap?.data).toStrictEqual({ dropped: 15 });
  expect(events).toHaveLength(11);
  expect(metrics.value("holdfast_journal_lost_total")).toBe(15);
});

test("followers see the page and then what comes, each event once", async () => {
  await using bench = new Bench();
  await bench.journal.start();
  bench.publish("pod/A", {}, ABOUT);
  const end = new AbortController();
  const seen: string[] = [];
  const reading = (async () => {
    for await (const event of bench.journal.follow({ pod: POD, limit: 10 }, end.signal)) {
      seen.push(event.type);
      if (event.type === "pod/C") end.abort();
    }
  })();
  bench.publish("pod/B", {}, ABOUT);
  bench.publish("pod/B", {}, { podUid: "x", pod: "default/other" });
  bench.journal.flush();
  await Promise.resolve();
  bench.publish("pod/C", {}, ABOUT);
  bench.journal.flush();
  await reading;
  expect(seen).toStrictEqual(["pod/A", "pod/B", "pod/C"]);
});

test("a clock that steps back an hour changes neither order nor what is found", async () => {
  await using bench = new Bench();
  await bench.journal.start();
  bench.publish("pod/A");
  bench.journal.flush();
  bench.clock.stepWall(-3_600_000);
  const since = bench.clock.now();
  bench.publish("pod/B");
  bench.publish("pod/C");
  expect(types(bench.journal.events({ pod: POD }))).toStrictEqual(["pod/C", "pod/B", "pod/A"]);
  expect(types(bench.journal.events({ pod: POD, since }))).toStrictEqual(["pod/C", "pod/B", "pod/A"]);
  expect(bench.journal.events({ pod: POD, since: since + 1 })).toHaveLength(1);
});

test("the oldest go when there are too many, and names that only they had", async () => {
  await using bench = new Bench({ maxEvents: 3000 });
  await bench.journal.start();
  for (let index = 0; index < 24_000; index++) {
    bench.publish("pod/X", { index }, { podUid: `u${index}`, pod: `default/p${Math.floor(index / 100)}` });
    if (index % 200 === 0) bench.journal.flush();
  }
  const [{ n }] = bench.store.all<{ n: number }>("SELECT count(*) AS n FROM event") as [{ n: number }];
  expect(n).toBeGreaterThan(2500);
  expect(n).toBeLessThan(3000 + 16 * 256);
  const [{ names }] = bench.store.all<{ names: number }>("SELECT count(*) AS names FROM journal_subject") as [
    { names: number },
  ];
  expect(names).toBeLessThan(24_000);
  expect(bench.journal.events({ limit: 1 })[0]?.data).toStrictEqual({ index: 23_999 });
  expect(bench.journal.events({ pod: "default/p239" })).toHaveLength(100);
  expect(bench.journal.events({ pod: "default/p0" })).toHaveLength(0);
});

test("the age of events is bounded, and a clock far ahead does not empty the journal", async () => {
  await using bench = new Bench({ maxAgeMs: 60_000 });
  await bench.journal.start();
  for (let index = 0; index < 2000; index++) bench.publish("pod/Old", { index });
  bench.journal.flush();
  bench.clock.stepWall(10 * 365 * 86_400_000);
  for (let index = 0; index < 8000; index++) {
    bench.publish("pod/New", { index });
    if (index % 100 === 0) bench.journal.flush();
  }
  expect(bench.journal.events({ types: ["pod/Old"], limit: 5000 }).length).toBeLessThan(1024);
  expect(bench.journal.events({ types: ["pod/New"], limit: 1 })).toHaveLength(1);
});

test("a disk that is full stops nobody: told, tried again, and what could not wait is a gap", async () => {
  await using bench = new Bench({
    maxFileBytes: 300 * 1024,
    maxBytes: 200 * 1024 * 1024,
    queueCapacity: 100,
  });
  await bench.journal.start();
  const fill = "x".repeat(900);
  for (let index = 0; index < 1000 && bench.journal.health().failures.length === 0; index++) {
    bench.publish("pod/X", { index, fill });
    bench.journal.flush();
  }
  expect(bench.journal.health().failures[0]).toContain("cannot be written down");
  for (let index = 0; index < 500; index++) bench.publish("pod/Later", { index });
  bench.store.run("DELETE FROM event WHERE seq < 150");
  expect(bench.journal.flush()).toBe(true);
  expect(bench.journal.health().failures).toStrictEqual([]);
  expect(bench.journal.events({ types: [GAP_TYPE] })).toHaveLength(1);
});

test("a subject without a container id stays without one", async () => {
  await using bench = new Bench();
  await bench.journal.start();
  bench.publish("pod/ContainerCreating", {}, { podUid: UID, pod: POD, container: "web" });
  expect(bench.journal.events({ container: "web" })[0]?.subject.containerId).toBeUndefined();
});

test("in a storm batches get bigger; an intent among them, or a reader who follows, ends the waiting", async () => {
  await using bench = new Bench();
  await bench.journal.start();
  const { clock, store } = bench;
  const rows = (): unknown => store.all("SELECT count(*) AS n FROM event");
  const storm = (): void => {
    for (let index = 0; index < 40; index++) bench.publish("pod/X", { index });
  };
  await clock.advance(1000);
  storm();
  await clock.advance(900);
  expect(rows()).toStrictEqual([{ n: 1 }]);
  await clock.advance(100);
  expect(rows()).toStrictEqual([{ n: 41 }]);
  storm();
  bench.publish("pod/ContainerKilling", { killReason: "LivenessProbe" });
  await clock.advance(250);
  expect(rows()).toStrictEqual([{ n: 82 }]);
  const stop = new AbortController();
  const following = bench.journal.follow({}, stop.signal)[Symbol.asyncIterator]();
  await following.next();
  storm();
  await clock.advance(250);
  expect(rows()).toStrictEqual([{ n: 122 }]);
  stop.abort();
});

test("with nothing to write nothing wakes: no timer is left", async () => {
  await using bench = new Bench();
  await bench.journal.start();
  bench.publish("pod/X");
  await bench.clock.advance(1000);
  expect(bench.clock.waiting).toBe(0);
  await bench.clock.advance(3_600_000);
  expect(bench.clock.waiting).toBe(0);
});

test("an event that knows a pod by its UID alone is found by the pod's name", async () => {
  const metadata = { name: "web", namespace: "default", uid: UID };
  const specs = { get: (uid: string) => (uid === UID ? { metadata, spec: { containers: [] } } : undefined) };
  await using bench = new Bench({ specs });
  await bench.journal.start();
  const subject = { podUid: UID, container: "web", device: "x.io/gpu/0" };
  const lost = { healthy: false, message: "device 0 of x.io/gpu is unhealthy: it is full" };
  bench.starts(0);
  bench.publish("device/DeviceHealthChanged", lost, subject);
  bench.publish("device/DeviceHealthChanged", lost, { podUid: "another" });
  bench.dies(3);
  expect(bench.journal.events({ pod: POD, types: ["device/*"] }).map((one) => one.subject)).toStrictEqual([
    { ...subject, pod: POD },
  ]);
  const [end] = bench.journal.terminations({ pod: POD });
  expect(end).toMatchObject({ cause: "DeviceLost", evidence: [{ text: lost.message }, {}] });
});
