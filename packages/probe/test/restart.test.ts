// SPDX-License-Identifier: Apache-2.0

import { describe, expect, test } from "vitest";
import { Environment, FAILURE, http, MemoryCheckpoint, podOf, SUCCESS } from "./environment.ts";

const second = { periodSeconds: 1, failureThreshold: 3 };

describe("a restart of the agent", () => {
  test("brings verdicts back before anything is asked, and their pod is added", async () => {
    await using environment = new Environment();
    const { handlers, clock } = environment;
    await environment.manager.start();
    handlers.answers.set(1, SUCCESS).set(2, SUCCESS).set(3, SUCCESS);
    const pod = podOf({
      startupProbe: http(second, 3),
      readinessProbe: http(second, 1),
      livenessProbe: http(second, 2),
    });
    environment.manager.addPod(pod);
    await environment.run("c1");
    await clock.advance(60_000);
    await environment.crash();
    await clock.advance(5000);
    const { manager } = environment;
    expect([manager.startup("c1"), manager.readiness("c1")]).toEqual(["success", "success"]);
    expect(manager.watches("uid-1", "app", "readiness")).toBe(true);
    environment.published();
    handlers.asked.length = 0;
    manager.addPod(pod);
    expect([manager.startup("c1"), manager.readiness("c1"), manager.liveness("c1")]).toEqual([
      "success",
      "success",
      "success",
    ]);
    expect(manager.snapshot().map(({ restored }) => restored)).toEqual([true, true, true]);
    await manager.start();
    await clock.advance(0);
    // At once, but for what startup has settled for good.
    expect([handlers.times(1).length, handlers.times(2).length, handlers.times(3).length]).toEqual([1, 1, 0]);
    expect(environment.changes()).toEqual([]);
  });

  test("tells how old a verdict is", async () => {
    await using environment = new Environment();
    const { handlers, clock } = environment;
    await environment.manager.start();
    handlers.answers.set(80, SUCCESS);
    const pod = podOf({ readinessProbe: http(second) });
    environment.manager.addPod(pod);
    await environment.run("c1");
    await clock.advance(30_500);
    // Stopped cleanly: the last probe counts, not the one that changed the verdict.
    await environment.manager.stop();
    await environment.crash();
    await clock.advance(4000);
    environment.manager.addPod(pod);
    expect(environment.manager.snapshot()[0]).toMatchObject({
      restored: true,
      verdictAgeMs: 4500,
      probedAgeMs: 4500,
    });
  });

  test("in the middle of failing forgets no failure, and adds none", async () => {
    await using environment = new Environment();
    const { handlers, clock } = environment;
    await environment.manager.start();
    handlers.answers.set(80, SUCCESS);
    const pod = podOf({ livenessProbe: http(second) });
    environment.manager.addPod(pod);
    await environment.run("c1");
    await clock.advance(500);
    handlers.answers.set(80, FAILURE);
    // Failures at 1 s and 2 s; what is known is written within a second and a half.
    await clock.advance(2000);
    await environment.crash();
    environment.manager.addPod(pod);
    await environment.manager.start();
    expect(environment.manager.liveness("c1")).not.toBe("failure");
    await clock.advance(0);
    await clock.advance(1000);
    expect(environment.manager.liveness("c1")).toBe("failure");
  });

  test.each([
    [SUCCESS, "success"],
    [FAILURE, "failure"],
  ])("kills nothing for what it found before: it asks once more", async (answer, verdict) => {
    await using environment = new Environment();
    const { handlers, clock } = environment;
    await environment.manager.start();
    handlers.answers.set(80, FAILURE);
    const pod = podOf({ livenessProbe: http(second) });
    environment.manager.addPod(pod);
    await environment.run("c1");
    await clock.advance(5000);
    expect(environment.manager.liveness("c1")).toBe("failure");
    await environment.crash();
    await clock.advance(3_600_000);
    expect(environment.manager.liveness("c1")).toBeUndefined();
    environment.manager.addPod(pod);
    expect(environment.manager.liveness("c1")).toBeUndefined();
    handlers.answers.set(80, answer);
    await environment.manager.start();
    await clock.advance(0);
    expect(environment.manager.liveness("c1")).toBe(verdict);
  });

  test("does not kill: a verdict of another container is not this one's", async () => {
    await using environment = new Environment();
    const { handlers, clock } = environment;
    await environment.manager.start();
    handlers.answers.set(80, FAILURE);
    const pod = podOf({ livenessProbe: http(second) });
    environment.manager.addPod(pod);
    await environment.run("c1");
    await clock.advance(5000);
    expect(environment.manager.liveness("c1")).toBe("failure");
    await environment.crash();
    environment.containers.length = 0;
    await environment.run("c2");
    environment.manager.addPod(pod);
    await environment.manager.start();
    expect(environment.manager.liveness("c2")).toBe("success");
    expect(environment.manager.liveness("c1")).toBeUndefined();
  });

  test("without a checkpoint invents nothing, and a ready container stays ready until it is probed", async () => {
    await using environment = new Environment();
    const { manager, handlers, clock } = environment;
    const startedAt = clock.now() - 60_000;
    environment.status = {
      phase: "Running",
      containerStatuses: [{ name: "app", containerID: "containerd://c1", ready: true, started: true }],
    };
    await environment.run("c1", { startedAt });
    const pod = podOf({
      startupProbe: http(second, 3),
      readinessProbe: http(second, 1),
      livenessProbe: http(second, 2),
    });
    manager.addPod(pod);
    expect([manager.liveness("c1"), manager.startup("c1"), manager.readiness("c1")]).toEqual([
      undefined,
      undefined,
      "success",
    ]);
    handlers.answers.set(1, FAILURE).set(2, SUCCESS);
    await manager.start();
    await clock.advance(2500);
    // It has started, so it is not asked for that again.
    expect(handlers.times(3)).toEqual([]);
    expect(manager.readiness("c1")).toBe("failure");
  });

  test("a container that has just started is fresh", async () => {
    await using environment = new Environment();
    await environment.run("c1", { startedAt: environment.clock.now() - 5000 });
    environment.manager.addPod(podOf({ readinessProbe: http(), livenessProbe: http() }));
    expect([environment.manager.readiness("c1"), environment.manager.liveness("c1")]).toEqual([
      "failure",
      "success",
    ]);
  });

  test("spreads the first probes of what runs already", async () => {
    await using environment = new Environment({ restartSpreadMs: 1000 });
    const { manager, handlers, clock } = environment;
    handlers.answers.set(80, SUCCESS);
    await environment.run("c1", { startedAt: clock.now() - 60_000 });
    for (let at = 0; at < 50; at++) manager.addPod(podOf({ readinessProbe: http() }, { uid: `uid-${at}` }));
    await manager.start();
    await clock.advance(1000);
    const times = handlers.times();
    expect(times.length).toBe(50);
    const busiest = Math.max(
      ...Array.from({ length: 10 }, (_, at) => times.filter((time) => Math.floor(time / 100) === at).length),
    );
    expect(busiest).toBeLessThan(20);
    expect(times.every((time) => time <= 1000)).toBe(true);
  });
});

