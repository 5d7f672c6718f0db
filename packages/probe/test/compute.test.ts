// SPDX-License-Identifier: Apache-2.0

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { computeFirstState, computeStep, computeVerdict, UNKNOWN_STATE } from "@holdfast/probe";
import type { Container } from "@holdfast/core/pod-types";
import type { ProbedRecord, ProbeKind, ProbeState, StepFacts } from "@holdfast/probe";
import { restartsAll, wouldRestart } from "../src/compute-restart.ts";
import type { RestartRule } from "../src/compute-restart.ts";
import { podOf } from "./environment.ts";

const KINDS: readonly ProbeKind[] = ["liveness", "readiness", "startup"];
const record: ProbedRecord = { id: "c1", name: "app", state: "running", startedAt: 0, exitCode: 0 };
const facts = (kind: ProbeKind, more: Partial<StepFacts> = {}): StepFacts => ({
  kind,
  podEnded: false,
  record,
  wouldRestart: true,
  onHold: false,
  deleted: false,
  started: kind !== "startup",
  initialDelayMs: 0,
  runningForMs: 0,
  ...more,
});
const action = (given: StepFacts): string => computeStep(given).action;

// kubelet: TestDoProbe
describe.each(KINDS)("a step of %s", (kind) => {
  test.each<[string, Partial<StepFacts>, string]>([
    ["pod ended", { podEnded: true }, "end"],
    ["no container", { record: undefined }, "idle"],
    ["on hold", { onHold: true }, "idle"],
    ["exited, comes again", { record: { ...record, state: "exited" } }, "fail"],
    ["exited for good", { record: { ...record, state: "exited" }, wouldRestart: false }, "fail-and-end"],
    ["running", {}, "probe"],
    ["before its delay", { initialDelayMs: 3000, runningForMs: 1000 }, "wait"],
    ["after its delay", { initialDelayMs: 3000, runningForMs: 3000 }, "probe"],
  ])("%s", (_name, more, expected) => expect(action(facts(kind, more))).toBe(expected));

  test("a pod that is being deleted is not killed once more", () => {
    expect(action(facts(kind, { deleted: true }))).toBe(kind === "readiness" ? "probe" : "succeed-and-end");
  });

  // kubelet: TestLivenessProbeDisabledByStarted, TestStartupProbeDisabledByStarted
  test("startup goes before the others, and not after", () => {
    expect(action(facts(kind, { started: true }))).toBe(kind === "startup" ? "idle" : "probe");
    expect(action(facts(kind, { started: false }))).toBe(kind === "startup" ? "probe" : "idle");
  });

  test("a container that was created and does not run yet, or whose state is not known", () => {
    for (const state of ["created", "unknown"] as const)
      expect(action(facts(kind, { record: { ...record, state } }))).toBe(
        kind === "readiness" ? "fail" : "idle",
      );
  });
});

test("how long is left of a delay", () => {
  expect(computeStep(facts("liveness", { initialDelayMs: 3000, runningForMs: 1000 }))).toEqual({
    action: "wait",
    ms: 2000,
  });
});

// kubelet: TestDoProbe_TerminatedRestartableInitContainerWithRestartPolicyNever
test.each([
  ["Always", undefined, 0, true],
  ["Always", undefined, 1, true],
  ["OnFailure", undefined, 0, false],
  ["OnFailure", undefined, 1, true],
  ["Never", undefined, 1, false],
  ["Never", "Always", 1, true],
  ["Always", "Never", 1, false],
] as const)("pod %s, container %s, exit code %i: comes again %s", (policy, own, code, expected) => {
  const pod = podOf(own === undefined ? {} : { restartPolicy: own }, { spec: { restartPolicy: policy } });
  const [container] = pod.spec.containers;
  expect(container !== undefined && wouldRestart(pod, container, code)).toBe(expected);
});

const ruled = (...restartPolicyRules: RestartRule[]): Partial<Container> =>
  ({ restartPolicy: "Never", restartPolicyRules }) as Partial<Container>;
const onCode = (operator: "In" | "NotIn", ...values: number[]): RestartRule => ({
  action: "Restart",
  exitCodes: { operator, values },
});

// kubelet: TestDoProbeWithContainerRestartRules
test.each<[string, RestartRule[], number, boolean]>([
  ["a listed code", [onCode("In", 42)], 42, true],
  ["another code", [onCode("In", 42)], 1, false],
  ["no code of the list", [onCode("NotIn", 0)], 3, true],
  ["the code of a list that is not to be", [onCode("NotIn", 0)], 0, false],
  ["the second rule", [onCode("In", 1), onCode("In", 2)], 2, true],
  ["a rule without codes", [{ action: "Restart" }], 1, false],
])("a rule goes before the policy: %s", (_name, rules, code, expected) => {
  const pod = podOf(ruled(...rules));
  const [container] = pod.spec.containers;
  expect(container !== undefined && wouldRestart(pod, container, code)).toBe(expected);
});

// kubelet: TestDoProbeWithContainerRestartAllContainers
test("the end of any container may start all anew", () => {
  const all: RestartRule = { action: "RestartAllContainers", exitCodes: { operator: "In", values: [42] } };
  const other = { name: "other", image: "", ...ruled(all) };
  const pod = podOf({}, { spec: { containers: [{ name: "app", image: "" }, other] } });
  const records = (state: ProbedRecord["state"], exitCode: number): ProbedRecord[] => [
    record,
    { ...record, id: "o2", name: "other", state, exitCode },
    { ...record, id: "o1", name: "other", state: "exited", exitCode: 42 },
  ];
  expect(restartsAll(pod, records("exited", 42))).toBe(true);
  expect(restartsAll(pod, records("exited", 1))).toBe(false);
  expect(restartsAll(pod, records("running", 42))).toBe(false);
  // All removed: the pod is Pending, and its probes wait.
  expect(restartsAll(pod, [])).toBe(false);
  expect(action(facts("liveness", { record: undefined }))).toBe("idle");
});

