// SPDX-License-Identifier: Apache-2.0

import { seededRandom } from "@holdfast/core/random";
import { describe, expect, it } from "vitest";

import { FaultScript, isAbout, isDue } from "../src/faults.ts";
import type { FaultMatch, FaultSubject } from "../src/faults.ts";

const call: FaultSubject = {
  method: "StopContainer",
  target: "c1",
  podUid: "u1",
  podName: "web",
  podNamespace: "default",
  container: "app",
};
const event: FaultSubject = { method: "containerdEvents", topic: "/tasks/exit", podName: "web" };

describe("what a fault is about", () => {
  it.each<[string, FaultMatch, FaultSubject, boolean]>([
    ["nothing given, a call", {}, call, true],
    ["nothing given, an event", {}, event, false],
    ["its method", { method: "StopContainer" }, call, true],
    ["another method", { method: "StartContainer" }, call, false],
    ["one of its methods", { method: ["StartContainer", "StopContainer"] }, call, true],
    ["its pod", { podName: "web", podNamespace: "default" }, call, true],
    ["another namespace", { podName: "web", podNamespace: "kube-system" }, call, false],
    ["its pod's uid", { podUid: "u1" }, call, true],
    ["another uid", { podUid: "u2" }, call, false],
    ["its container", { container: "app" }, call, true],
    ["its id", { target: "c1" }, call, true],
    ["another id", { target: "c2" }, call, false],
    ["events by name", { method: "containerdEvents" }, event, true],
    ["events by topic", { method: "containerdEvents", topic: "/tasks/start" }, event, false],
  ])("%s", (_name, match, subject, expected) => {
    expect(isAbout(match, subject)).toBe(expected);
  });
});

describe("when it is due", () => {
  it.each<[string, FaultMatch, number, number, boolean]>([
    ["always", {}, 7, 6, true],
    ["the third, at the second", { nth: 3 }, 2, 0, false],
    ["the third, at the third", { nth: 3 }, 3, 0, true],
    ["the first and third, at the third", { nth: [1, 3] }, 3, 1, true],
    ["from the third, at the second", { from: 3 }, 2, 0, false],
    ["from the third, at the ninth", { from: 3 }, 9, 6, true],
    ["twice, at the second", { times: 2 }, 2, 1, true],
    ["twice, after the second", { times: 2 }, 3, 2, false],
  ])("%s", (_name, match, nth, applied, expected) => {
    expect(isDue(match, nth, applied)).toBe(expected);
  });
});

describe("a script", () => {
  it("adds latencies up and takes the first error", () => {
    const script = new FaultScript(
      [
        { latencyMs: 10, error: { code: "CRI_INTERNAL" } },
        { latencyMs: 5, error: { code: "CRI_UNKNOWN" } },
      ],
      seededRandom(1),
    );
    expect(script.decide(call)).toMatchObject({ latencyMs: 15, error: { code: "CRI_INTERNAL" } });
  });

  it("counts only the calls that match", () => {
    const script = new FaultScript(
      [{ match: { method: "StopContainer", nth: 2 }, error: {} }],
      seededRandom(1),
    );
    const other = { ...call, method: "ListContainers" };
    const errors = [call, other, other, call, call].map(
      (subject) => script.decide(subject).error !== undefined,
    );
    expect(errors).toEqual([false, false, false, true, false]);
  });

  it("draws the same lots from the same seed", () => {
    const run = (seed: number): boolean[] => {
      const script = new FaultScript([{ match: { probability: 0.3 }, error: {} }], seededRandom(seed));
      return Array.from({ length: 200 }, () => script.decide(call).error !== undefined);
    };
    expect(run(7)).toEqual(run(7));
    expect(run(7)).not.toEqual(run(8));
    const share = run(7).filter(Boolean).length;
    expect(share).toBeGreaterThan(30);
    expect(share).toBeLessThan(90);
  });

  it("lets go of what hangs when it is lifted", async () => {
    const script = new FaultScript([], seededRandom(1));
    const handle = script.add({ match: { method: "StopContainer" }, hang: true });
    const { heldUntil } = script.decide(call);
    expect(handle.hits).toBe(1);
    handle.lift();
    await expect(heldUntil).resolves.toBeUndefined();
    expect(script.decide(call).heldUntil).toBeUndefined();
  });
});
