// SPDX-License-Identifier: Apache-2.0

/** The pure decisions of the pod workers, with the kubelet's cases. */
import { describe, expect, it } from "vitest";
import fc from "fast-check";
import type { Pod } from "@holdfast/core/pod-types";
import { ManualClock } from "@holdfast/core/manual-clock";
import { computeDeadlineRemaining } from "../../src/workers/compute-active-deadline.ts";
import { computeGrace } from "../../src/workers/compute-grace.ts";
import {
  computeHostPortConflicts,
  hostPortConflictText,
} from "../../src/workers/compute-host-port-conflicts.ts";
import { computeNameHolder } from "../../src/workers/compute-pod-start.ts";
import type { NameClaim } from "../../src/workers/compute-pod-start.ts";
import { computeRequeue } from "../../src/workers/compute-requeue.ts";
import type { StepOutcome } from "../../src/workers/compute-requeue.ts";
import { computeWorkerUpdate } from "../../src/workers/compute-worker-update.ts";
import type { WorkerFacts, WorkerUpdate } from "../../src/workers/compute-worker-update.ts";
import { computeUnclaimed } from "../../src/workers/housekeeping.ts";
import { WorkQueue } from "../../src/workers/work-queue.ts";
import { staticPod, withHostPort } from "./node-harness.ts";

const withDeletion = (seconds: number): Pod => {
  const pod = staticPod("web");
  return { ...pod, metadata: { ...pod.metadata, deletionGracePeriodSeconds: seconds } };
};

describe("computeGrace", () => {
  // kubelet: Test_calculateEffectiveGracePeriod
  it.each([
    [
      "use termination grace period from the spec when no overrides",
      staticPod("web", { terminationGracePeriodSeconds: 10 }),
      undefined,
      undefined,
      10,
      false,
    ],
    [
      "use pod DeletionGracePeriodSeconds when set and spec set",
      withDeletion(5),
      undefined,
      undefined,
      5,
      false,
    ],
    ["use override when set", staticPod("web"), undefined, 3, 3, false],
    ["the smaller of deletion and override", withDeletion(5), undefined, 3, 3, false],
    ["a longer override does not lengthen what is stored", staticPod("web"), 5, 20, 5, false],
    ["a shorter override shortens", staticPod("web"), 30, 5, 5, true],
    ["a shorter deletion grace shortens", withDeletion(2), 30, undefined, 2, true],
    [
      "never below one",
      staticPod("web", { terminationGracePeriodSeconds: 0 }),
      undefined,
      undefined,
      1,
      false,
    ],
    ["an override of zero means one, not the spec's", staticPod("web"), undefined, 0, 1, false],
    [
      "without anything the API's default",
      staticPod("web", { terminationGracePeriodSeconds: undefined as never }),
      undefined,
      undefined,
      30,
      false,
    ],
  ])("%s", (_name, pod, stored, override, seconds, shortened) => {
    expect(computeGrace(pod, stored, override)).toEqual({ seconds, shortened });
  });

  it("only ever decreases", () => {
    const wish = fc.option(fc.integer({ min: 0, max: 600 }), { nil: undefined });
    fc.assert(
      fc.property(fc.array(wish, { maxLength: 10 }), (wishes) => {
        let stored = computeGrace(staticPod("web"), undefined, undefined).seconds;
        for (const one of wishes) {
          const next = computeGrace(staticPod("web"), stored, one).seconds;
          expect(next).toBeLessThanOrEqual(stored);
          expect(next).toBeGreaterThanOrEqual(1);
          stored = next;
        }
      }),
    );
  });
});

describe("computeDeadlineRemaining", () => {
  it.each([
    [undefined, 5000, undefined],
    [10, undefined, undefined],
    [10, 4000, 6000],
    [10, 10_000, 0],
    [10, 3_600_000, 0],
  ])("%s s after %s ms: %s", (activeDeadlineSeconds, activeForMs, remaining) => {
    const spec = activeDeadlineSeconds === undefined ? {} : { activeDeadlineSeconds };
    expect(computeDeadlineRemaining(staticPod("web", spec), activeForMs)).toBe(remaining);
  });
});