const SPEC = { successThreshold: 1, failureThreshold: 3 };
const after = (kind: ProbeKind, results: string, spec = SPEC, from: ProbeState = UNKNOWN_STATE): ProbeState =>
  [...results].reduce(
    (state, result) => computeVerdict(state, result === "s" ? "success" : "failure", kind, spec),
    from,
  );

describe("thresholds", () => {
  // kubelet: TestFailureThreshold
  test("a verdict changes exactly at the third failure", () => {
    const verdicts = ["s", "sf", "sff", "sfff", "sffs"].map((results) => after("readiness", results).verdict);
    expect(verdicts).toEqual(["success", "success", "success", "failure", "success"]);
  });

  // kubelet: TestSuccessThreshold
  test("a verdict changes exactly at the third success", () => {
    const spec = { successThreshold: 3, failureThreshold: 1 };
    const verdicts = ["f", "fs", "fss", "fsss", "fssf"].map(
      (results) => after("readiness", results, spec).verdict,
    );
    expect(verdicts).toEqual(["failure", "failure", "failure", "success", "failure"]);
  });

  // kubelet: TestStartupProbeSuccessThreshold, TestStartupProbeFailureThreshold
  test("startup is unknown until its threshold, then on hold", () => {
    expect(after("startup", "s")).toEqual({ verdict: "success", last: "success", run: 0, onHold: true });
    expect(after("startup", "ff")).toEqual({ verdict: undefined, last: "failure", run: 2, onHold: false });
    expect(after("startup", "fff")).toEqual({ verdict: "failure", last: "failure", run: 0, onHold: true });
  });

  // kubelet: TestResultRunOnLivenessCheckFailure, TestResultRunOnStartupCheckFailure
  test.each(["liveness", "startup"] as const)("the run of %s counts 1, 2 and then 0", (kind) => {
    expect(["f", "ff", "fff"].map((results) => after(kind, results).run)).toEqual([1, 2, 0]);
  });

  // kubelet: TestOnHoldOnLivenessOrStartupCheckFailure
  test("readiness and good liveness are never on hold", () => {
    expect(after("readiness", "ffff").onHold).toBe(false);
    expect(after("liveness", "ssss").onHold).toBe(false);
    expect(after("liveness", "fff").onHold).toBe(true);
  });

  test("a steady result makes no new state", () => {
    const steady = after("readiness", "s");
    expect(computeVerdict(steady, "success", "readiness", SPEC)).toBe(steady);
  });

  test("the verdict is the last result that came often enough in a row", () => {
    const results = fc.array(fc.constantFrom("s", "f"), { maxLength: 40 });
    const spec = fc.record({
      successThreshold: fc.integer({ min: 1, max: 4 }),
      failureThreshold: fc.integer({ min: 1, max: 4 }),
    });
    fc.assert(
      fc.property(results, spec, (given, thresholds) => {
        let expected: string | undefined;
        for (let at = 0; at < given.length; at++) {
          const result = given[at] as string;
          const needed = result === "s" ? thresholds.successThreshold : thresholds.failureThreshold;
          const row = given.slice(Math.max(at + 1 - needed, 0), at + 1);
          if (row.length === needed && row.every((one) => one === result)) expected = result;
        }
        const { verdict } = after("readiness", given.join(""), thresholds);
        expect(verdict).toBe(expected === undefined ? undefined : expected === "s" ? "success" : "failure");
      }),
    );
  });
});

// kubelet: TestChangeContainerStatusOnKubeletRestart
describe("what is believed of a container at first", () => {
  const first = (kind: ProbeKind, more: Partial<Parameters<typeof computeFirstState>[0]> = {}) =>
    computeFirstState({
      kind,
      restored: undefined,
      ranBefore: false,
      startedSidecar: false,
      failureThreshold: 3,
      ...more,
    }).verdict;

  test("a fresh one is alive, not ready, and not known to have started", () => {
    expect(KINDS.map((kind) => first(kind))).toEqual(["success", "failure", undefined]);
    expect(first("startup", { startedSidecar: true })).toBeUndefined();
  });
  test("of one that ran before us nothing is invented", () => {
    expect(KINDS.map((kind) => first(kind, { ranBefore: true }))).toEqual([undefined, undefined, undefined]);
  });
  test("but a sidecar that had started has started", () => {
    expect(first("startup", { ranBefore: true, startedSidecar: true })).toBe("success");
    expect(first("readiness", { ranBefore: true, startedSidecar: true })).toBeUndefined();
  });
  test("what was kept goes before everything", () => {
    const restored: ProbeState = { verdict: "failure", last: "failure", run: 3, onHold: false };
    const kept = { restored, ranBefore: true, startedSidecar: false, failureThreshold: 3 };
    expect(computeFirstState({ kind: "readiness", ...kept })).toBe(restored);
  });
  test.each(["liveness", "startup"] as const)(
    "but nothing is killed for a kept failure of %s: it is asked once more",
    (kind) => {
      const restored: ProbeState = { verdict: "failure", last: "failure", run: 0, onHold: true };
      const kept = { kind, restored, ranBefore: true, startedSidecar: false, failureThreshold: 3 };
      const state = computeFirstState(kept);
      expect([state.verdict, state.onHold]).toEqual([undefined, false]);
      expect(after(kind, "f", SPEC, state).verdict).toBe("failure");
      expect(after(kind, "s", SPEC, state).verdict).toBe("success");
    },
  );
});
