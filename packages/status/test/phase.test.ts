// SPDX-License-Identifier: Apache-2.0
import type {
  ContainerStateStatus,
  ContainerStatus,
  Pod,
  PodPhase,
  RestartPolicy,
} from "@holdfast/core/pod-types";
import {
  computePodPhase,
  generateApiPodStatus,
  hasAnyActiveRegularContainer,
  isTerminalPhase,
} from "@holdfast/status";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  container,
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

const live = { podIsTerminal: false, podHasInitialized: false };

function phase(
  of: Pod,
  regular: readonly ContainerStatus[],
  init: readonly ContainerStatus[] = [],
): PodPhase {
  return computePodPhase(of, { init, regular }, live);
}

const run = (name: string): ContainerStatus => status(name, running);
const done = (name: string, exitCode = 0): ContainerStatus => status(name, ended(exitCode));
const wait = (name: string): ContainerStatus => status(name, waiting("ContainerCreating"));
const loop = (name: string, exitCode = 1): ContainerStatus =>
  status(name, waiting("CrashLoopBackOff"), { lastState: ended(exitCode) });

type Row = [name: string, statuses: readonly ContainerStatus[], Record<RestartPolicy, PodPhase>];
const same = (one: PodPhase): Record<RestartPolicy, PodPhase> => ({
  Always: one,
  OnFailure: one,
  Never: one,
});

const ROWS: Row[] = [
  ["waiting", [], same("Pending")],
  ["all running", [run("a"), run("b")], same("Running")],
  [
    "all stopped well",
    [done("a"), done("b")],
    { Always: "Running", OnFailure: "Succeeded", Never: "Succeeded" },
  ],
  ["all failed", [done("a", 1), done("b", 1)], { Always: "Running", OnFailure: "Running", Never: "Failed" }],
  ["one failed", [done("a"), done("b", 1)], { Always: "Running", OnFailure: "Running", Never: "Failed" }],
  ["mixed state: running and stopped", [run("a"), done("b")], same("Running")],
  ["mixed state: running and failed", [run("a"), done("b", 1)], same("Running")],
  ["one running, one without a status", [run("a")], same("Pending")],
  ["running and waiting", [run("a"), wait("b")], same("Pending")],
  ["backoff crashloop container", [run("a"), loop("b")], same("Running")],
  ["all in back-off", [loop("a"), loop("b")], { Always: "Running", OnFailure: "Running", Never: "Failed" }],
  ["stopped and never started", [done("a"), status("b", {})], same("Pending")],
];

describe("two containers", () => {
  // kubelet: TestPodPhaseWithRestartAlways, TestPodPhaseWithRestartOnFailure, TestPodPhaseWithRestartNever
  test.each(ROWS)("%s", (_name, statuses, wanted) => {
    for (const policy of ["Always", "OnFailure", "Never"] as const)
      expect([policy, phase(pod(policy, ["a", "b"]), statuses)]).toEqual([policy, wanted[policy]]);
  });

  test("a policy of the container's own goes before the pod's", () => {
    const own = pod("Always", [container("a", { restartPolicy: "Never" })]);
    expect(phase(own, [done("a", 1)])).toBe("Failed");
    expect(phase(own, [done("a", 0)])).toBe("Succeeded");
  });

  test("a pod on its way down has ended as its containers did; a static one follows its policy", () => {
    const terminal = { podIsTerminal: true, podHasInitialized: true };
    const at = (of: Pod, exitCode: number): PodPhase =>
      computePodPhase(of, { init: [], regular: [done("a", exitCode)] }, terminal);
    expect([at(pod("Always"), 0), at(pod("Always"), 137)]).toEqual(["Succeeded", "Failed"]);
    expect(at(pod("Always", ["a"], [], { source: "file" }), 137)).toBe("Running");
    expect(at(pod("Always", ["a"], [], { source: "api" }), 137)).toBe("Failed");
  });
});

