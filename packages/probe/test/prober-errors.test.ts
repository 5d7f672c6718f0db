// SPDX-License-Identifier: Apache-2.0

import { describe, expect, test } from "vitest";
import type { ManualClock } from "@holdfast/core/manual-clock";
import { Environment, ERROR, http, podOf, SUCCESS } from "./environment.ts";

describe("what is not the target's failure", () => {
  test("is tried three times, thrown away, told and counted", async () => {
    await using environment = new Environment();
    const { manager, handlers, metrics, clock } = environment;
    await manager.start();
    manager.addPod(podOf({ livenessProbe: http({ failureThreshold: 1 }) }));
    handlers.answers.set(80, ERROR);
    await environment.run("c1");
    await clock.advance(10_000);
    expect(handlers.times()).toEqual([0, 0, 0, 10_000, 10_000, 10_000]);
    expect(manager.liveness("c1")).toBe("success");
    expect(metrics.value("holdfast_prober_errors_total", { why: "runtime" })).toBe(6);
    const [event] = environment.published();
    expect(event).toMatchObject({
      type: "probe/Unhealthy",
      data: {
        eventType: "Warning",
        reason: "Unhealthy",
        fieldPath: "spec.containers{app}",
        message: "Liveness probe errored and resulted in unknown state: cannot be spawned",
        proberError: "runtime",
      },
    });
    expect(manager.exposition()).not.toContain("prober_probe_total{");
  });

  test("a port name that does not exist neither passes nor fails", async () => {
    await using environment = new Environment();
    const { manager, handlers, metrics, clock } = environment;
    await manager.start();
    const probe = { tcpSocket: { port: "web" }, failureThreshold: 1, periodSeconds: 1 };
    manager.addPod(podOf({ livenessProbe: probe, readinessProbe: probe }));
    await environment.run("c1");
    await clock.advance(10_000);
    expect([handlers.asked.length, manager.liveness("c1"), manager.readiness("c1")]).toEqual([
      0,
      "success",
      "failure",
    ]);
    expect(metrics.value("holdfast_prober_errors_total", { why: "port" })).toBe(22);
    expect(manager.snapshot()[0]?.lastProblem).toBe(
      'Readiness probe errored and resulted in unknown state: port "web" is neither a port name of container app nor a number',
    );
  });

  test("a pod without an address is not asked at somebody else's", async () => {
    await using environment = new Environment();
    const { manager, handlers, clock } = environment;
    await manager.start();
    environment.ips = [];
    handlers.answers.set(80, SUCCESS);
    manager.addPod(podOf({ readinessProbe: http({ periodSeconds: 1 }) }));
    await environment.run("c1");
    expect([handlers.asked.length, manager.readiness("c1")]).toEqual([0, "failure"]);
    environment.ips = ["10.88.0.9"];
    await clock.advance(1000);
    expect(handlers.asked[0]?.request).toMatchObject({ http: { host: "10.88.0.9" } });
    expect(manager.readiness("c1")).toBe("success");
  });

  test("a pod on the host's network has the host's address", async () => {
    await using environment = new Environment();
    const { manager, handlers } = environment;
    await manager.start();
    environment.ips = [];
    handlers.answers.set(80, SUCCESS);
    manager.addPod(podOf({ readinessProbe: http() }, { spec: { hostNetwork: true } }));
    await environment.run("c1");
    expect(handlers.asked[0]?.request).toMatchObject({ http: { host: "127.0.0.1" } });
  });

  test("a handler that throws", async () => {
    await using environment = new Environment();
    const { manager, handlers, clock } = environment;
    await manager.start();
    handlers.start = () => {
      throw new TypeError("a bug");
    };
    manager.addPod(podOf({ livenessProbe: http({ failureThreshold: 1 }) }));
    await environment.run("c1");
    await clock.advance(10_000);
    expect(manager.snapshot()[0]).toMatchObject({ verdict: "success", proberErrors: 2 });
  });

  describe("an event loop of our own that stood still", () => {
    /** From now on each timer of the clock comes later by `ms`, as often as told. */
    function stallTimers(clock: ManualClock, ms: number, times: number): void {
      const timer = clock.timer.bind(clock);
      let left = times;
      clock.timer = (after, onFire) => timer(left-- > 0 ? after + ms : after, onFire);
    }
    const liveness = podOf({ livenessProbe: http({ failureThreshold: 1 }) });

    test("gives the target its time back", async () => {
      await using environment = new Environment();
      const { manager, metrics, clock, handlers } = environment;
      await manager.start();
      manager.addPod(liveness);
      stallTimers(clock, 3000, 1);
      await environment.run("c1");
      // The time is up at 1 s, that is seen at 4 s, and then it has one more.
      await clock.advance(4500);
      expect([manager.liveness("c1"), handlers.active]).toEqual(["success", 1]);
      expect(metrics.value("holdfast_prober_errors_total", { why: "starved" })).toBe(1);
      await clock.advance(600);
      // A target that hangs does not live by that.
      expect(manager.liveness("c1")).toBe("failure");
    });

    test("again and again says nothing about the target", async () => {
      await using environment = new Environment();
      const { manager, clock } = environment;
      await manager.start();
      manager.addPod(liveness);
      stallTimers(clock, 3000, 1000);
      await environment.run("c1");
      await clock.advance(120_000);
      expect(manager.liveness("c1")).toBe("success");
      expect(manager.snapshot()[0]).toMatchObject({
        failed: 0,
        lastProblem:
          "Liveness probe errored and resulted in failure state: the agent's own event loop stood still during the probe",
      });
      manager.removePod("uid-1");
    });
  });
});
