// SPDX-License-Identifier: Apache-2.0
import { Bus } from "@holdfast/bus";
import { ManualClock } from "@holdfast/core/manual-clock";
import { MetricsRegistry } from "@holdfast/core/metrics";
import type { Pod } from "@holdfast/core/pod-types";
import { describe, expect, it } from "vitest";
import {
  CpuManager,
  CpuTopology,
  NodeAdmission,
  PodRefused,
  rejectionLabel,
  TopologyManager,
} from "@holdfast/resource";
import type { NodeAdmissionOptions, NodeInfo } from "@holdfast/resource";
import { memoryCheckpoint } from "./fixtures/checkpoint.ts";
import { HT1, layOut } from "./fixtures/machines.ts";
import { container, guaranteed, podOf } from "./fixtures/pods.ts";

const node: NodeInfo = {
  name: "n",
  labels: {},
  allocatable: new Map([
    ["cpu", 8000],
    ["memory", 2 ** 35],
    ["pods", 3],
  ]),
};

/** Admission on HT1 with the static policy. */
function setUp(options: Partial<NodeAdmissionOptions> = {}) {
  const clock = new ManualClock();
  const metrics = new MetricsRegistry();
  const pods: Pod[] = [];
  const cpu = new CpuManager({
    policy: "static",
    topology: new CpuTopology(layOut(HT1)),
    reservedMilliCpu: 1000,
    checkpoint: memoryCheckpoint(),
    clock,
    updateCpuset: () => Promise.resolve(),
    pods: { activePods: () => pods, containers: () => new Map(), sourcesReady: () => false },
  });
  const topology = new TopologyManager({ providers: [cpu], numaNodes: [], clock });
  const release = (uid: string): void => cpu.removePod(uid);
  const admission = new NodeAdmission({ clock, metrics, node: () => node, topology, release, ...options });
  return { clock, metrics, cpu, admission };
}
const fromFile = (pod: Pod, priority?: number): Pod => ({
  ...pod,
  metadata: { ...pod.metadata, annotations: { "kubernetes.io/config.source": "file" } },
  spec: { ...pod.spec, ...(priority === undefined ? {} : { priority }) },
});

