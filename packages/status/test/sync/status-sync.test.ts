// SPDX-License-Identifier: Apache-2.0
import { HoldfastError } from "@holdfast/core/errors";
import { StatusManager, StatusSinkError, StatusSync } from "@holdfast/status";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { options, pod, runtime } from "../builders.ts";
import { rig, TestSink } from "./sink-rig.ts";

const down = () => new StatusSinkError("TEST_DOWN", "retryable", "connection refused", { scope: "sink" });
const broken = () => new HoldfastError("TEST_500", "retryable", "internal error");
const uids = (count: number): string[] => Array.from({ length: count }, (_, index) => `pod-${index}`);

describe("order and coalescing", () => {
  test("what was there before it started is written; pods that only the disk knows wait for their worker", async () => {
    const { clock, runs, sink, sync, manager } = rig();
    runs("a");
    await sync.start();
    await clock.advance(10);
    expect([...sink.last.keys()]).toEqual(["a"]);
    expect(sync.isSettled()).toBe(true);
    await sync.stop();
    const stored = new StatusManager({
      clock,
      checkpoint: {
        get: () =>
          JSON.stringify({ format: 1, status: { phase: "Running", startTime: "2026-01-01T00:00:00Z" } }),
        set: () => {},
        delete: () => {},
        entries: () => [],
      },
    });
    stored.get("uid-1");
    const other = new TestSink(clock);
    await using second = new StatusSync({ clock, source: stored, sink: other });
    await second.start();
    await clock.advance(100);
    expect([other.calls, manager.all().length]).toEqual([0, 1]);
    stored.update(pod("Always"), runtime([]), options());
    await clock.advance(100);
    expect(other.calls).toBe(1);
  });

  // kubelet: TestStaleUpdates
  test("of several changes while one is written only the newest follows; nothing more when all is written", async () => {
    const { clock, created, moves, runs, sink, sync, metrics } = rig();
    await sync.start();
    created("a");
    await clock.settle();
    moves("a", "one");
    moves("a", "two");
    runs("a");
    await clock.advance(100);
    expect(sink.had.map(({ version, status }) => [version, status.phase])).toEqual([
      [1, "Pending"],
      [4, "Running"],
    ]);
    expect([sync.isSettled(), clock.waiting]).toEqual([true, 0]);
    expect(metrics.value("kubelet_pod_status_sync_duration_seconds")).toBe(2);
    expect(metrics.value("holdfast_status_sync_pending")).toBe(0);
    await sync.stop();
  });

  test("pods in parallel, but not too many", async () => {
    const { clock, runs, sink, sync } = rig({ parallel: 4 });
    await sync.start();
    for (const uid of uids(20)) runs(uid);
    await clock.advance(25);
    expect([sink.most, sink.last.size]).toEqual([4, 20]);
    await sync.stop();
  });

  test("first ready and ended go before what is only for people, which is not starved", async () => {
    const { clock, created, failed, moves, runs, sink, sync } = rig({ parallel: 1 });
    await sync.start();
    for (const uid of uids(30)) created(uid);
    await clock.advance(200);
    sink.had.length = 0;
    for (const uid of uids(20)) moves(uid, "slow");
    for (let index = 20; index < 30; index++)
      if (index % 2 === 0) runs(`pod-${index}`);
      else failed(`pod-${index}`, 1);
    await clock.advance(60);
    const order = sink.had.map(({ uid }) => Number(uid.slice(4)));
    // The first had begun before the others came; after seven urgent ones one other has its turn.
    expect(order.slice(0, 12)).toEqual([0, 20, 21, 22, 23, 24, 25, 26, 1, 27, 28, 29]);
    await sync.stop();
  });
});

