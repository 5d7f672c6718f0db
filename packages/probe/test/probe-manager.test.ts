// SPDX-License-Identifier: Apache-2.0

import { describe, expect, test } from "vitest";
import type { ProbeKind } from "@holdfast/probe";
import { Environment, FAILURE, http, podOf, SUCCESS } from "./environment.ts";

const ALL = { livenessProbe: http({}, 1), readinessProbe: http({}, 2), startupProbe: http({}, 3) };
const sidecar = { name: "side", image: "busybox", restartPolicy: "Always", ...ALL } as const;
const plainInit = { name: "init", image: "busybox", ...ALL } as const;
const kindsOf = (environment: Environment): string[] =>
  environment.manager.snapshot().map(({ container, kind }) => `${container} ${kind}`);

describe("workers", () => {
  // kubelet: TestAddRemovePods, TestCleanUp
  test("are made for probes only, once, and removed once", async () => {
    await using environment = new Environment();
    const { manager } = environment;
    manager.addPod(podOf({}));
    expect(kindsOf(environment)).toEqual([]);
    const pod = podOf({ readinessProbe: http() });
    manager.addPod(pod);
    manager.addPod(pod);
    expect(kindsOf(environment)).toEqual(["app readiness"]);
    manager.removePod("uid-1");
    manager.removePod("uid-1");
    expect(kindsOf(environment)).toEqual([]);
  });

  // kubelet: TestAddRemovePodsWithRestartableInitContainer
  test("watch sidecars but no other init containers", async () => {
    await using environment = new Environment();
    environment.manager.addPod(podOf({}, { spec: { initContainers: [plainInit, sidecar] } }));
    expect(kindsOf(environment)).toEqual(["side startup", "side readiness", "side liveness"]);
  });

  // kubelet: TestCleanupPods, TestCleanupRepeated
  test("of pods that nobody wants are removed", async () => {
    await using environment = new Environment();
    const { manager } = environment;
    for (const uid of ["a", "b"]) manager.addPod(podOf({ readinessProbe: http() }, { uid }));
    for (let turn = 0; turn < 3; turn++) manager.cleanupPods(new Set(["b"]));
    expect(manager.snapshot().map(({ podUid }) => podUid)).toEqual(["b"]);
  });

  test("beyond the capacity are not made, and that is said", async () => {
    await using environment = new Environment({ capacity: 2 });
    environment.manager.addPod(podOf(ALL));
    expect(environment.manager.health().failures).toEqual([
      "1 probes are not made: there are 2, the most allowed",
    ]);
  });

  // kubelet: StopLivenessAndStartup
  test("that could kill end with the pod's termination; readiness and sidecars go on", async () => {
    await using environment = new Environment();
    environment.manager.addPod(podOf(ALL, { spec: { initContainers: [sidecar] } }));
    environment.manager.stopLivenessAndStartup("uid-1");
    expect(kindsOf(environment)).toEqual([
      "app readiness",
      "side startup",
      "side readiness",
      "side liveness",
    ]);
  });

  test("end with the pod's phase and with a container that never comes back", async () => {
    await using environment = new Environment();
    const { manager, handlers } = environment;
    await manager.start();
    handlers.answers.set(80, SUCCESS);
    manager.addPod(podOf({ readinessProbe: http() }, { spec: { restartPolicy: "Never" } }));
    await environment.run("c1");
    expect(manager.readiness("c1")).toBe("success");
    await environment.exit("c1");
    expect(kindsOf(environment)).toEqual([]);
    expect(manager.readiness("c1")).toBeUndefined();
    expect(environment.checkpoint.map.size).toBe(0);
    // The next sync of the pod adds it again: it ends again at once.
    manager.addPod(podOf({ readinessProbe: http() }, { spec: { restartPolicy: "Never" } }));
    expect(kindsOf(environment)).toEqual([]);
    manager.addPod(podOf({ livenessProbe: http() }, { uid: "uid-2" }));
    environment.status = { phase: "Failed" };
    await environment.changed("uid-2");
    expect(kindsOf(environment)).toEqual([]);
  });
});

