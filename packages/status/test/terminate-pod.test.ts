// SPDX-License-Identifier: Apache-2.0
import type { ContainerStatus, Pod, PodPhase } from "@holdfast/core/pod-types";
import { computeTerminatedStatus, hasPodInitialized, StatusManager } from "@holdfast/status";
import type { ApiPodStatus } from "@holdfast/status";
import { ManualClock } from "@holdfast/core/manual-clock";
import { describe, expect, test } from "vitest";
import { ended, options, pod, record, runtime, running, sidecar, status, waiting } from "./builders.ts";

const UNKNOWN = {
  terminated: {
    reason: "ContainerStatusUnknown",
    message: "The container could not be located when the pod was terminated",
    exitCode: 137,
  },
};
const wait = (name: string, last = {}): ContainerStatus =>
  status(name, waiting("PodInitializing"), { lastState: last });

function states(of: Pod, before: Partial<ApiPodStatus>): { init: unknown[]; regular: unknown[] } {
  const made = computeTerminatedStatus(of, { phase: "Running", ...before });
  return {
    init: (made.initContainerStatuses ?? []).map(({ state }) => state),
    regular: (made.containerStatuses ?? []).map(({ state }) => state),
  };
}

describe("containers without an end", () => {
  // kubelet: TestTerminatePod
  test("all of a pod that has run, an end that was seen stays", () => {
    const made = states(pod("Always", ["a", "b"]), {
      containerStatuses: [status("a", running), status("b", ended(3))],
    });
    expect(made.regular).toEqual([UNKNOWN, ended(3)]);
  });

  // kubelet: TestTerminatePodWaiting
  test("waiting ones too, with their last state beside it", () => {
    const made = computeTerminatedStatus(pod("Always"), {
      phase: "Running",
      containerStatuses: [status("a", waiting("CrashLoopBackOff"), { lastState: ended(2) })],
    });
    expect(made.containerStatuses?.[0]).toMatchObject({ state: UNKNOWN, lastState: ended(2) });
  });

  // kubelet: TestTerminatePod_DefaultUnknownStatus
  const inits = pod("Always", ["a"], ["i1", "i2", "i3"]);
  test.each<[string, ContainerStatus[], ContainerStatus[], unknown[], unknown[]]>([
    [
      "uninitialized pod defaults only the first init container",
      [wait("i1"), wait("i2"), wait("i3")],
      [wait("a")],
      [UNKNOWN, waiting("PodInitializing"), waiting("PodInitializing")],
      [waiting("PodInitializing")],
    ],
    [
      "uninitialized pod defaults gaps",
      [wait("i1"), status("i2", ended(1)), wait("i3")],
      [wait("a")],
      [UNKNOWN, ended(1), waiting("PodInitializing")],
      [waiting("PodInitializing")],
    ],
    [
      "failed last container is uninitialized",
      [status("i1", ended(0)), wait("i2"), status("i3", ended(1))],
      [wait("a")],
      [ended(0), UNKNOWN, ended(1)],
      [waiting("PodInitializing")],
    ],
    [
      "successful last previous container is initialized, and its state overwritten",
      [status("i1", ended(0)), status("i2", ended(0)), status("i3", running, { lastState: ended(0) })],
      [wait("a")],
      [ended(0), ended(0), UNKNOWN],
      [UNKNOWN],
    ],
    [
      "a regular container that has a past makes it initialized",
      [status("i1", ended(0)), status("i2", ended(0)), wait("i3")],
      [wait("a", ended(1))],
      [ended(0), ended(0), waiting("PodInitializing")],
      [UNKNOWN],
    ],
  ])("%s", (_name, init, regular, wantedInit, wantedRegular) => {
    expect(states(inits, { initContainerStatuses: init, containerStatuses: regular })).toEqual({
      init: wantedInit,
      regular: wantedRegular,
    });
  });

  test.each([
    ["running and started", status("s", running, { started: true }), true],
    ["running, not started", status("s", running, { started: false }), false],
    ["ended well", status("s", ended(0)), false],
  ])("a sidecar as the last init container: %s", (_name, last, wanted) => {
    const of = pod("Always", ["a"], [sidecar("s")]);
    expect(hasPodInitialized(of, { phase: "Pending", initContainerStatuses: [last] })).toBe(wanted);
  });
});

// kubelet: TestTerminatePod_EnsurePodPhaseIsTerminal
test.each<[PodPhase, PodPhase, PodPhase]>([
  ["Pending", "Failed", "Pending"],
  ["Running", "Failed", "Running"],
  ["Unknown", "Failed", "Unknown"],
  ["Succeeded", "Succeeded", "Succeeded"],
  ["Failed", "Failed", "Failed"],
])("phase %s becomes %s, of a static pod %s", (phase, ofApi, ofFile) => {
  const at = (source: string): PodPhase =>
    computeTerminatedStatus(pod("Always", ["a"], [], { source }), { phase }).phase;
  expect([at("api"), at("file")]).toEqual([ofApi, ofFile]);
});

test("a pod that is finished stays so, and is told once", () => {
  const manager = new StatusManager({ clock: new ManualClock() });
  const told: boolean[] = [];
  manager.observe({ changed: ({ finished }) => void told.push(finished), removed: () => {} });
  const of = pod("Always");
  manager.update(of, runtime([record("a")]), options());
  expect(manager.terminatePod(of).phase).toBe("Failed");
  manager.terminatePod(of);
  manager.update(of, runtime([]), options());
  expect(manager.all()[0]).toMatchObject({ finished: true, status: { phase: "Failed" } });
  expect(told).toEqual([false, true, true]);
  // Never seen before: it has begun and ended now.
  const other = pod("Never");
  other.metadata.uid = "other";
  expect(manager.terminatePod(other)).toMatchObject({ phase: "Failed", startTime: "2026-01-01T00:00:00Z" });
});

test("a static pod that begins anew under its UID is neither finished nor on its way down", () => {
  const manager = new StatusManager({ clock: new ManualClock() });
  const of = pod("Always", ["a"], [], { source: "file" });
  manager.update(of, runtime([record("a")]), options());
  manager.terminatePod(of);
  expect(manager.all()[0]?.finished).toBe(true);
  manager.update(of, runtime([record("a")]), options({ terminating: false }));
  expect(manager.all()[0]).toMatchObject({
    finished: false,
    terminating: false,
    status: { phase: "Running" },
  });
});

// kubelet: TestHandlePortConflicts, TestHandleNodeSelector
test("a pod that is not let in says why and nothing else, and stays so", () => {
  const manager = new StatusManager({ clock: new ManualClock() });
  const of = pod("Always");
  const why = { reason: "NodeAffinity", message: "node selector does not match" };
  const rejected = {
    phase: "Failed",
    reason: "NodeAffinity",
    message: "Pod was rejected: node selector does not match",
    startTime: "2026-01-01T00:00:00Z",
    qosClass: "BestEffort",
  };
  expect(manager.rejectPod(of, why)).toEqual(rejected);
  expect(manager.update(of, runtime([]), options())).toMatchObject({
    phase: "Failed",
    reason: "NodeAffinity",
  });
});
