// SPDX-License-Identifier: Apache-2.0
import type { Pod, PodCondition, PodStatus } from "@holdfast/core/pod-types";
import type { RuntimePodStatus } from "@holdfast/core/runtime-status";
import {
  computePodConditions,
  equalPodStatus,
  generateApiPodStatus,
  hasUsableSandbox,
  MAX_TERMINATION_MESSAGES_BYTES,
  normalizePodStatus,
  sortPodIps,
} from "@holdfast/status";
import type { PodStatusInput } from "@holdfast/status";
import { WAITING_CONDITION } from "@holdfast/core/names";
import { describe, expect, test } from "vitest";
import {
  ended,
  exited,
  options,
  pod,
  record,
  runtime,
  running,
  sandbox,
  sidecar,
  status,
  waiting,
} from "./builders.ts";

function generate(of: Pod, answer: RuntimePodStatus, more: Partial<PodStatusInput> = {}): PodStatus {
  return generateApiPodStatus({
    ...options(),
    pod: of,
    runtime: answer,
    previous: undefined,
    now: 10_500,
    hostIPs: ["192.0.2.1"],
    ...more,
  }).status;
}

const conditionOf = (of: PodStatus | readonly PodCondition[], type: string): PodCondition | undefined =>
  ("phase" in of ? of.conditions : of)?.find((one) => one.type === type);

describe("conditions", () => {
  const idle = runtime([]);
  const ready = (name: string): ReturnType<typeof status> =>
    status(name, running, { ready: true, started: true });

  // kubelet: TestGenerateContainersReadyCondition
  test.each<
    [string, Pod, Parameters<typeof computePodConditions>[1], PodStatus["phase"], Partial<PodCondition>]
  >([
    ["no list", pod("Always"), undefined, "Running", { status: "False", reason: "UnknownContainerStatuses" }],
    ["no containers", pod("Always", []), { init: [], regular: [] }, "Running", { status: "True" }],
    [
      "one unknown",
      pod("Always", ["1234"]),
      { init: [], regular: [] },
      "Running",
      { status: "False", reason: "ContainersNotReady", message: "containers with unknown status: [1234]" },
    ],
    [
      "all ready",
      pod("Always", ["a", "b"]),
      { init: [], regular: [ready("a"), ready("b")] },
      "Running",
      { status: "True" },
    ],
    [
      "one unready, one unknown",
      pod("Always", ["a", "b", "c"]),
      { init: [], regular: [ready("a"), status("c", running)] },
      "Running",
      {
        status: "False",
        message: "containers with unknown status: [b], containers with unready status: [c]",
      },
    ],
    [
      "sidecars first",
      pod("Always", ["b", "a"], [sidecar("s"), "i"]),
      { init: [status("s", running)], regular: [status("a", running), status("b", running)] },
      "Running",
      { status: "False", message: "containers with unready status: [s b a]" },
    ],
    [
      "succeeded",
      pod("Never"),
      { init: [], regular: [status("a", ended(0))] },
      "Succeeded",
      { status: "False", reason: "PodCompleted" },
    ],
    [
      "failed",
      pod("Never"),
      { init: [], regular: [ready("a")] },
      "Failed",
      { status: "False", reason: "PodFailed" },
    ],
  ])("ContainersReady and Ready: %s", (_name, of, lists, phase, wanted) => {
    const made = computePodConditions(of, lists, phase, idle);
    expect(conditionOf(made, "ContainersReady")).toEqual({ type: "ContainersReady", ...REASON_OF(wanted) });
    expect(conditionOf(made, "Ready")).toEqual({ type: "Ready", ...REASON_OF(wanted) });
  });

  const REASON_OF = (wanted: Partial<PodCondition>): Partial<PodCondition> =>
    wanted.message === undefined ? wanted : { reason: "ContainersNotReady", ...wanted };

  // kubelet: TestGeneratePodInitializedCondition
  test.each<
    [string, Pod, Parameters<typeof computePodConditions>[1], PodStatus["phase"], Partial<PodCondition>]
  >([
    ["no init containers", pod("Always"), undefined, "Pending", { status: "True" }],
    [
      "no list",
      pod("Always", ["a"], ["i"]),
      undefined,
      "Pending",
      { status: "False", reason: "UnknownContainerStatuses" },
    ],
    [
      "one unknown, one incomplete",
      pod("Always", ["a"], ["i", "j"]),
      { init: [status("j", running)], regular: [] },
      "Pending",
      {
        status: "False",
        reason: "ContainersNotInitialized",
        message: "containers with unknown status: [i], containers with incomplete status: [j]",
      },
    ],
    [
      "done",
      pod("Always", ["a"], ["i"]),
      { init: [status("i", ended(0), { ready: true })], regular: [] },
      "Pending",
      { status: "True" },
    ],
    [
      "a sidecar that has not started",
      pod("Always", ["a"], [sidecar("s")]),
      { init: [status("s", running, { started: false })], regular: [] },
      "Pending",
      {
        status: "False",
        reason: "ContainersNotInitialized",
        message: "containers with incomplete status: [s]",
      },
    ],
    [
      "a regular one has started",
      pod("Always", ["a"], ["i"]),
      { init: [status("i", waiting())], regular: [status("a", running)] },
      "Running",
      { status: "True" },
    ],
    [
      "succeeded",
      pod("Never", ["a"], ["i"]),
      { init: [status("i", ended(0))], regular: [status("a", ended(0))] },
      "Succeeded",
      { status: "True", reason: "PodCompleted" },
    ],
  ])("Initialized: %s", (_name, of, lists, phase, wanted) => {
    expect(conditionOf(computePodConditions(of, lists, phase, idle), "Initialized")).toEqual({
      type: "Initialized",
      ...wanted,
    });
  });

  // kubelet: TestGeneratePodReadyToStartContainersCondition
  test.each([
    ["no sandbox", [], false],
    ["not ready", [sandbox("s", { state: "notready" })], false],
    ["no address", [sandbox("s", { ip: "" })], false],
    ["two ready", [sandbox("s"), sandbox("r")], false],
    ["other network mode", [sandbox("s", { hostNetwork: true })], false],
    ["usable, an old one beside it", [sandbox("s"), sandbox("r", { state: "notready" })], true],
  ] as const)("sandbox: %s", (_name, sandboxes, wanted) => {
    expect(hasUsableSandbox(pod("Always"), runtime([], sandboxes))).toBe(wanted);
  });

  test("a host-network sandbox needs no address", () => {
    const of = pod("Always", ["a"], [], { hostNetwork: true });
    expect(hasUsableSandbox(of, runtime([], [sandbox("s", { hostNetwork: true, ip: "" })]))).toBe(true);
  });
});

