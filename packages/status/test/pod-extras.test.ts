// SPDX-License-Identifier: Apache-2.0
import { Bus } from "@holdfast/bus";
import { ManualClock } from "@holdfast/core/manual-clock";
import { MetricsRegistry } from "@holdfast/core/metrics";
import type { Pod, PodCondition, PodPhase, PodStatus } from "@holdfast/core/pod-types";
import {
  computeContainerStatuses,
  computeLegalStatuses,
  computePodConditions,
  computePodPhase,
  computeRestartingAll,
  equalPodStatus,
  findCondition,
  generateApiPodStatus,
  normalizePodStatus,
  StatusManager,
  wouldRestart,
} from "@holdfast/status";
import type { ApiPod, ApiPodStatus, ContainerRestartRule, PodStatusInput } from "@holdfast/status";
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
  status,
  waiting,
} from "./builders.ts";

const types = (of: PodStatus | undefined): string[] => of?.conditions?.map(({ type }) => type) ?? [];
const OURS = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];

function generate(of: Pod, more: Partial<PodStatusInput> = {}): ApiPodStatus {
  return generateApiPodStatus({
    ...options(),
    pod: of,
    runtime: runtime([record("a")]),
    previous: undefined,
    now: 10_500,
    hostIPs: [],
    ...more,
  }).status;
}

describe("conditions of others", () => {
  test("order: others', resizes, a disruption, ours; the generation that was seen is on ours", () => {
    const of: ApiPod = {
      ...pod("Always", ["a"], [], { source: "api" }),
      status: { phase: "Running", conditions: [{ type: "example.com/Gate", status: "True" }] },
    };
    of.metadata.generation = 4;
    const made = generate(of, {
      disruption: { reason: "TerminationByKubelet", message: "low on memory" },
      resize: {
        pending: { type: "PodResizePending", status: "True", reason: "Deferred", observedGeneration: 3 },
      },
    });
    expect(types(made)).toEqual(["example.com/Gate", "PodResizePending", "DisruptionTarget", ...OURS]);
    expect(made.conditions?.map(({ observedGeneration }) => observedGeneration)).toEqual([
      undefined,
      3,
      4,
      4,
      4,
      4,
      4,
      4,
    ]);
  });

  // kubelet: TestHandleAdmissionFailure: the victim
  test("a pod that had to go for a critical one says so", () => {
    const message = "Preempted in order to admit critical pod";
    const made = generate(pod("Always"), { failed: { reason: "Preempting", message } });
    expect([made.phase, made.reason, made.message]).toEqual(["Failed", "Preempting", message]);
    expect(findCondition(made.conditions, "DisruptionTarget")).toMatchObject({
      status: "True",
      reason: "TerminationByKubelet",
      message,
    });
    const evicted = generate(pod("Always"), { failed: { reason: "Evicted", message } });
    expect(findCondition(evicted.conditions, "DisruptionTarget")).toBe(undefined);
  });

  test("a disruption stays, with its time; a resize goes with the end of the pod", () => {
    const first = generate(pod("Never"), { disruption: { reason: "TerminationByKubelet", message: "m" } });
    const resize = { inProgress: { type: "PodResizeInProgress", status: "True" } as const };
    const second = generate(pod("Never"), {
      previous: first,
      now: 99_000,
      runtime: runtime([exited("a", 1)]),
      resize,
    });
    expect(types(second)).toEqual(["DisruptionTarget", ...OURS]);
    expect(findCondition(second.conditions, "DisruptionTarget")).toEqual({
      type: "DisruptionTarget",
      status: "True",
      reason: "TerminationByKubelet",
      message: "m",
      lastTransitionTime: "1970-01-01T00:00:10Z",
    });
  });

  test("conditions that the API no longer has are gone here too", () => {
    const of = (conditions: PodCondition[]): ApiPod => ({
      ...pod("Always", ["a"], [], { source: "api" }),
      status: { phase: "Running", conditions },
    });
    const first = generate(of([{ type: "example.com/Gate", status: "True" }]));
    expect(types(generate(of([]), { previous: first }))).toEqual(OURS);
  });
});

