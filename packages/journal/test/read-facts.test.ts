// SPDX-License-Identifier: Apache-2.0
import { DEFAULT_RULES, readFact, redactedJson } from "@holdfast/journal";
import type { Fact } from "@holdfast/journal";
import fc from "fast-check";
import { expect, test } from "vitest";
import { ABOUT, event } from "./builders.ts";

/** As the journal sees it: redacted. */
function fact(type: string, data: unknown): Partial<Fact> | undefined {
  const json = redactedJson(type, data, { outputFirstLine: true, rules: DEFAULT_RULES });
  return readFact(event(type, 1, ABOUT, json === "" ? {} : JSON.parse(json)));
}

test.each<readonly [string, unknown, Partial<Fact> | undefined]>([
  ["pleg/ContainerDied", { kind: "container", exitCode: 137 }, { kind: "died", exitCode: 137 }],
  ["pleg/ContainerDied", { kind: "sandbox" }, { kind: "sandboxDied" }],
  ["pleg/ContainerStarted", { kind: "sandbox" }, undefined],
  ["pod/SandboxStopping", { reason: "Removed" }, { kind: "kill", reason: "Removed", wholeSandbox: true }],
  [
    "pod/ContainerKilling",
    { killReason: "LivenessProbe", message: "m", gracePeriodSeconds: 30 },
    { kind: "kill", reason: "LivenessProbe", graceSeconds: 30, wholeSandbox: false },
  ],
  [
    "probe/ResultChanged",
    { kind: "liveness", result: "failure", output: "HTTP probe failed with statuscode: 500\nmore" },
    { kind: "probe", probe: "liveness", healthy: false, text: "HTTP probe failed with statuscode: 500" },
  ],
  [
    "probe/ResultChanged",
    { kind: "startup", result: "success", output: "" },
    { kind: "probe", healthy: true },
  ],
  [
    "probe/Unhealthy",
    { reason: "Unhealthy", kind: "liveness", message: "Liveness probe failed: refused" },
    { kind: "probe", probe: "liveness", healthy: false, text: "Liveness probe failed: refused" },
  ],
  ["probe/Unhealthy", { reason: "ProbeWarning", kind: "liveness", message: "m" }, undefined],
  ["probe/Unhealthy", { reason: "Unhealthy", kind: "liveness", proberError: "runtime" }, undefined],
  ["probe/TimingRefused", { reason: "InvalidProbeTiming" }, undefined],
  ["oom/SystemOOM", { process: "x", pid: 3 }, { kind: "oom", scope: "node" }],
  ["oom/ContainerOOMKilled", { mainProcess: true }, { kind: "oom", scope: "container", main: true }],
  ["oom/ChildKilled", {}, { kind: "oom", main: false }],
  ["device/HealthChanged", { health: "Unhealthy", resource: "gpu", device: "0" }, { kind: "deviceLost" }],
  ["device/HealthChanged", { health: "Healthy" }, undefined],
  ["node/RuntimeReadinessChanged", { runtime: "down" }, { kind: "runtimeDown", text: "down" }],
  ["node/RuntimeReadinessChanged", {}, { kind: "runtimeUp" }],
  ["something/Else", {}, undefined],
])("%s %o", (type, data, expected) => {
  if (expected === undefined) expect(fact(type, data)).toBeUndefined();
  else expect(fact(type, data)).toMatchObject(expected);
});

test("property: no payload breaks a reader", () => {
  const types = [
    "pleg/ContainerDied",
    "pod/ContainerKilling",
    "probe/Unhealthy",
    "oom/X",
    "device/X",
    "pod/PodAdded",
  ];
  fc.assert(
    fc.property(fc.constantFrom(...types), fc.anything(), (type, data) => {
      expect(() => fact(type, data)).not.toThrow();
    }),
  );
});