describe("computeHostPortConflicts", () => {
  it.each([
    ["the same port", withHostPort(80), withHostPort(80), true],
    ["another port", withHostPort(80), withHostPort(81), false],
    ["another address", withHostPort(80, "10.0.0.1"), withHostPort(80, "10.0.0.2"), false],
    ["all addresses wanted", withHostPort(80), withHostPort(80, "10.0.0.2"), true],
    ["all addresses held", withHostPort(80, "10.0.0.1"), withHostPort(80, "0.0.0.0"), true],
    ["IPv6 wildcard", withHostPort(80, "::"), withHostPort(80, "10.0.0.2"), true],
    ["no port wanted", {}, withHostPort(80), false],
  ])("%s", (_name, wanted, held, clash) => {
    const found = computeHostPortConflicts(staticPod("a", wanted), [staticPod("b", held)]);
    expect(found.length > 0).toBe(clash);
  });

  it("tells protocols apart, and knows the ports of hostNetwork", () => {
    const udp = staticPod("dns", {
      containers: [{ name: "c", image: "i", ports: [{ containerPort: 53, hostPort: 53, protocol: "UDP" }] }],
    });
    const tcp = staticPod("tcp", {
      containers: [{ name: "c", image: "i", ports: [{ containerPort: 53, hostPort: 53 }] }],
    });
    const host = staticPod("host", {
      hostNetwork: true,
      containers: [{ name: "c", image: "i", ports: [{ containerPort: 53 }] }],
    });
    expect(computeHostPortConflicts(udp, [tcp])).toEqual([]);
    expect(hostPortConflictText(computeHostPortConflicts(host, [udp, tcp]))).toBe(
      "host port 53/TCP is held by pod default/tcp",
    );
  });
});

describe("computeRequeue", () => {
  const none: StepOutcome = { failed: false, waitsFor: undefined, comeBackAt: undefined };
  // kubelet: TestCompleteWork_Enqueue
  it.each([
    ["No error", none, 60_000, 90_000],
    ["Generic error", { ...none, failed: true }, 10_000, 15_000],
    ["NetworkNotReadyError", { ...none, waitsFor: "network" as const }, 1000, 1500],
    ["a neighbour wakes it; this is for safety", { ...none, waitsFor: "neighbour" as const }, 10_000, 15_000],
    ["BackoffError", { ...none, comeBackAt: 5300 }, 5000, 5000],
    ["BackoffError in the past", { ...none, comeBackAt: 100 }, 0, 0],
    ["BackoffError over the resync", { ...none, comeBackAt: 900_000 }, 60_000, 90_000],
    ["an error beside a back-off", { ...none, failed: true, comeBackAt: 1300 }, 1000, 1000],
  ])("%s", (_name, outcome, least, most) => {
    for (const random of [0, 0.5, 0.999]) {
      const delay = computeRequeue(outcome, 300, 60_000, () => random);
      expect(delay).toBeGreaterThanOrEqual(least);
      expect(delay).toBeLessThanOrEqual(most);
    }
  });
});

describe("computeNameHolder", () => {
  const claim = (uid: string, more: Partial<NameClaim> = {}): NameClaim => ({
    uid,
    exclusiveName: "web_default",
    started: false,
    released: false,
    ...more,
  });
  // kubelet: Test_allowPodStart, TestStaticPodExclusion
  it.each([
    ["alone", [claim("a")], "a", undefined],
    ["a started namesake has the name", [claim("a", { started: true }), claim("b")], "b", "a"],
    ["also one that was found after it came", [claim("b"), claim("a", { started: true })], "b", "a"],
    ["first in, first out", [claim("b"), claim("c")], "c", "b"],
    ["the first of them may", [claim("b"), claim("c")], "b", undefined],
    ["who gave up is skipped", [claim("a", { released: true }), claim("b")], "b", undefined],
    [
      "other names do not count",
      [claim("a", { started: true, exclusiveName: "db_default" }), claim("b")],
      "b",
      undefined,
    ],
    [
      "pods of the API share names",
      [claim("a", { started: true }), claim("b", { exclusiveName: undefined })],
      "b",
      undefined,
    ],
    [
      "who has started goes on",
      [claim("a", { started: true }), claim("b", { started: true })],
      "b",
      undefined,
    ],
    ["unknown", [claim("a")], "x", undefined],
  ])("%s", (_name, claims, uid, holder) => {
    expect(computeNameHolder(uid, claims)).toBe(holder);
  });
});

