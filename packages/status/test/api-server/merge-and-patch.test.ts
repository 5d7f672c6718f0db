// SPDX-License-Identifier: Apache-2.0
import type { PodCondition, PodPhase } from "@holdfast/core/pod-types";
import {
  computeApiAnswer,
  computeStatusPatch,
  computeWholeStatusPatch,
  equalPodStatus,
  mergePodStatus,
  parseRetryAfter,
} from "@holdfast/status";
import type { ApiPodStatus } from "@holdfast/status";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { running, status } from "../builders.ts";
import { applyPatch } from "./fake-api-server.ts";

const condition = (type: string, value: PodCondition["status"] = "True", reason?: string): PodCondition => ({
  type,
  status: value,
  ...(reason === undefined ? {} : { reason }),
});
const of = (phase: PodPhase, ...conditions: PodCondition[]): ApiPodStatus => ({ phase, conditions });

// kubelet: TestMergePodStatus
describe("merge", () => {
  const disruption = condition("DisruptionTarget", "True", "TerminationByKubelet");
  const gate = condition("example.com/Gate");
  test.each<[string, ApiPodStatus, ApiPodStatus, boolean, ApiPodStatus]>([
    [
      "no change",
      of("Running", condition("Ready")),
      of("Running", condition("Ready")),
      true,
      of("Running", condition("Ready")),
    ],
    [
      "a disruption is told when the last phase is",
      of("Running"),
      of("Failed", disruption),
      false,
      of("Failed", disruption),
    ],
    ["not while containers could run", of("Running"), of("Failed", disruption), true, of("Running")],
    ["nor while the phase is not a last one", of("Running"), of("Running", disruption), false, of("Running")],
    [
      "one that is there is replaced then",
      of("Running", { ...disruption, reason: "EvictionByEvictionAPI" }),
      of("Failed", disruption),
      false,
      of("Failed", disruption),
    ],
    [
      "and stays as it is before",
      of("Running", { ...disruption, reason: "EvictionByEvictionAPI" }),
      of("Running", disruption),
      false,
      of("Running", { ...disruption, reason: "EvictionByEvictionAPI" }),
    ],
    [
      "conditions of others stay, ours are taken",
      of("Running", gate, condition("Ready"), condition("Initialized")),
      of("Running", condition("Ready", "False")),
      true,
      of("Running", gate, condition("Ready", "False")),
    ],
    [
      "ours do not take those of others",
      of("Running", gate),
      of("Running", condition("example.com/Gate", "False"), condition("Ready")),
      true,
      of("Running", gate, condition("Ready")),
    ],
    [
      "a last phase waits, with reason and message",
      { phase: "Running", reason: "api", message: "api" },
      { phase: "Succeeded", reason: "ours", message: "ours" },
      true,
      { phase: "Running", reason: "api", message: "api", conditions: [] },
    ],
    [
      "and comes",
      of("Running"),
      { phase: "Succeeded", reason: "ours" },
      false,
      { phase: "Succeeded", reason: "ours", conditions: [] },
    ],
    ["one that is there is not held back", of("Failed"), of("Failed"), true, of("Failed")],
    [
      "a pod that failed is not ready",
      of("Running", condition("Ready"), condition("ContainersReady")),
      of("Failed", condition("Ready"), condition("ContainersReady")),
      false,
      of(
        "Failed",
        condition("Ready", "False", "PodFailed"),
        condition("ContainersReady", "False", "PodFailed"),
      ),
    ],
    [
      "nor one that succeeded",
      of("Running"),
      of("Succeeded", condition("Ready")),
      false,
      of("Succeeded", condition("Ready", "False", "PodCompleted")),
    ],
  ])("%s", (_name, api, ours, couldRun, wanted) => {
    expect(mergePodStatus(api, ours, couldRun)).toEqual(wanted);
  });

  test("claims are the API's", () => {
    const api: ApiPodStatus = { phase: "Running", resourceClaimStatuses: [{ name: "c" }] };
    expect(
      mergePodStatus(api, { phase: "Running", resourceClaimStatuses: [] }, true).resourceClaimStatuses,
    ).toEqual([{ name: "c" }]);
  });
});