describe("resize", () => {
  const setUp = () => {
    const clock = new ManualClock();
    const metrics = new MetricsRegistry();
    const bus = new Bus({ clock });
    const manager = new StatusManager({ clock, metrics, publish: bus });
    manager.update(pod("Always"), runtime([record("a")]), options());
    const gauges = () =>
      metrics
        .exposition()
        .split("\n")
        .filter((line) => /^kubelet_pod_\w+_resizes/.test(line));
    const pending = () => findCondition(manager.get("uid-1")?.conditions, "PodResizePending");
    const inProgress = () => findCondition(manager.get("uid-1")?.conditions, "PodResizeInProgress");
    return { clock, bus, manager, pending, inProgress, gauges };
  };

  // kubelet: TestPodResizeConditions
  test("pending: any reason but Infeasible is Deferred, the time moves with the reason", async () => {
    const { clock, manager, pending } = setUp();
    manager.setResizePending("uid-1", { reason: "whatever", message: "no room", observedGeneration: 2 });
    expect(pending()).toMatchObject({
      status: "True",
      reason: "Deferred",
      message: "no room",
      observedGeneration: 2,
    });
    await clock.advance(5000);
    manager.setResizePending("uid-1", { reason: "Deferred", message: "still no room" });
    expect(pending()).toMatchObject({ message: "still no room", lastTransitionTime: "2026-01-01T00:00:00Z" });
    manager.setResizePending("uid-1", { reason: "Infeasible", message: "never" });
    expect(pending()).toMatchObject({ reason: "Infeasible", lastTransitionTime: "2026-01-01T00:00:05Z" });
    manager.update(pod("Always"), runtime([record("a")]), options());
    expect(pending()?.reason).toBe("Infeasible");
    manager.clearResize("uid-1", "pending");
    expect(pending()).toBe(undefined);
  });

  test("in progress: keeps its first generation, and an error until another word comes", () => {
    const { manager, inProgress } = setUp();
    manager.setResizeInProgress("uid-1", { reason: "", message: "", observedGeneration: 1 });
    expect(inProgress()).toMatchObject({ status: "True", observedGeneration: 1 });
    manager.setResizeInProgress("uid-1", { reason: "Error", message: "broken", observedGeneration: 2 });
    manager.setResizeInProgress("uid-1", { reason: "", message: "", observedGeneration: 3 });
    expect(inProgress()).toMatchObject({ reason: "Error", message: "broken", observedGeneration: 1 });
    manager.clearResize("uid-1", "inProgress");
    expect(inProgress()).toBe(undefined);
    expect(manager.clearResize("other", "pending")).toBe(undefined);
  });

  test("they are counted, and a resize that is done is told", () => {
    const { bus, manager, gauges } = setUp();
    expect(gauges()).toEqual([]);
    const said = { reason: "Deferred", message: "" };
    manager.setResizePending("uid-1", said);
    const counts = (deferred: number, infeasible: number, inProgress: number) => [
      `kubelet_pod_pending_resizes{reason="deferred"} ${deferred}`,
      `kubelet_pod_pending_resizes{reason="infeasible"} ${infeasible}`,
      `kubelet_pod_in_progress_resizes ${inProgress}`,
    ];
    expect(gauges()).toEqual(counts(1, 0, 0));
    manager.setResizePending("uid-1", { ...said, reason: "Infeasible" });
    manager.setResizeInProgress("uid-1", { reason: "", message: "", observedGeneration: 4 });
    expect(gauges()).toEqual(counts(0, 1, 1));
    const told = () => bus.recent().filter(({ type }) => type === "status/PodResizeCompleted");
    manager.clearResize("uid-1", "pending");
    expect(told()).toEqual([]);
    manager.clearResize("uid-1", "inProgress");
    manager.clearResize("uid-1", "inProgress");
    expect(told().map(({ data }) => data)).toEqual([
      { eventType: "Normal", reason: "ResizeCompleted", message: expect.stringContaining("generation 4") },
    ]);
    expect(gauges()).toEqual(counts(0, 0, 0));
    manager.setResizePending("uid-1", said);
    manager.remove("uid-1");
    expect(gauges()).toEqual(counts(0, 0, 0));
  });

  // kubelet: TestBackfillPodResizeConditions
  test("what the API says of resizes is taken over at the first look", () => {
    const manager = new StatusManager({ clock: new ManualClock() });
    const conditions: PodCondition[] = [{ type: "PodResizePending", status: "True", reason: "Deferred" }];
    const of: Pod = {
      ...pod("Always", ["a"], [], { source: "api" }),
      status: { phase: "Running", conditions },
    };
    const made = manager.update(of, runtime([record("a")]), options());
    expect(findCondition(made.conditions, "PodResizePending")).toMatchObject({ reason: "Deferred" });
    const later = manager.clearResize("uid-1", "pending");
    expect(types(later)).toEqual(OURS);
    expect(types(manager.update(of, runtime([record("a")]), options()))).toEqual(OURS);
  });
});