describe("init containers", () => {
  // kubelet: TestPodPhaseWithRestartAlwaysInitContainers, ...OnFailureInitContainers, ...NeverInitContainers
  test.each<
    [string, readonly ContainerStatus[], readonly ContainerStatus[], Record<RestartPolicy, PodPhase>]
  >([
    ["no status yet", [], [], same("Pending")],
    ["init running", [run("i")], [], same("Pending")],
    ["init done, nothing else known", [done("i")], [], same("Pending")],
    ["init failed", [done("i", 1)], [], { Always: "Pending", OnFailure: "Pending", Never: "Failed" }],
    [
      "init in back-off",
      [loop("i")],
      [wait("a")],
      { Always: "Pending", OnFailure: "Pending", Never: "Failed" },
    ],
    ["init waiting", [wait("i")], [wait("a")], same("Pending")],
    ["init done, running", [done("i")], [run("a")], same("Running")],
    [
      "init done, ended",
      [done("i")],
      [done("a")],
      { Always: "Running", OnFailure: "Succeeded", Never: "Succeeded" },
    ],
    ["re-initializing the pod after the sandbox is recreated", [run("i")], [loop("a")], same("Pending")],
  ])("%s", (_name, init, regular, wanted) => {
    for (const policy of ["Always", "OnFailure", "Never"] as const)
      expect([policy, phase(pod(policy, ["a"], ["i"]), regular, init)]).toEqual([policy, wanted[policy]]);
  });

  // kubelet: TestPodPhaseWithRestartAlwaysRestartableInitContainers, TestPodPhaseWithRestartNeverRestartableInitContainers
  const started = status("s", running, { started: true });
  const starting = status("s", running, { started: false });
  test.each<[string, ContainerStatus[], ContainerStatus[], boolean, PodPhase]>([
    ["sidecar not known", [], [wait("a")], false, "Pending"],
    ["sidecar waiting", [wait("s")], [wait("a")], false, "Pending"],
    ["sidecar running, not started", [starting], [wait("a")], false, "Pending"],
    ["sidecar started, main waiting", [started], [wait("a")], false, "Pending"],
    ["sidecar started, main running", [started], [run("a")], true, "Running"],
    ["sidecar started again beside a running main one", [starting], [run("a")], true, "Running"],
    ["sidecar in back-off, main running", [loop("s")], [run("a")], true, "Running"],
    ["sidecar ended, main running", [done("s", 137)], [run("a")], true, "Running"],
    ["sidecar runs, main ended", [started], [done("a")], true, "Running"],
    ["sidecar runs, main failed", [started], [done("a", 1)], true, "Running"],
  ])("%s, whatever the pod's policy", (_name, init, regular, podHasInitialized, wanted) => {
    for (const policy of ["Always", "OnFailure", "Never"] as const) {
      const facts = { podIsTerminal: false, podHasInitialized };
      const of = pod(policy, ["a"], [sidecar("s")]);
      expect([policy, computePodPhase(of, { init, regular }, facts)]).toEqual([policy, wanted]);
    }
  });

  test.each<[string, ContainerStatus[], ContainerStatus[], Record<RestartPolicy, PodPhase>]>([
    [
      "all ended well",
      [done("s")],
      [done("a")],
      { Always: "Running", OnFailure: "Succeeded", Never: "Succeeded" },
    ],
    [
      "main failed, the sidecar ended",
      [done("s", 137)],
      [done("a", 1)],
      { Always: "Running", OnFailure: "Running", Never: "Failed" },
    ],
  ])("a sidecar, %s", (_name, init, regular, wanted) => {
    for (const policy of ["Always", "OnFailure", "Never"] as const) {
      const of = pod(policy, ["a"], [sidecar("s")]);
      const made = computePodPhase(of, { init, regular }, { podIsTerminal: false, podHasInitialized: true });
      expect([policy, made]).toEqual([policy, wanted[policy]]);
    }
  });

  test("a sidecar that still runs does not hold back completion of a pod that is being taken down", () => {
    const of = pod("Never", ["a"], [sidecar("s")]);
    expect(phase(of, [done("a")], [status("s", ended(137))])).toBe("Succeeded");
  });
});

const anyState = fc.oneof<fc.Arbitrary<ContainerStateStatus>[]>(
  fc.constant(running),
  fc.constant(waiting("ContainerCreating")),
  fc.integer({ min: 0, max: 2 }).map(ended),
);
const anyStatus = (name: string): fc.Arbitrary<ContainerStatus> =>
  fc
    .record({ state: anyState, last: fc.option(fc.integer({ min: 0, max: 2 })), started: fc.boolean() })
    .map(({ state, last, started }) =>
      status(name, state, { started, lastState: last === null ? {} : ended(last) }),
    );