describe("when it is asked", () => {
  test("at once after the start, then in the rhythm of the period", async () => {
    await using environment = new Environment();
    const { manager, handlers, clock } = environment;
    await manager.start();
    handlers.answers.set(80, SUCCESS);
    manager.addPod(podOf({ readinessProbe: http({ periodSeconds: 2 }) }));
    await clock.advance(700);
    await environment.run("c1");
    expect(manager.readiness("c1")).toBe("success");
    await clock.advance(5000);
    await environment.changed();
    expect(handlers.times()).toEqual([700, 2700, 4700]);
  });

  // kubelet: TestInitialDelay
  test.each<[ProbeKind, string | undefined]>([
    ["liveness", "success"],
    ["readiness", "failure"],
    ["startup", undefined],
  ])("not before its delay: meanwhile %s is %s", async (kind, meanwhile) => {
    await using environment = new Environment();
    const { manager, handlers, clock } = environment;
    await manager.start();
    handlers.answers.set(80, SUCCESS);
    manager.addPod(podOf({ [`${kind}Probe`]: http({ initialDelaySeconds: 5 }) }));
    await environment.run("c1");
    await clock.advance(4999);
    expect([handlers.asked.length, manager[kind]("c1")]).toEqual([0, meanwhile]);
    await clock.advance(1);
    expect([handlers.asked.length, manager[kind]("c1")]).toEqual([1, "success"]);
  });

  test.each([3_600_000, -3_600_000])("a wall clock that steps by %i ms changes no delay", async (step) => {
    await using environment = new Environment();
    const { manager, handlers, clock } = environment;
    await manager.start();
    handlers.answers.set(80, SUCCESS);
    manager.addPod(podOf({ readinessProbe: http({ initialDelaySeconds: 5 }) }));
    await clock.advance(1000);
    const startedAt = clock.now();
    clock.stepWall(step);
    await environment.run("c1", { startedAt });
    await clock.advance(10_000);
    // Nobody knows better than: after the last look without it, and not before now.
    expect(handlers.times()[0]).toBeGreaterThanOrEqual(5000);
    expect(handlers.times()[0]).toBeLessThanOrEqual(6000);
  });

  test("readiness and liveness wait for startup, and come at once with it", async () => {
    await using environment = new Environment();
    const { manager, handlers, clock } = environment;
    await manager.start();
    for (const port of [1, 2]) handlers.answers.set(port, SUCCESS);
    handlers.answers.set(3, FAILURE);
    manager.addPod(podOf({ ...ALL, startupProbe: http({ failureThreshold: 30, periodSeconds: 1 }, 3) }));
    await environment.run("c1");
    await clock.advance(3500);
    expect([handlers.times(1), handlers.times(2), handlers.times(3)]).toEqual([
      [],
      [],
      [0, 1000, 2000, 3000],
    ]);
    handlers.answers.set(3, SUCCESS);
    await clock.advance(500);
    expect([handlers.times(1), handlers.times(2)]).toEqual([[4000], [4000]]);
    await clock.advance(30_000);
    expect(handlers.times(3)).toEqual([0, 1000, 2000, 3000, 4000]);
    expect(environment.changes()).toEqual(["startup unknown->success", "readiness failure->success"]);
  });

  test("faster until ready, in milliseconds", async () => {
    await using environment = new Environment();
    const { manager, handlers, clock } = environment;
    await manager.start();
    handlers.answers.set(80, FAILURE);
    const annotations = {
      "holdfast.agent/readiness-probe-timing": "period=400ms, unreadyPeriod=100ms; other: period=9s",
    };
    manager.addPod(
      podOf(
        { readinessProbe: http() },
        {
          metadata: { annotations },
          spec: {
            containers: [
              { name: "app", image: "", readinessProbe: http() },
              { name: "other", image: "" },
            ],
          },
        },
      ),
    );
    await environment.run("c1");
    await clock.advance(250);
    handlers.answers.set(80, SUCCESS);
    await clock.advance(900);
    expect(handlers.times()).toEqual([0, 100, 200, 300, 700, 1100]);
  });

  test("bad timing is refused whole, and said", async () => {
    await using environment = new Environment();
    const annotations = { "holdfast.agent/readiness-probe-timing": "timeout=100ms, period=10ms" };
    environment.manager.addPod(podOf({ readinessProbe: http() }, { metadata: { annotations } }));
    expect(environment.manager.snapshot()[0]?.periodMs).toBe(10_000);
    expect(environment.published().map(({ data }) => (data as { message: string }).message)).toEqual([
      "annotation holdfast.agent/readiness-probe-timing: period: 10ms is not between 50ms and 24h",
    ]);
  });

  test.each([
    [1000, 20],
    [130, 20],
    [1000, 200],
    [1000, 330],
  ])("a period of %i ms stays one, however many share the process: %i", async (periodMs, count) => {
    await using environment = new Environment({ coalesceMs: 100 });
    const { manager, handlers, clock } = environment;
    await manager.start();
    await environment.run("c1");
    const timing = { "holdfast.agent/readiness-probe-timing": `period=${periodMs}ms` };
    for (let at = 0; at < count; at++) {
      await clock.advance(3);
      handlers.answers.set(at + 1, SUCCESS);
      const metadata = { annotations: timing };
      manager.addPod(podOf({ readinessProbe: http({}, at + 1) }, { uid: `uid-${at}`, metadata }));
    }
    const begun = clock.monotonic();
    await clock.advance(20 * periodMs);
    for (const port of [1, 2, count]) {
      const times = handlers.times(port).filter((at) => at > begun);
      expect(times.length).toBeGreaterThanOrEqual(19);
      expect(times.length).toBeLessThanOrEqual(21);
      // No two are further apart than a period where that is whole seconds.
      const gaps = times.slice(1).map((at, index) => at - (times[index] ?? 0));
      if (periodMs === 1000) expect(new Set(gaps.slice(1))).toEqual(new Set([1000]));
    }
  });

  test("probes of many pods that fall due together wake the process once", async () => {
    await using environment = new Environment({ coalesceMs: 50 });
    const { manager, handlers, clock } = environment;
    await manager.start();
    handlers.answers.set(80, SUCCESS);
    await environment.run("c1");
    for (let at = 0; at < 10; at++) {
      await clock.advance(3);
      manager.addPod(podOf({ readinessProbe: http({ periodSeconds: 1 }) }, { uid: `uid-${at}` }));
    }
    await clock.advance(2050);
    expect(new Set(handlers.times().slice(10))).toEqual(new Set([1050, 2050]));
  });
});