describe("ephemeral containers", () => {
  const of: ApiPod = pod("Always");
  of.spec.ephemeralContainers = [container("z"), container("debug")];

  test("they have statuses by name, and count for nothing else", () => {
    const made = generate(of, { runtime: runtime([record("a"), exited("debug", 1)]) });
    expect(
      made.ephemeralContainerStatuses?.map(({ name, state, ready }) => [name, Object.keys(state)[0], ready]),
    ).toEqual([
      ["debug", "terminated", false],
      ["z", "waiting", false],
    ]);
    expect([made.phase, findCondition(made.conditions, "Ready")?.status]).toEqual(["Running", "True"]);
    expect(generate(of, { previous: made }).ephemeralContainerStatuses?.[0]?.state.terminated?.exitCode).toBe(
      1,
    );
  });

  // kubelet: TestContainerTerminationMetric
  test("their ends are counted apart, and they take part in the share of messages", () => {
    const metrics = new MetricsRegistry();
    const manager = new StatusManager({ clock: new ManualClock(), metrics });
    manager.update(of, runtime([record("a"), exited("debug", 1)]), options());
    const labels = { container_type: "ephemeral_container", exit_code: "1", reason: "Error" };
    expect(metrics.value("kubelet_terminated_containers_total", labels)).toBe(1);
    const long = { terminated: { exitCode: 1, message: "x".repeat(20_000) } };
    const cut = normalizePodStatus(of, { phase: "Running", containerStatuses: [status("a", long)] });
    expect(cut.containerStatuses?.[0]?.state.terminated?.message?.length).toBe(4096);
  });
});