describe("failures", () => {
  test("one pod's failures are retried with growing distance and hold nobody else up", async () => {
    const { clock, runs, sink, sync, metrics } = rig();
    const tries: number[] = [];
    sink.answer = async ({ uid }) => {
      if (uid !== "bad" || tries.push(clock.monotonic()) > 5) return "written";
      throw broken();
    };
    await sync.start();
    for (const uid of ["bad", "a", "b"]) runs(uid);
    await clock.advance(10);
    expect(sink.last.size).toBe(2);
    await clock.advance(20_000);
    expect(tries.slice(1).map((at, index) => at - (tries[index] ?? 0))).toEqual([205, 405, 805, 1605, 3205]);
    expect([sync.isSettled(), clock.waiting]).toEqual([true, 0]);
    expect(metrics.value("holdfast_status_sync_writes_total", { outcome: "failed" })).toBe(5);
    await sync.stop();
  });

  test("a change while it rests is carried by the retry", async () => {
    const { clock, created, runs, sink, sync } = rig();
    let first = true;
    sink.answer = async () => {
      if (!first) return "written";
      first = false;
      throw broken();
    };
    await sync.start();
    created("a");
    await clock.advance(10);
    runs("a");
    await clock.advance(10);
    expect(sink.calls).toBe(1);
    await clock.advance(1000);
    expect([sink.calls, sink.last.get("a")?.status.phase]).toEqual([2, "Running"]);
    await sync.stop();
  });

  test("a sink that hangs is given up on, and the pod written again; one that ignores the signal too", async () => {
    const { clock, runs, sink, sync } = rig({ deadlineMs: 1000 });
    let hung = 0;
    sink.answer = (_update, signal) =>
      hung++ < 2
        ? new Promise((resolve, reject) => {
            if (hung === 1) signal.addEventListener("abort", () => reject(signal.reason as Error));
            void resolve;
          })
        : Promise.resolve("written");
    await sync.start();
    runs("a");
    runs("b");
    await clock.advance(1100);
    expect(sink.last.size).toBe(0);
    await clock.advance(1000);
    // "b" never came back from the first one, which this sink takes for a second at once.
    expect([...sink.last.keys()]).toEqual(["a"]);
    await sync.stop();
    expect(clock.waiting).toBe(0);
  });

  test("what the sink refuses is not tried again until it changes, or a minute has passed", async () => {
    const { clock, created, runs, sink, sync, manager, metrics } = rig();
    sink.answer = async ({ status }) => {
      if (status.phase === "Running") return "written";
      throw new HoldfastError("TEST_422", "bad-input", "invalid");
    };
    await sync.start();
    created("a");
    created("b");
    created("c");
    await clock.advance(30_000);
    expect(sink.calls).toBe(3);
    runs("a");
    await clock.advance(10);
    expect([sink.calls, sink.last.has("a")]).toEqual([4, true]);
    manager.remove("c");
    expect(metrics.value("holdfast_status_sync_lost_total")).toBe(1);
    await clock.advance(30_000);
    expect(sink.calls).toBe(5);
    await sync.stop();
    expect(clock.waiting).toBe(0);
  });

  test("a wait that the sink asks for is kept, within reason", async () => {
    const { clock, runs, sink, sync } = rig();
    const tries: number[] = [];
    sink.answer = async () => {
      tries.push(clock.monotonic());
      if (tries.length === 3) return "written";
      const retryAfterMs = tries.length === 1 ? 30_000 : 1e12;
      throw new StatusSinkError("TEST_429", "retryable", "slow down", { scope: "sink", retryAfterMs });
    };
    await sync.start();
    runs("a");
    await clock.advance(400_000);
    expect(tries).toEqual([5, 30_010, 330_015]);
    await sync.stop();
  });
});

describe("pods that come and go", () => {
  // kubelet: TestSyncBatchCleanupVersions
  test("a pod is forgotten after its last state; one that is not there is no failure", async () => {
    const { clock, failed, manager, runs, sink, sync } = rig();
    await sync.start();
    runs("a");
    await clock.advance(10);
    failed("a", 3);
    manager.remove("a");
    expect(sink.forgotten).toEqual([]);
    await clock.advance(10);
    expect([sink.last.get("a")?.status.phase, sink.last.get("a")?.removed, sink.forgotten]).toEqual([
      "Failed",
      false,
      ["a"],
    ]);
    sink.answer = async () => {
      throw new HoldfastError("TEST_404", "not-found", "no such pod");
    };
    runs("b");
    await clock.advance(10);
    expect([sync.isSettled(), sync.snapshot().down]).toEqual([true, false]);
    manager.remove("b");
    expect(sync.snapshot().pods).toBe(0);
    // The same pod again: a static pod whose manifest came back.
    sink.answer = async () => "written";
    runs("a");
    await clock.advance(10);
    expect(sink.last.get("a")?.status.phase).toBe("Running");
    await sync.stop();
  });

  // kubelet: TestStaticPod
  test("a pod that the sink waits for is looked at every ten seconds, and at once when it is told", async () => {
    const { clock, manager, runs, sink, sync } = rig();
    sink.answer = async () => "waiting";
    await sync.start();
    runs("a");
    await clock.advance(10);
    expect([sink.calls, sync.isSettled()]).toEqual([1, true]);
    await clock.advance(20_100);
    expect(sink.calls).toBe(3);
    sink.answer = async () => "written";
    sync.wake("a");
    await clock.advance(10);
    expect([sink.last.size, sync.snapshot().pending]).toEqual([1, 0]);
    await clock.advance(20_000);
    expect([sink.calls, clock.waiting]).toEqual([4, 0]);
    sink.answer = async () => "waiting";
    runs("b");
    await clock.advance(10);
    manager.remove("b");
    expect([sync.snapshot().pods, sink.forgotten]).toEqual([1, ["b"]]);
    await sync.stop();
  });

  // kubelet: TestReconcilePodStatus
  test("what somebody else has changed is written again", async () => {
    const { clock, runs, sink, sync } = rig();
    const changed = new Set<string>();
    Object.assign(sink, { differs: ({ uid }: { uid: string }) => changed.delete(uid) });
    await sync.start();
    runs("a");
    runs("b");
    await clock.advance(10_100);
    expect(sink.calls).toBe(2);
    changed.add("a");
    await clock.advance(10_100);
    expect(sink.had.map(({ uid }) => uid)).toEqual(["a", "b", "a"]);
    changed.add("b");
    sync.wake("b");
    await clock.advance(10);
    expect(sink.calls).toBe(4);
    await sync.stop();
    expect(clock.waiting).toBe(0);
  });
});