describe("verdicts", () => {
  // kubelet: TestUpdateReadiness, TestUpdates, TestCacheOperations
  test("are told when they change, both ways, and only then", async () => {
    await using environment = new Environment();
    const { manager, handlers, clock } = environment;
    await manager.start();
    manager.addPod(podOf({ readinessProbe: http({ periodSeconds: 1, failureThreshold: 2 }) }));
    handlers.answers.set(80, SUCCESS);
    await environment.run("c1");
    await clock.advance(3500);
    handlers.answers.set(80, FAILURE);
    await clock.advance(3000);
    handlers.answers.set(80, SUCCESS);
    await clock.advance(1000);
    const events = environment.published().filter(({ type }) => type === "probe/ResultChanged");
    expect(events.map(({ data }) => (data as { result: string }).result)).toEqual([
      "success",
      "failure",
      "success",
    ]);
    expect(events[1]).toMatchObject({
      subject: { podUid: "uid-1", pod: "default/web", container: "app", containerId: "c1" },
      data: { kind: "readiness", previous: "success", output: "HTTP probe failed with statuscode: 500" },
    });
  });

  // kubelet: TestOnHoldOnLivenessOrStartupCheckFailure
  test("a dead container is asked no more until another one comes", async () => {
    await using environment = new Environment();
    const { manager, handlers, clock } = environment;
    await manager.start();
    manager.addPod(podOf({ livenessProbe: http({ periodSeconds: 1 }) }));
    handlers.answers.set(80, FAILURE);
    await environment.run("c1");
    expect(manager.liveness("c1")).toBe("success");
    await clock.advance(60_000);
    expect([handlers.times(), manager.liveness("c1")]).toEqual([[0, 1000, 2000], "failure"]);
    await environment.exit("c1", 137);
    handlers.answers.set(80, SUCCESS);
    await environment.run("c2");
    expect([manager.liveness("c1"), manager.liveness("c2")]).toEqual([undefined, "success"]);
    expect(handlers.times().length).toBe(4);
    expect(environment.changes()).toEqual(["liveness success->failure"]);
  });

  // kubelet: TestUpdatePodStatus (terminated with cached Success -> not ready)
  test("a container that ended is not ready at once", async () => {
    await using environment = new Environment();
    const { manager, handlers } = environment;
    await manager.start();
    manager.addPod(podOf({ readinessProbe: http() }));
    handlers.answers.set(80, SUCCESS);
    await environment.run("c1");
    expect([
      manager.watches("uid-1", "app", "readiness"),
      manager.watches("uid-1", "app", "startup"),
    ]).toEqual([true, false]);
    await environment.exit("c1");
    expect(manager.readiness("c1")).toBe("failure");
  });

  test("what a container was asked when it ended is not held against its successor", async () => {
    await using environment = new Environment();
    const { manager, handlers, clock } = environment;
    await manager.start();
    manager.addPod(podOf({ livenessProbe: http({ failureThreshold: 1 }) }));
    await environment.run("c1");
    expect(handlers.active).toBe(1);
    await environment.exit("c1");
    expect(handlers.active).toBe(0);
    handlers.answers.set(80, SUCCESS);
    await environment.run("c2");
    await clock.advance(5000);
    expect(manager.liveness("c2")).toBe("success");
  });

  test("a state that the runtime does not know kills nobody", async () => {
    await using environment = new Environment();
    const { manager, handlers } = environment;
    await manager.start();
    manager.addPod(podOf({ livenessProbe: http() }));
    handlers.answers.set(80, SUCCESS);
    await environment.run("c1", { state: "created" });
    await environment.run("c1", { state: "unknown" });
    expect(manager.liveness("c1")).toBe("success");
  });

  test("a target that does not answer fails after the timeout, and that it took so long is told", async () => {
    await using environment = new Environment();
    const { manager, metrics, clock } = environment;
    await manager.start();
    manager.addPod(podOf({ livenessProbe: http({ failureThreshold: 1, timeoutSeconds: 2 }) }));
    await environment.run("c1");
    await clock.advance(1999);
    expect(manager.liveness("c1")).toBe("success");
    expect(manager.snapshot()[0]?.lastTookMs).toBeUndefined();
    await clock.advance(30);
    expect(manager.liveness("c1")).toBe("failure");
    expect(manager.snapshot()[0]).toMatchObject({ lastTookMs: 2000, tookMs: 2000 });
    expect(metrics.value("holdfast_probe_seconds_total", { handler: "http" })).toBe(2);
  });
});