describe("restart rules", () => {
  const on = (action: ContainerRestartRule["action"], operator: "In" | "NotIn", ...values: number[]) =>
    [{ action, exitCodes: { operator, values } }] as ContainerRestartRule[];
  const ruled = (rules: ContainerRestartRule[], policy: "Never" | "Always" = "Never"): ApiPod => {
    const of: ApiPod = pod(policy, ["a", "b"]);
    const [first] = of.spec.containers;
    if (first !== undefined) first.restartPolicyRules = rules;
    return of;
  };

  // kubelet: TestPodPhaseWithContainerRestartPolicy
  test.each<[string, ContainerRestartRule[], number, boolean, PodPhase]>([
    ["in the list", on("Restart", "In", 42), 42, true, "Running"],
    ["not in the list", on("Restart", "In", 42), 1, false, "Failed"],
    ["anything but the list", on("Restart", "NotIn", 42), 1, true, "Running"],
    ["not anything but the list", on("Restart", "NotIn", 42), 42, false, "Failed"],
    ["restarts all", on("RestartAllContainers", "In", 42), 42, true, "Running"],
    ["no rule", [], 42, false, "Failed"],
  ])("%s", (_name, rules, exitCode, restarts, phase) => {
    const of = ruled(rules);
    const [first] = of.spec.containers;
    if (first === undefined) throw new Error("no container");
    expect(wouldRestart(of, first, exitCode)).toBe(restarts);
    const lists = { init: [], regular: [status("a", ended(exitCode)), status("b", ended(0))] };
    expect(computePodPhase(of, lists, { podIsTerminal: false, podHasInitialized: true })).toBe(phase);
    const news = { init: [], regular: [status("a", running), status("b", ended(0))] };
    const previous: PodStatus = { phase: "Running", containerStatuses: [...lists.regular] };
    expect(computeLegalStatuses(of, news, previous).refused).toEqual(restarts ? [] : ["a"]);
  });

  // kubelet: TestPodPhaseWithRestartAllContainers, TestConvertToAPIContainerStatuses
  test("all of a pod starts anew: told by a condition, no restart lost, nobody refused, Initialized stays", () => {
    const of = ruled(on("RestartAllContainers", "In", 42));
    const before = generate(of, { runtime: runtime([record("a"), record("b")]) });
    expect(findCondition(before.conditions, "AllContainersRestarting")).toMatchObject({ status: "False" });
    const hit = generate(of, { runtime: runtime([exited("a", 42), record("b")]), previous: before });
    expect(findCondition(hit.conditions, "AllContainersRestarting")).toMatchObject({
      status: "True",
      reason: "RestartAllContainersStarted",
      message: "container exited with restart policy rule",
    });
    expect([hit.phase, findCondition(hit.conditions, "Initialized")?.status]).toEqual(["Running", "True"]);
    // One is removed, the other still there.
    const half = generate(of, { runtime: runtime([exited("a", 42)]), previous: hit });
    expect(half.containerStatuses?.[1]).toMatchObject({
      state: { waiting: { reason: "RestartingAllContainers" } },
      lastState: { terminated: { reason: "RestartingAllContainers", exitCode: 137 } },
      restartCount: 1,
    });
    expect(half.phase).toBe("Running");
    // Both are gone, then both run again.
    const gone = generate(of, { runtime: runtime([]), previous: half });
    const again = runtime([
      record("a", { id: "a-new", restartCount: 1, createdAt: 20_000 }),
      record("b", { id: "b-new", restartCount: 1, createdAt: 20_000 }),
    ]);
    expect(computeRestartingAll(of, again, gone)).toBe(false);
    const { status: after, refused } = generateApiPodStatus({
      ...options(),
      pod: of,
      runtime: again,
      previous: gone,
      now: 21_000,
      hostIPs: [],
    });
    expect([after.phase, refused, after.containerStatuses?.map(({ restartCount }) => restartCount)]).toEqual([
      "Running",
      [],
      [1, 1],
    ]);
    expect(findCondition(after.conditions, "AllContainersRestarting")?.status).toBe("False");
  });

  test.each<[PodPhase, string]>([
    ["Failed", "PodFailed"],
    ["Succeeded", "PodCompleted"],
  ])("a pod that has ended (%s) restarts nothing", (phase, reason) => {
    const of = ruled(on("RestartAllContainers", "In", 42));
    const made = computePodConditions(of, { init: [], regular: [] }, phase, runtime([]), {
      restartingAll: true,
    });
    expect(findCondition(made, "AllContainersRestarting")).toEqual({
      type: "AllContainersRestarting",
      status: "False",
      reason,
    });
  });

  test("an unknown state while all restarts says so", () => {
    const [, unknown] = computeContainerStatuses({
      pod: ruled(on("RestartAllContainers", "In", 42)),
      runtime: runtime([record("a", { state: "unknown" }), record("b", { state: "unknown" })]),
      previous: { phase: "Running", containerStatuses: [status("a", running), status("b", running)] },
      waitingReasons: new Map(),
      restartingAll: true,
    }).regular;
    expect(unknown).toMatchObject({
      state: { terminated: { reason: "RestartingAllContainers" } },
      restartCount: 1,
    });
  });
});