describe("the whole status", () => {
  test("a running pod", () => {
    expect(generate(pod("Always"), runtime([record("a")]))).toEqual({
      phase: "Running",
      conditions: [
        "PodReadyToStartContainers",
        "Initialized",
        "Ready",
        "ContainersReady",
        "PodScheduled",
      ].map((type) => ({ type, status: "True", lastTransitionTime: "1970-01-01T00:00:10Z" })),
      hostIP: "192.0.2.1",
      hostIPs: [{ ip: "192.0.2.1" }],
      podIP: "10.88.0.2",
      podIPs: [{ ip: "10.88.0.2" }],
      startTime: "1970-01-01T00:00:10Z",
      containerStatuses: [
        status(
          "a",
          { running: { startedAt: "1970-01-01T00:00:02Z" } },
          {
            ready: true,
            started: true,
            containerID: "containerd://a-0",
            image: "docker.io/library/busybox:latest",
            imageID: "sha256:1",
          },
        ),
      ],
      qosClass: "BestEffort",
    });
  });

  // kubelet: Test_generateAPIPodStatus
  test("a terminal phase is never left, its reason is kept", () => {
    const previous: PodStatus = { phase: "Failed", reason: "Evicted", message: "low on memory" };
    const next = generate(pod("Always"), runtime([record("a")]), { previous });
    expect([next.phase, next.reason, next.message]).toEqual(["Failed", "Evicted", "low on memory"]);
    expect(conditionOf(next, "Ready")).toMatchObject({ status: "False", reason: "PodFailed" });
  });

  test("running can revert to pending, and its reason goes", () => {
    const previous: PodStatus = { phase: "Running", reason: "Test" };
    const next = generate(pod("Always"), runtime([]), { previous });
    expect([next.phase, next.reason]).toEqual(["Pending", undefined]);
    expect(generate(pod("Always"), runtime([record("a")]), { previous }).reason).toBe("Test");
  });

  test("the API's terminal phase counts, a status in a manifest file does not", () => {
    const ofApi: Pod = { ...pod("Always"), status: { phase: "Succeeded" } };
    expect(generate(ofApi, runtime([record("a")])).phase).toBe("Succeeded");
    const ofFile: Pod = { ...pod("Always", ["a"], [], { source: "file" }), status: { phase: "Succeeded" } };
    expect(generate(ofFile, runtime([record("a")])).phase).toBe("Running");
  });

  test("a forced failure, unless the pod has ended by itself", () => {
    const failed = { reason: "DeadlineExceeded", message: "too long" };
    const next = generate(pod("Never"), runtime([record("a")]), { failed });
    expect([next.phase, next.reason, next.message]).toEqual(["Failed", "DeadlineExceeded", "too long"]);
    const done = generate(pod("Never"), runtime([exited("a", 0)]), { failed });
    expect([done.phase, done.reason]).toEqual(["Succeeded", undefined]);
  });

  test("what a pending pod waits for is shown, and goes when it has come", () => {
    const wanting = { reason: "NetworkNotReady", message: "network is not ready: no CNI" };
    const first = generate(pod("Always"), runtime([]), { waiting: wanting });
    expect([first.phase, first.reason, first.message]).toEqual(["Pending", wanting.reason, wanting.message]);
    const second = generate(pod("Always"), runtime([]), { previous: first });
    expect([second.phase, second.reason, second.message]).toEqual(["Pending", undefined, undefined]);
    expect(conditionOf(second, WAITING_CONDITION)).toBe(undefined);
    // A pod that has run keeps its reason for its end; that it waits is a condition, of both.
    const again = generate(pod("Always"), runtime([exited("a", 1)]), { waiting: wanting });
    expect(again.reason).toBe(undefined);
    for (const waits of [first, again])
      expect(conditionOf(waits, WAITING_CONDITION)).toMatchObject({ status: "True", ...wanting });
    const failed = generate(pod("Never"), runtime([exited("a", 1)]), { waiting: wanting, failed: wanting });
    expect(conditionOf(failed, WAITING_CONDITION)).toBe(undefined);
  });

  test("transition times stay while the condition's value does", () => {
    const first = generate(pod("Always"), runtime([record("a")]));
    const second = generate(pod("Always"), runtime([exited("a", 1)]), { previous: first, now: 99_000 });
    expect(conditionOf(second, "PodScheduled")?.lastTransitionTime).toBe("1970-01-01T00:00:10Z");
    expect(conditionOf(second, "Ready")).toMatchObject({
      status: "False",
      lastTransitionTime: "1970-01-01T00:01:39Z",
    });
    expect(second.startTime).toBe("1970-01-01T00:00:10Z");
  });

  test("somebody else's conditions are taken along", () => {
    const foreign: PodCondition = { type: "example.com/Gate", status: "True" };
    const next = generate(pod("Always"), runtime([]), {
      previous: { phase: "Pending", conditions: [foreign] },
    });
    expect(next.conditions?.[0]).toEqual(foreign);
    expect(next.conditions?.length).toBe(6);
  });

  // kubelet: TestSortPodIPs
  test.each([
    [["10.0.0.1", "fd00::1"], false, ["10.0.0.1", "fd00::1"]],
    [["10.0.0.1", "fd00::1"], true, ["fd00::1", "10.0.0.1"]],
    [["10.0.0.1", "10.0.0.2", "fd00::1", "fd00::2"], false, ["10.0.0.1", "fd00::1"]],
    [["fd00::1"], false, ["fd00::1"]],
    [[], false, []],
  ])("addresses %j, node is IPv6: %s", (ips, v6, wanted) => expect(sortPodIps(ips, v6)).toEqual(wanted));

  // kubelet: TestGenerateAPIPodStatusHostNetworkPodIPs
  test("a host-network pod has the node's addresses, once", () => {
    const of = pod("Always", ["a"], [], { hostNetwork: true });
    const first = generate(of, runtime([]), { hostIPs: ["192.0.2.1", "2001:db8::1"] });
    expect(first.podIPs).toEqual([{ ip: "192.0.2.1" }, { ip: "2001:db8::1" }]);
    expect(generate(of, runtime([]), { previous: first, hostIPs: ["192.0.2.9"] }).podIP).toBe("192.0.2.1");
    expect(generate(of, runtime([]), { hostIPs: [] }).podIP).toBe(undefined);
  });

  test("the address of a pod that has ended stays", () => {
    const first = generate(pod("Never"), runtime([record("a")]));
    const dead = runtime([exited("a", 0)], [sandbox("s", { state: "notready" })]);
    expect(generate(pod("Never"), dead, { previous: first }).podIP).toBe("10.88.0.2");
  });

  test("observedGeneration never falls", () => {
    const of = pod("Always");
    of.metadata.generation = 3;
    expect(generate(of, runtime([])).observedGeneration).toBe(3);
    expect(
      generate(of, runtime([]), { previous: { phase: "Pending", observedGeneration: 5 } }).observedGeneration,
    ).toBe(5);
  });
});