test("the kubelet's metrics go by container and end with the pod", async () => {
  await using environment = new Environment();
  const { manager, handlers, clock } = environment;
  await manager.start();
  handlers.answers.set(80, SUCCESS);
  manager.addPod(podOf({ readinessProbe: http({ periodSeconds: 1 }) }));
  await environment.run("c1");
  await clock.advance(1000);
  handlers.answers.set(80, FAILURE);
  await clock.advance(1000);
  const text = manager.exposition();
  const labels = 'container="app",namespace="default",pod="web"';
  expect(text).toContain(
    `prober_probe_total{${labels},pod_uid="uid-1",probe_type="Readiness",result="successful"} 2`,
  );
  expect(text).toContain(
    `prober_probe_total{${labels},pod_uid="uid-1",probe_type="Readiness",result="failed"} 1`,
  );
  expect(text).toContain(`prober_probe_duration_seconds_count{${labels},probe_type="Readiness"} 2`);
  manager.removePod("uid-1");
  expect(manager.exposition()).not.toContain("uid-1");
});

test("the same trouble is told again after a minute, with its count", async () => {
  await using environment = new Environment();
  const { manager, handlers, clock } = environment;
  await manager.start();
  handlers.answers.set(80, FAILURE);
  manager.addPod(podOf({ readinessProbe: http({ periodSeconds: 1 }) }));
  await environment.run("c1");
  await clock.advance(120_500);
  const counts = environment.published().map(({ data }) => (data as { count: number }).count);
  expect(counts).toEqual([1, 60, 60]);
});

test("a newer container that does not run beside one that does changes nothing", async () => {
  await using environment = new Environment();
  const { manager, handlers, clock } = environment;
  await manager.start();
  handlers.answers.set(80, SUCCESS);
  manager.addPod(podOf({ readinessProbe: http({ periodSeconds: 1 }) }));
  await environment.run("c1");
  await clock.advance(1000);
  environment.changes();
  for (const state of ["created", "exited"] as const) {
    await environment.run("left-over", { state });
    await clock.advance(3000);
    expect([manager.readiness("c1"), manager.readiness("left-over")]).toEqual(["success", undefined]);
  }
  expect(environment.changes()).toEqual([]);
  expect(handlers.times().length).toBe(8);
  // Until it does not run any more: then the newest counts.
  await environment.exit("c1");
  expect(manager.readiness("left-over")).toBe("failure");
});