describe("life", () => {
  test("stopped twice, before the start, in the middle of a write; nothing is left behind", async () => {
    const { clock, runs, sink, sync } = rig();
    await sync.start();
    await sync.start();
    runs("a");
    await clock.settle();
    await Promise.all([sync.stop(), sync.stop()]);
    expect([sink.had.length, clock.waiting]).toEqual([0, 0]);
    runs("b");
    await clock.advance(1000);
    expect(sink.calls).toBe(1);
    const never = rig();
    await never.sync.stop();
    await never.sync.start();
    never.runs("a");
    await never.clock.advance(1000);
    expect(never.sink.calls).toBe(0);
  });

  test("whoever waits until all is written is told, or gives up", async () => {
    const { clock, runs, sync } = rig();
    await sync.start();
    await sync.whenSettled();
    runs("a");
    const settled = sync.whenSettled().then(() => "settled");
    const given = new AbortController();
    const gaveUp = sync.whenSettled(given.signal).catch(() => "gave up");
    given.abort();
    expect(await gaveUp).toBe("gave up");
    await clock.advance(10);
    expect(await settled).toBe("settled");
    runs("b");
    const stopped = sync.whenSettled().catch(({ code }: HoldfastError) => code);
    await sync.stop();
    expect(await stopped).toBe("STATUS_SYNC_STOPPED");
    await expect(sync.whenSettled()).rejects.toThrow("the status sync was stopped");
  });
});

test("whatever happens in whatever order, in the end the sink has the last state of every pod, and never an older one after a newer", async () => {
  const names = ["a", "b", "c", "d"];
  const step = fc.oneof(
    fc.record({
      do: fc.constantFrom("created", "runs", "removed"),
      uid: fc.constantFrom(...names),
      ms: fc.nat(30),
    }),
    fc.record({
      do: fc.constantFrom("down", "broken", "up", "gone"),
      uid: fc.constant(""),
      ms: fc.nat(3000),
    }),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 40 }),
      fc.integer({ min: 1, max: 3 }),
      async (steps, parallel) => {
        const { clock, created, manager, runs, sink, sync, metrics } = rig({ parallel, deadlineMs: 1000 });
        await sync.start();
        for (const one of steps) {
          if (one.do === "created") created(one.uid);
          else if (one.do === "runs") runs(one.uid);
          else if (one.do === "removed") manager.remove(one.uid);
          else if (one.do === "up") sink.answer = async () => "written";
          else
            sink.answer = async () => {
              throw one.do === "down"
                ? down()
                : one.do === "broken"
                  ? broken()
                  : new HoldfastError("T", "deadline", "late");
            };
          await clock.advance(one.ms);
        }
        sink.answer = async () => "written";
        await clock.advance(60_000);
        expect(sync.isSettled()).toBe(true);
        for (const { uid, status } of manager.all()) expect(sink.last.get(uid)?.status).toEqual(status);
        expect(metrics.value("holdfast_status_sync_lost_total")).toBe(0);
        expect([sync.snapshot().pods, clock.waiting]).toEqual([manager.all().length, 0]);
        // No state twice. By the object: versions begin anew with each life of a name, and a write may outlast the life that it tells of.
        const states = sink.had.filter(({ removed }) => !removed).map(({ status }) => status);
        expect(new Set(states).size).toBe(states.length);
        await sync.stop();
      },
    ),
    { numRuns: 60 },
  );
});