const anyCondition = fc.record(
  {
    type: fc.constantFrom(
      "Ready",
      "Initialized",
      "PodResizePending",
      "example.com/A",
      "example.com/B",
      "DisruptionTarget",
    ),
    status: fc.constantFrom<PodCondition["status"]>("True", "False"),
    reason: fc.constantFrom("r1", "r2"),
    message: fc.constantFrom("m1", "m2"),
  },
  { requiredKeys: ["type", "status"] },
);
const addresses = fc.uniqueArray(fc.constantFrom({ ip: "1" }, { ip: "2" }, { ip: "::1" }), {
  selector: ({ ip }) => ip,
  maxLength: 2,
});
const anyStatus: fc.Arbitrary<ApiPodStatus> = fc.record(
  {
    phase: fc.constantFrom<PodPhase>("Pending", "Running", "Failed"),
    reason: fc.constantFrom("a", "b"),
    podIP: fc.constantFrom("1", "2"),
    podIPs: addresses,
    hostIPs: addresses,
    conditions: fc.uniqueArray(anyCondition, { selector: ({ type }) => type }),
    containerStatuses: fc.constantFrom([status("a", running)], [status("a", { waiting: {} })], []),
    observedGeneration: fc.integer({ min: 1, max: 3 }),
  },
  { requiredKeys: ["phase"] },
);

describe("patch", () => {
  test("what a server makes of it is what was wanted, and then there is no patch any more", () => {
    fc.assert(
      fc.property(anyStatus, anyStatus, fc.boolean(), (api, ours, couldRun) => {
        const merged = mergePodStatus(api, ours, couldRun);
        const patch = computeStatusPatch("uid", api, merged);
        const made = applyPatch({ ...api }, { ...patch?.status }) as unknown as ApiPodStatus;
        expect(computeStatusPatch("uid", made, merged)).toBe(undefined);
        expect(equalPodStatus(made, { ...merged, ...emptied(made, merged) })).toBe(true);
        const foreign = (one: ApiPodStatus) =>
          one.conditions?.filter(({ type }) => type.startsWith("example")) ?? [];
        expect(foreign(made)).toEqual(foreign(api));
      }),
    );
  });

  test("the whole patch makes the same of any pod, whatever was there; addresses apart, which only add up", () => {
    fc.assert(
      fc.property(anyStatus, anyStatus, (api, ours) => {
        const { podIPs: _pods, hostIPs: _hosts, ...bare } = ours;
        const { podIPs: _apiPods, hostIPs: _apiHosts, ...before } = api;
        const patch = computeWholeStatusPatch("uid", bare, false);
        const made = applyPatch({ ...before }, { ...patch.status }) as unknown as ApiPodStatus;
        const own = (one: ApiPodStatus) =>
          (one.conditions ?? [])
            .filter(({ type }) => !type.startsWith("example") && type !== "DisruptionTarget")
            .sort((a, b) => (a.type < b.type ? -1 : 1));
        expect({ ...made, conditions: own(made) }).toEqual({ ...bare, conditions: own(bare) });
      }),
    );
  });

  test("a phase that has to wait is left out of the whole patch", () => {
    const { status: fields } = computeWholeStatusPatch("uid", { phase: "Failed", reason: "x" }, true);
    expect(["phase", "reason", "message"].filter((field) => field in fields)).toEqual([]);
  });
});

/** An empty list and none are the same to the API. */
function emptied(made: ApiPodStatus, merged: ApiPodStatus): Partial<ApiPodStatus> {
  return {
    ...(made.podIPs !== undefined && merged.podIPs === undefined ? { podIPs: [] } : {}),
    ...(made.hostIPs !== undefined && merged.hostIPs === undefined ? { hostIPs: [] } : {}),
    ...(made.podIPs === undefined && merged.podIPs?.length === 0 ? { podIPs: undefined as never } : {}),
    ...(made.hostIPs === undefined && merged.hostIPs?.length === 0 ? { hostIPs: undefined as never } : {}),
  };
}

test.each([
  ["7", 7000],
  [" 0 ", 0],
  ["Thu, 01 Jan 1970 00:01:00 GMT", 59_000],
  ["Thu, 01 Jan 1970 00:00:00 GMT", 0],
  ["-3", undefined],
  ["soon", undefined],
  ["", undefined],
  [undefined, undefined],
])("Retry-After %s: %s", (text, wanted) => expect(parseRetryAfter(text, 1000)).toBe(wanted));

test("no answer makes it throw", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 999 }),
      fc.oneof(fc.json(), fc.string()),
      fc.string(),
      (code, body, after) => {
        const answer = computeApiAnswer({ status: code, body, retryAfter: after }, 0);
        expect(["ok", "gone", "look", "error"]).toContain(answer.kind);
      },
    ),
  );
});