// kubelet: TestUpdatePodStatus
describe("probe verdicts", () => {
  const probes = (
    startup: "success" | "failure" | undefined,
    readiness: "success" | "failure" | undefined,
    watched: readonly string[],
  ): NonNullable<PodStatusInput["probes"]> => ({
    watches: (_uid, _container, kind) => watched.includes(kind),
    startup: () => startup,
    readiness: () => readiness,
  });
  test.each([
    ["no probes", probes(undefined, undefined, []), true, true],
    ["startup probe without a result", probes(undefined, undefined, ["startup"]), false, false],
    ["startup failed", probes("failure", "success", ["startup"]), false, false],
    ["started, not ready yet", probes("success", undefined, ["readiness"]), true, false],
    ["started and ready", probes("success", "success", ["readiness"]), true, true],
  ])("%s", (_name, verdicts, started, ready) => {
    const one = generate(pod("Always"), runtime([record("a")]), { probes: verdicts }).containerStatuses?.[0];
    expect([one?.started, one?.ready]).toEqual([started, ready]);
  });

  test("an end goes before a verdict that is still known", () => {
    const verdicts = probes("success", "success", ["readiness", "startup"]);
    const one = generate(pod("Always"), runtime([exited("a", 0)]), { probes: verdicts });
    expect(one.containerStatuses?.[0]).toMatchObject({ started: false, ready: false });
  });

  // kubelet: TestUpdatePodStatusWithInitContainers
  test.each([
    ["plain, running", "i", record("i"), probes("success", "success", []), true, false],
    ["plain, ended well", "i", exited("i", 0), probes(undefined, undefined, []), false, true],
    ["plain, ended badly", "i", exited("i", 1), probes(undefined, undefined, []), false, false],
    ["a sidecar without probes", "s", record("s"), probes(undefined, undefined, []), true, true],
    ["a sidecar not started", "s", record("s"), probes(undefined, "success", ["startup"]), false, false],
    ["a sidecar not ready", "s", record("s"), probes("success", "failure", ["readiness"]), true, false],
    ["a sidecar ready", "s", record("s"), probes("success", "success", ["readiness"]), true, true],
    ["a sidecar that ended", "s", exited("s", 0), probes("success", "success", []), false, false],
  ])("init container: %s", (_name, name, of, verdicts, started, ready) => {
    const init = name === "s" ? sidecar("s") : "i";
    const made = generate(pod("Always", ["a"], [init]), runtime([of]), { probes: verdicts });
    expect(made.initContainerStatuses?.[0]).toMatchObject({ started, ready });
  });

  test("started stays over a restart of the agent", () => {
    const first = generate(pod("Always"), runtime([record("a")]), {
      probes: probes("success", "success", []),
    });
    const second = generate(pod("Always"), runtime([record("a")]), {
      previous: first,
      probes: probes(undefined, undefined, ["startup"]),
    });
    expect(second.containerStatuses?.[0]?.started).toBe(true);
  });
});

