// SPDX-License-Identifier: Apache-2.0
import { Bus } from "@holdfast/bus";
import { ManualClock } from "@holdfast/core/manual-clock";
import {
  computeReadiness,
  computeReadyCondition,
  readMachineFacts,
  RuntimeReadinessChanged,
  RuntimeState,
} from "@holdfast/node";
import type { ReadinessRuntime } from "@holdfast/node";
import { expect, test } from "vitest";

const good = { status: true, reason: "", message: "" };
const base = {
  now: 40_000,
  lastGoodAt: 39_000,
  runtimeCondition: good,
  networkCondition: good,
  callProblem: undefined,
};

test.each([
  ["all ready", base, { runtime: undefined, network: undefined }],
  [
    "never good",
    { ...base, lastGoodAt: undefined },
    { runtime: "container runtime status check may not have completed yet", network: undefined },
  ],
  ["30 s old is still good", { ...base, lastGoodAt: 10_000 }, { runtime: undefined, network: undefined }],
  [
    "older than 30 s",
    { ...base, lastGoodAt: 9_999, callProblem: "no answer" },
    { runtime: "container runtime is down: no answer", network: undefined },
  ],
  [
    "network not ready",
    {
      ...base,
      networkCondition: {
        status: false,
        reason: "NetworkPluginNotReady",
        message: "cni plugin not initialized",
      },
    },
    {
      runtime: undefined,
      network:
        "container runtime network not ready: reason:NetworkPluginNotReady message:cni plugin not initialized",
    },
  ],
  [
    "network unknown",
    { ...base, networkCondition: undefined },
    { runtime: undefined, network: "container runtime network not ready: state unknown" },
  ],
])("readiness: %s", (_name, facts, readiness) => expect(computeReadiness(facts)).toEqual(readiness));

// kubelet: TestReadyCondition
test("the Ready condition joins all problems", () => {
  expect(computeReadyCondition({ runtime: undefined, network: undefined }).status).toBe("True");
  expect(computeReadyCondition({ runtime: "a", network: "b" }, ["c"])).toEqual({
    type: "Ready",
    status: "False",
    reason: "KubeletNotReady",
    message: "[a, b, c]",
  });
});

/** A runtime whose answers are set by the test. */
function scripted(): ReadinessRuntime & {
  answer: "ready" | "no-network" | "fails" | "hangs";
  calls: number;
} {
  return {
    answer: "ready",
    calls: 0,
    async status(request, options) {
      this.calls += 1;
      if (this.answer === "fails") throw new Error("connection refused");
      if (this.answer === "hangs")
        return new Promise((_resolve, reject) =>
          options?.signal?.addEventListener("abort", () => reject(options.signal?.reason as Error)),
        );
      const conditions = [
        { type: "RuntimeReady", status: true, reason: "", message: "" },
        { type: "NetworkReady", status: this.answer === "ready", reason: "NoCNI", message: "no config" },
      ];
      const info: Record<string, string> = request.verbose === true ? { config: '{"enableCDI":false}' } : {};
      return { status: { conditions }, info, runtimeHandlers: [], features: undefined };
    },
    version: async () => ({
      version: "0.1.0",
      runtimeName: "fake",
      runtimeVersion: "1",
      runtimeApiVersion: "v1",
    }),
  };
}

test("changes are told once, a lost runtime is down after 30 s, and stop leaves no timer", async () => {
  const clock = new ManualClock();
  const bus = new Bus({ clock });
  using changes = bus.subscribe([RuntimeReadinessChanged], {
    name: "test",
    capacity: 16,
    overflow: "drop-oldest",
  });
  const runtime = scripted();
  runtime.answer = "no-network";
  const state = new RuntimeState({ runtime, clock, publish: bus });
  await state.start();
  expect(state.networkProblem()).toContain("NoCNI");
  expect(state.runtimeProblem()).toBeUndefined();
  runtime.answer = "ready";
  await clock.advance(500);
  expect(state.health().failures).toEqual([]);
  expect(state.identity()).toEqual({ name: "fake", version: "1", resolvesCdi: false });
  runtime.answer = "fails";
  await clock.advance(30_000);
  expect(state.runtimeProblem()).toBeUndefined();
  await clock.advance(10_000);
  expect(state.runtimeProblem()).toBe("container runtime is down: connection refused");
  expect([state.identity(), state.lastIdentity()?.name]).toEqual([undefined, "fake"]);
  clock.stepWall(3_600_000);
  runtime.answer = "ready";
  await clock.advance(1000);
  expect(state.health().failures).toEqual([]);
  await state.stop();
  await state.stop();
  expect(clock.waiting).toBe(0);
  expect(changes.pending).toBe(4);
});

test("while all is well the runtime is asked every 5 s, and stopping during a hung call ends it", async () => {
  const clock = new ManualClock();
  const runtime = scripted();
  const state = new RuntimeState({ runtime, clock });
  await state.start();
  await clock.advance(50_000);
  expect(runtime.calls).toBe(11);
  runtime.answer = "hangs";
  await clock.advance(5_000);
  await state.stop();
  expect(clock.waiting).toBe(0);
});

test("this machine has facts", () => {
  const facts = readMachineFacts();
  expect(facts.cpus).toBeGreaterThan(0);
  expect(facts.memoryBytes).toBeGreaterThan(0);
  expect([1, 2]).toContain(facts.cgroupVersion);
});