describe("the checkpoint", () => {
  test("is not written while nothing changes", async () => {
    await using environment = new Environment();
    const { manager, handlers, clock, checkpoint } = environment;
    await manager.start();
    handlers.answers.set(80, SUCCESS);
    manager.addPod(podOf({ readinessProbe: http(second) }));
    await environment.run("c1");
    await clock.advance(10_000);
    const { writes } = checkpoint;
    await clock.advance(600_000);
    expect(checkpoint.writes).toBe(writes);
  });

  test("has the verdict before it is told", async () => {
    const checkpoint = new MemoryCheckpoint();
    await using environment = new Environment({ checkpoint });
    const { manager, handlers } = environment;
    await manager.start();
    handlers.answers.set(80, SUCCESS);
    manager.addPod(podOf({ readinessProbe: http(second) }));
    const publish = environment.bus.publish.bind(environment.bus);
    let stored = "";
    environment.bus.publish = (type, data, options) => {
      if (type.name === "probe/ResultChanged")
        stored = checkpoint.map.get("uid-1/app/readiness") ?? "nothing";
      return publish(type, data, options);
    };
    await environment.run("c1");
    expect(JSON.parse(stored)).toMatchObject({ id: "c1", verdict: "success" });
  });

  test.each(["", "{", "null", '{"format":2}', '{"format":1,"id":"c1","run":"x","onHold":false,"at":1}'])(
    "that is damaged is forgotten: %s",
    async (text) => {
      const checkpoint = new MemoryCheckpoint();
      checkpoint.map.set("uid-1/app/readiness", text);
      await using environment = new Environment({ checkpoint });
      expect(environment.manager.readiness("c1")).toBeUndefined();
      expect(checkpoint.map.size).toBe(0);
    },
  );

  test("keeps nothing of pods that are gone", async () => {
    const checkpoint = new MemoryCheckpoint();
    const text = JSON.stringify({
      format: 1,
      id: "c",
      verdict: "success",
      last: "success",
      run: 1,
      onHold: false,
      at: 1,
    });
    for (const uid of ["a", "b", "c"]) checkpoint.map.set(`${uid}/app/readiness`, text);
    await using environment = new Environment({ checkpoint });
    environment.manager.removePod("a");
    environment.manager.cleanupPods(new Set(["b"]));
    expect([...checkpoint.map.keys()]).toEqual(["b/app/readiness"]);
  });

  test("a wall clock that was stepped makes no verdict younger than nothing", async () => {
    const checkpoint = new MemoryCheckpoint();
    await using environment = new Environment({ checkpoint });
    const { handlers, clock } = environment;
    await environment.manager.start();
    handlers.answers.set(80, SUCCESS);
    const pod = podOf({ readinessProbe: http(second) });
    environment.manager.addPod(pod);
    await environment.run("c1");
    clock.stepWall(-3_600_000);
    await environment.crash();
    environment.manager.addPod(pod);
    expect(environment.manager.snapshot()[0]?.probedAgeMs).toBe(0);
  });
});