// kubelet: TestStatusNormalizeTimeStamp
test("times of the API with fractions of seconds are cut, and compare equal", () => {
  const made = normalizePodStatus(pod("Always"), {
    phase: "Running",
    startTime: "2026-01-01T00:00:00.999Z",
    conditions: [{ type: "Ready", status: "True", lastTransitionTime: "2026-01-01T00:00:00.5Z" }],
    containerStatuses: [
      status(
        "a",
        { running: { startedAt: "2026-01-01T00:00:01.123456Z" } },
        {
          lastState: {
            terminated: { exitCode: 1, startedAt: "2026-01-01T00:00:00.1Z", finishedAt: "bad.time" },
          },
        },
      ),
    ],
  });
  expect(made).toMatchObject({
    startTime: "2026-01-01T00:00:00Z",
    conditions: [{ lastTransitionTime: "2026-01-01T00:00:00Z" }],
    containerStatuses: [
      {
        state: { running: { startedAt: "2026-01-01T00:00:01Z" } },
        lastState: { terminated: { startedAt: "2026-01-01T00:00:00Z", finishedAt: "bad.time" } },
      },
    ],
  });
});

// kubelet: TestStatusEquality
test("equality ignores conditions and claims of others, and null is nothing", () => {
  const a: ApiPodStatus = { phase: "Running", conditions: [{ type: "Ready", status: "True" }] };
  const foreign: ApiPodStatus = {
    ...a,
    conditions: [{ type: "example.com/Gate", status: "True" }, ...(a.conditions ?? [])],
    resourceClaimStatuses: [{}],
    nominatedNodeName: "n",
    podIP: null as never,
  };
  expect(equalPodStatus(a, foreign)).toBe(true);
  const disrupted: ApiPodStatus = {
    ...a,
    conditions: [...(a.conditions ?? []), { type: "DisruptionTarget", status: "True" }],
  };
  expect(equalPodStatus(a, disrupted)).toBe(false);
  expect(equalPodStatus(a, { ...a, podIP: "1" })).toBe(false);
  expect(equalPodStatus({ ...a, podIPs: [{ ip: "1" }] }, { ...a, podIPs: [] })).toBe(false);
});

describe("addresses", () => {
  // kubelet: TestGenerateAPIPodStatusHostNetworkPodIPs, TestGenerateAPIPodStatusPodIPs
  const hostNetwork = pod("Always", ["a"], [], { hostNetwork: true });
  test.each<[string, string[], string[] | undefined, string[]]>([
    ["simple", ["10.0.0.1"], undefined, ["10.0.0.1"]],
    ["both families", ["10.0.0.1", "fd01::1"], undefined, ["10.0.0.1", "fd01::1"]],
    ["more than two", ["10.0.0.1", "10.0.0.2", "fd01::1", "fd01::2"], undefined, ["10.0.0.1", "fd01::1"]],
    ["the second family comes later", ["10.0.0.1", "fd01::1"], ["10.0.0.1"], ["10.0.0.1", "fd01::1"]],
    ["the first one stays when the node has another now", ["10.0.0.2"], ["10.0.0.1"], ["10.0.0.1"]],
    [
      "and its order, when the node's primary family changes",
      ["fd01::1", "10.0.0.1"],
      ["10.0.0.1", "fd01::1"],
      ["10.0.0.1", "fd01::1"],
    ],
  ])("of a host-network pod: %s", (_name, hostIPs, old, wanted) => {
    const previous: PodStatus | undefined =
      old === undefined ? undefined : { phase: "Running", podIPs: old.map((ip) => ({ ip })) };
    const made = generate(hostNetwork, { hostIPs, previous });
    expect(made.podIPs?.map(({ ip }) => ip)).toEqual(wanted);
    expect(made.podIP).toBe(wanted[0]);
  });
});

test("waiting without a reason, as containerd's Created has it, stays so", () => {
  const made = generate(pod("Always"), { runtime: runtime([record("a", { state: "created" })]) });
  expect(made.containerStatuses?.[0]?.state).toEqual(waiting());
});