describe("NodeAdmission", () => {
  it("lets in what fits", async () => {
    const { admission, cpu } = setUp();
    expect(await admission.admit(guaranteed("p", [2]), [])).toEqual({ admit: true });
    expect(cpu.exclusiveCpus("p", "app0").size).toBe(2);
    admission.release("p");
    expect(cpu.exclusiveCpus("p", "app0").size).toBe(0);
  });

  it("asks in the kubelet's order, and the first that refuses decides", async () => {
    const asked: string[] = [];
    const voice = (name: string, admit: boolean) => ({
      name,
      admit: () => {
        asked.push(name);
        return admit ? { admit: true as const } : { admit: false as const, reason: name, message: "no" };
      },
    });
    const before = [voice("eviction", true), voice("sysctls", false)];
    const { admission } = setUp({ before, after: [voice("shutdown", true)] });
    expect(await admission.admit(guaranteed("p", [20]), [])).toMatchObject({ reason: "sysctls" });
    expect(asked).toEqual(["eviction", "sysctls"]);
    // Topology comes before fit: what is wanted is neither there nor free.
    const { admission: second, metrics } = setUp();
    expect(await second.admit(guaranteed("p", [20]), [])).toEqual({
      admit: false,
      reason: "UnexpectedAdmissionError",
      message:
        "Allocate failed due to not enough cpus available to satisfy request: requested=20, available=7, which is unexpected",
    });
    expect(metrics.value("kubelet_admission_rejections_total", { reason: "UnexpectedAdmissionError" })).toBe(
      1,
    );
  });

  it("takes back what a pod got that was refused later", async () => {
    const { admission, cpu } = setUp();
    const others = ["a", "b", "c"].map((uid) => podOf(uid, [container("c")]));
    expect(await admission.admit(guaranteed("p", [2]), others)).toEqual({
      admit: false,
      reason: "OutOfpods",
      message: "Node didn't have enough resource: pods, requested: 1, used: 3, capacity: 3",
    });
    expect(String(cpu.sharedCpus())).toBe("0-7");
    expect(await admission.admit(guaranteed("p", [2]), others.slice(1))).toEqual({ admit: true });
  });

  it("ends others for a critical pod, and lets it in when they have ended or had their time", async () => {
    const ended: string[] = [];
    const preempt: NonNullable<NodeAdmissionOptions["preempt"]> = (
      { metadata: { uid } },
      { reason, message },
    ) => {
      ended.push(`${uid}: ${reason}, ${message}`);
      return uid === "stuck" ? new Promise(() => {}) : Promise.resolve();
    };
    const { admission, clock, metrics } = setUp({ preempt });
    const others = ["a", "b", "c"].map((uid) => podOf(uid, [container("c")]));
    expect(await admission.admit(guaranteed("plain", [1]), others)).toMatchObject({ reason: "OutOfpods" });
    expect(await admission.admit(fromFile(guaranteed("critical", [1])), others)).toEqual({ admit: true });
    expect(ended).toEqual(["c: Preempting, Preempted in order to admit critical pod"]);
    expect(metrics.value("kubelet_preemptions", { preemption_signal: "pods" })).toBe(1);
    const stuck = podOf("stuck", [container("c")]);
    const waiting = admission.admit(fromFile(guaranteed("late", [1])), [
      stuck,
      fromFile(stuck),
      fromFile(stuck),
    ]);
    await expect.poll(() => clock.waiting).toBe(1);
    await clock.advance(60_000);
    expect(await waiting).toEqual({ admit: true });
  });

  it("refuses a critical pod that nobody's end would help by what it lacks", async () => {
    const { admission } = setUp({ preempt: () => Promise.resolve() });
    const others = ["a", "b", "c"].map((uid) => fromFile(podOf(uid, [container("c")])));
    expect(await admission.admit(fromFile(guaranteed("critical", [1])), others)).toMatchObject({
      reason: "OutOfpods",
    });
  });

  it("adopts what runs already, and never refuses it", async () => {
    const { admission, cpu } = setUp();
    await admission.adopt(guaranteed("p", [2]));
    expect(cpu.exclusiveCpus("p", "app0").size).toBe(2);
    await admission.adopt(guaranteed("large", [20]));
    expect(cpu.exclusiveCpus("large", "app0").size).toBe(0);
  });

  it("takes a failing handler for a refusal", async () => {
    const broken = { name: "broken", admit: () => Promise.reject(new Error("gone")) };
    const { admission } = setUp({ before: [broken] });
    expect(await admission.admit(guaranteed("p", [1]), [])).toEqual({
      admit: false,
      reason: "UnexpectedAdmissionError",
      message: "gone",
    });
  });

  it("tells of a refusal once, and again when it is another or the pod comes anew", async () => {
    const clock = new ManualClock();
    const bus = new Bus({ clock });
    const seen: string[] = [];
    const subscription = bus.subscribe([PodRefused], { name: "test", capacity: 10, overflow: "drop-oldest" });
    const reading = (async () => {
      for await (const event of subscription)
        if (event.type !== "gap") seen.push(`${event.subject.pod} ${event.data.reason}`);
    })();
    const { admission } = setUp({ publish: bus });
    const others = ["a", "b", "c"].map((uid) => podOf(uid, [container("c")]));
    await admission.admit(guaranteed("p", [1]), others);
    await admission.admit(guaranteed("p", [1]), others);
    await admission.admit(guaranteed("p", [20]), others);
    admission.release("p");
    await admission.admit(guaranteed("p", [20]), others);
    // Somebody who is asked before has refused it.
    const asked = podOf("asked", [container("c")]);
    for (const message of ["nothing left", "nothing left", "no plugin"])
      admission.tellRefused(asked, { reason: "UnexpectedAdmissionError", message });
    subscription[Symbol.dispose]();
    await reading;
    const unexpected = "default/p UnexpectedAdmissionError";
    const before = "default/asked UnexpectedAdmissionError";
    expect(seen).toEqual(["default/p OutOfpods", unexpected, unexpected, before, before]);
  });

  it.each([
    ["OutOfcpu", "OutOfcpu"],
    ["OutOfexample.com/x", "OutOfExtendedResources"],
    ["NodePorts", "Other"],
    ["SMTAlignmentError", "Other"],
    ["TopologyAffinityError", "TopologyAffinityError"],
  ])("counts %s as %s", (reason, label) => {
    expect(rejectionLabel(reason)).toBe(label);
  });
});