const anyPolicy = fc.constantFrom<RestartPolicy>("Always", "OnFailure", "Never");

// kubelet: TestPodPhaseWithRestartAlwaysAndPodHasRun, TestPodPhaseWithRestartNeverAndPodHasRun
describe("a sidecar that starts again, by whether a regular container was made in the sandbox of now", () => {
  const of = pod("Always", ["a"], [sidecar("s")]);
  const starting = status("s", running, { started: false });
  test.each<[string, Parameters<typeof runtime>[1], boolean, PodPhase]>([
    ["the same sandbox", [sandbox("s")], true, "Running"],
    [
      "re-created sandbox, the container is of the old one",
      [sandbox("new"), sandbox("s", { state: "notready" })],
      false,
      "Pending",
    ],
    ["the sandbox is not ready", [sandbox("s", { state: "notready" })], false, "Pending"],
    ["no sandbox", [], false, "Pending"],
  ])("%s", (_name, sandboxes, initialized, wanted) => {
    const answer = runtime([record("a")], sandboxes);
    const podHasInitialized = hasAnyActiveRegularContainer(of, answer);
    expect(podHasInitialized).toBe(initialized);
    const lists = { init: [starting], regular: [run("a")] };
    expect(computePodPhase(of, lists, { podIsTerminal: false, podHasInitialized })).toBe(wanted);
  });
});

describe("properties", () => {
  test("the order of statuses does not matter, and a phase is one of four", () => {
    fc.assert(
      fc.property(anyPolicy, anyStatus("a"), anyStatus("b"), anyStatus("i"), (policy, a, b, i) => {
        const of = pod(policy, ["a", "b"], ["i"]);
        const one = phase(of, [a, b], [i]);
        expect(phase(of, [b, a], [i])).toBe(one);
        expect(["Pending", "Running", "Succeeded", "Failed"]).toContain(one);
      }),
    );
  });

  test("Always never ends, unless the pod is taken down", () => {
    fc.assert(
      fc.property(anyStatus("a"), anyStatus("b"), (a, b) => {
        expect(isTerminalPhase(phase(pod("Always", ["a", "b"]), [a, b]))).toBe(false);
      }),
    );
  });

  const anyRecord = fc.record({
    exitCode: fc.option(fc.integer({ min: 0, max: 2 })),
    attempt: fc.integer({ min: 0, max: 3 }),
  });
  const anyRuntime = fc
    .option(anyRecord)
    .map((one) =>
      one === null
        ? runtime([])
        : runtime([
            one.exitCode === null
              ? record("a", { attempt: one.attempt })
              : exited("a", one.exitCode, { attempt: one.attempt }),
          ]),
    );

  test("over any run of runtime answers: a terminal phase stays, restarts and start never go back", () => {
    fc.assert(
      fc.property(anyPolicy, fc.array(anyRuntime, { maxLength: 12 }), (policy, answers) => {
        const of = pod(policy);
        let previous = generateApiPodStatus({
          ...options(),
          pod: of,
          runtime: runtime([]),
          previous: undefined,
          now: 0,
          hostIPs: [],
        }).status;
        for (const [index, answer] of answers.entries()) {
          const next = generateApiPodStatus({
            ...options(),
            pod: of,
            runtime: answer,
            previous,
            now: index * 1000,
            hostIPs: [],
          }).status;
          if (isTerminalPhase(previous.phase)) expect(next.phase).toBe(previous.phase);
          expect(next.startTime).toBe(previous.startTime);
          expect(next.containerStatuses?.[0]?.restartCount).toBeGreaterThanOrEqual(
            previous.containerStatuses?.[0]?.restartCount ?? 0,
          );
          previous = next;
        }
      }),
    );
  });

  test("the same answer twice changes nothing, so Running does not fall back to Pending by itself", () => {
    fc.assert(
      fc.property(anyPolicy, anyRuntime, anyRuntime, (policy, first, second) => {
        const of = pod(policy);
        const step = (
          answer: typeof first,
          previous: ReturnType<typeof generateApiPodStatus>["status"] | undefined,
        ) =>
          generateApiPodStatus({ ...options(), pod: of, runtime: answer, previous, now: 0, hostIPs: [] })
            .status;
        const before = step(second, step(first, undefined));
        expect(step(second, before)).toEqual(before);
      }),
    );
  });
});