describe("normalisation", () => {
  // kubelet: TestStatusNormalizationEnforcesMaxBytes
  test("termination messages share 12 KiB, cut at a whole character", () => {
    const of = pod("Always", ["b", "a"], ["i"]);
    const long = (name: string): ReturnType<typeof status> =>
      status(name, { terminated: { exitCode: 1, message: "ä€😀".repeat(5000) } });
    const made = normalizePodStatus(of, {
      phase: "Running",
      initContainerStatuses: [long("i")],
      containerStatuses: [long("b"), long("a")],
    });
    expect(made.containerStatuses?.map(({ name }) => name)).toEqual(["a", "b"]);
    for (const one of [...(made.containerStatuses ?? []), ...(made.initContainerStatuses ?? [])]) {
      const message = one.state.terminated?.message ?? "";
      const bytes = new TextEncoder().encode(message).length;
      expect(bytes).toBeLessThanOrEqual(MAX_TERMINATION_MESSAGES_BYTES / 3);
      expect(bytes).toBeGreaterThan(MAX_TERMINATION_MESSAGES_BYTES / 3 - 4);
      expect(message.isWellFormed()).toBe(true);
    }
  });

  // kubelet: TestStatusEquality
  test("equality ignores times and order of conditions, and order of keys", () => {
    const a: PodStatus = {
      phase: "Running",
      podIP: "1",
      conditions: [
        { type: "Ready", status: "True", lastTransitionTime: "x" },
        { type: "Initialized", status: "True" },
      ],
    };
    const b: PodStatus = {
      podIP: "1",
      conditions: [
        { type: "Initialized", status: "True", lastTransitionTime: "y" },
        { type: "Ready", status: "True" },
      ],
      phase: "Running",
    };
    expect(equalPodStatus(a, b)).toBe(true);
    expect(equalPodStatus(a, { ...b, podIP: "2" })).toBe(false);
    expect(equalPodStatus(a, { ...b, conditions: [] })).toBe(false);
  });
});