describe("computeWorkerUpdate", () => {
  const facts = (more: Partial<WorkerFacts> = {}): WorkerFacts => ({
    pod: staticPod("web"),
    state: "sync",
    unclaimed: false,
    live: false,
    runtimeOnly: false,
    deleted: false,
    finished: false,
    graceSeconds: undefined,
    ...more,
  });
  const create: WorkerUpdate = { type: "create", pod: staticPod("web") };
  const update: WorkerUpdate = { type: "update", pod: staticPod("web") };
  const sync: WorkerUpdate = { type: "sync" };
  const kill = (deleted = true, graceSeconds?: number): WorkerUpdate => ({
    type: "kill",
    request: {
      reason: "Removed",
      message: "",
      deleted,
      ...(graceSeconds === undefined ? {} : { graceSeconds }),
    },
  });

  // kubelet: TestUpdatePod
  it.each([
    ["a new pod is recorded and started", undefined, create, "start"],
    ["an unknown pod is not killed", undefined, kill(), "ignore"],
    ["an orphaned running pod with a non-kill update type does nothing", undefined, sync, "ignore"],
    [
      "a new pod is recorded and started unless it is a duplicate of an existing terminating pod UID",
      facts({ state: "terminating", deleted: true }),
      create,
      "restart-later",
    ],
    ["a pod found on the node is claimed", facts({ unclaimed: true, state: "waiting" }), create, "claim"],
    ["an unclaimed pod is left alone", facts({ unclaimed: true }), sync, "ignore"],
    ["an update of a running pod", facts(), update, "wake"],
    ["an update of an ending pod is taken up", facts({ state: "terminating" }), update, "wake"],
    ["a create of an ending pod that is still wanted", facts({ state: "terminating" }), create, "ignore"],
    ["a finished pod is not started again", facts({ state: "terminated", finished: true }), update, "ignore"],
    ["a finished pod is not woken", facts({ state: "terminated", finished: true }), sync, "ignore"],
    ["a running pod is terminated", facts(), kill(), "terminate"],
    ["a terminating pod is not terminated twice", facts({ state: "terminating" }), kill(), "hasten"],
    [
      "a finished pod that is removed is cleaned away",
      facts({ state: "terminated", finished: true }),
      kill(),
      "hasten",
    ],
    [
      "a finished pod that is killed stays finished",
      facts({ state: "terminated", finished: true }),
      kill(false),
      "ignore",
    ],
  ])("%s", (_name, worker, given, kind) => {
    expect(computeWorkerUpdate(worker, given).kind).toBe(kind);
  });

  it("ends a pod that never started on the spot, and one that was found alive properly", () => {
    expect(computeWorkerUpdate(facts({ state: "waiting" }), kill())).toMatchObject({ next: "terminated" });
    expect(computeWorkerUpdate(facts({ state: "waiting", live: true }), kill())).toMatchObject({
      next: "terminating",
    });
  });

  it("interrupts a kill under way only when its grace became shorter", () => {
    const ending = facts({ state: "terminating", graceSeconds: 30 });
    expect(computeWorkerUpdate(ending, kill(true, 5))).toEqual({
      kind: "hasten",
      graceSeconds: 5,
      interrupt: true,
    });
    expect(computeWorkerUpdate(ending, kill(true, 50))).toEqual({
      kind: "hasten",
      graceSeconds: 30,
      interrupt: false,
    });
  });

  it("leaves the grace of a pod without a spec to its annotations", () => {
    expect(computeWorkerUpdate(facts({ runtimeOnly: true }), kill())).toMatchObject({
      graceSeconds: undefined,
    });
    expect(computeWorkerUpdate(facts({ runtimeOnly: true }), kill(true, 1))).toMatchObject({
      graceSeconds: 1,
    });
  });
});

describe("computeUnclaimed", () => {
  it("finds what the runtime or a folder has and nobody knows", () => {
    const runtime = [
      { uid: "a", name: "a", namespace: "default", live: true },
      { uid: "b", name: "b", namespace: "default", live: false },
    ];
    const found = computeUnclaimed(
      { runtime, folders: ["a", "c", "d"] },
      (uid) => uid === "b" || uid === "d",
    );
    expect([...found.keys()].sort()).toEqual(["a", "c"]);
    expect(found.get("a")?.live).toBe(true);
    expect(found.get("c")).toBeUndefined();
  });
});

describe("WorkQueue", () => {
  it("tells each pod once, in time, with one timer", async () => {
    const clock = new ManualClock();
    const told: string[] = [];
    const queue = new WorkQueue(clock, (uid) => void told.push(`${uid}@${clock.monotonic()}`));
    queue.enqueue("a", 100);
    queue.enqueue("b", 50);
    queue.enqueue("a", 200);
    queue.enqueue("c", 300);
    queue.remove("c");
    expect(clock.waiting).toBe(1);
    await clock.advance(1000);
    expect(told).toEqual(["b@50", "a@200"]);
    expect(clock.waiting).toBe(0);
  });

  it("leaves no timer behind", () => {
    const clock = new ManualClock();
    const queue = new WorkQueue(clock, () => {});
    queue.enqueue("a", 100);
    queue.clear();
    expect(clock.waiting).toBe(0);
    queue.enqueue("a", 100);
    expect(queue.dueIn("a")).toBe(100);
    queue.clear();
  });
});
