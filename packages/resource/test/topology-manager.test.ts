// SPDX-License-Identifier: Apache-2.0
import { ManualClock } from "@holdfast/core/manual-clock";
import { MetricsRegistry } from "@holdfast/core/metrics";
import type { Container, Pod } from "@holdfast/core/pod-types";
import { describe, expect, it } from "vitest";
import {
  averageDistance,
  parseTopologyPolicy,
  parseTopologyPolicyOptions,
  parseTopologyScope,
  readMachineTopology,
  TopologyManager,
  TopologyPolicy,
} from "@holdfast/resource";
import type { HintProvider, TopologyHint, TopologyManagerOptions } from "@holdfast/resource";
import { EPYC, HT2, machineTree } from "./fixtures/machines.ts";
import { container, podOf } from "./fixtures/pods.ts";

const { numaNodes } = readMachineTopology(machineTree(HT2));
const NO_AGREEMENT = {
  admit: false,
  reason: "TopologyAffinityError",
  message: "Resources cannot be allocated with Topology locality",
};

/** A provider with fixed hints that remembers what it was asked. */
function provider(
  hints: readonly TopologyHint[] | undefined,
  name = "cpu",
): HintProvider & { calls: string[] } {
  const calls: string[] = [];
  const map = new Map([[name, hints]]);
  return {
    name,
    calls,
    topologyHints: (_pod: Pod, { name: of }: Container) => {
      calls.push(`hints ${of}`);
      return map;
    },
    podTopologyHints: () => {
      calls.push("pod hints");
      return Promise.resolve(map);
    },
    allocate: (_pod, { name: of }, hint) => {
      calls.push(`allocate ${of} ${hint.numaNodes?.join("+") ?? "any"}`);
    },
  };
}

function manager(options: Partial<TopologyManagerOptions>): TopologyManager {
  return new TopologyManager({ providers: [], numaNodes, clock: new ManualClock(), ...options });
}
const pod = podOf("p", [container("a"), container("b")], { initContainers: [container("i")] });

describe("TopologyManager", () => {
  // kubelet: TestAdmit
  const P = (...ids: number[]): TopologyHint => ({ numaNodes: ids, preferred: true });
  const N = (...ids: number[]): TopologyHint => ({ numaNodes: ids, preferred: false });
  it.each([
    ["none", [N(0)], true],
    ["best-effort", undefined, true],
    ["best-effort", [P(0), N(0, 1)], true],
    ["best-effort", [N(0, 1)], true],
    ["restricted", [P(0), N(0, 1)], true],
    ["restricted", [P(0), P(1), N(0, 1)], true],
    ["restricted", [N(0, 1)], false],
    ["restricted", [], false],
    ["single-numa-node", [P(0), N(0, 1)], true],
    ["single-numa-node", [P(0, 1)], false],
    ["single-numa-node", [N(0, 1)], false],
  ] as const)("with %s and hints %j says %s in both scopes", async (policy, hints, admitted) => {
    for (const scope of ["container", "pod"] as const) {
      const result = await manager({ policy, scope, providers: [provider(hints)] }).admit(pod);
      expect(result).toEqual(admitted ? { admit: true } : NO_AGREEMENT);
    }
  });

  it("asks and allocates container by container, init containers first", async () => {
    const cpu = provider([P(1)]);
    const topology = manager({ policy: "restricted", providers: [cpu] });
    await topology.admit(pod);
    expect(cpu.calls).toEqual(["i", "a", "b"].flatMap((name) => [`hints ${name}`, `allocate ${name} 1`]));
    expect(topology.affinity("p", "a")).toEqual(P(1));
    topology.removePod("p");
    expect(topology.affinity("p", "a")).toEqual({ numaNodes: undefined, preferred: false });
  });

  it("asks once for the pod with scope pod, and gives all containers one hint", async () => {
    const cpu = provider([P(1)]);
    await manager({ policy: "restricted", scope: "pod", providers: [cpu] }).admit(pod);
    expect(cpu.calls).toEqual(["pod hints", "allocate i 1", "allocate a 1", "allocate b 1"]);
  });

  it("asks for no hints with none, and allocates all the same", async () => {
    const cpu = provider([]);
    await manager({ providers: [cpu] }).admit(pod);
    expect(cpu.calls).toEqual(["allocate i any", "allocate a any", "allocate b any"]);
  });

  // kubelet: TestAdmissionErrors
  it("keeps an error's own reason, and calls any other one unexpected", async () => {
    const failing = (failure: Error): HintProvider => ({
      ...provider([P(0)]),
      allocate: () => Promise.reject(failure),
    });
    const typed = Object.assign(new Error("SMT Alignment Error: …"), {
      admissionReason: "SMTAlignmentError",
    });
    expect(await manager({ providers: [failing(typed)] }).admit(pod)).toEqual({
      admit: false,
      reason: "SMTAlignmentError",
      message: "SMT Alignment Error: …",
    });
    expect(await manager({ providers: [failing(new Error("no luck"))] }).admit(pod)).toEqual({
      admit: false,
      reason: "UnexpectedAdmissionError",
      message: "Allocate failed due to no luck, which is unexpected",
    });
  });

  it("serves one pod at a time, also while a provider takes its time", async () => {
    const log: string[] = [];
    let release = (): void => {};
    const slow: HintProvider = {
      ...provider([P(0)]),
      allocate: async ({ metadata: { uid } }) => {
        log.push(`${uid} begins`);
        if (uid === "first") await new Promise<void>((resolve) => (release = resolve));
        log.push(`${uid} ends`);
      },
    };
    const topology = manager({ providers: [slow] });
    const both = ["first", "second"].map((uid) => topology.admit(podOf(uid, [container("a")])));
    await expect.poll(() => log.length).toBe(1);
    release();
    await Promise.all(both);
    expect(log).toEqual(["first begins", "first ends", "second begins", "second ends"]);
  });

  it("counts every pod, and failures but those without a policy", async () => {
    const count = async (policy: "none" | "restricted", providers: readonly HintProvider[]) => {
      const metrics = new MetricsRegistry();
      await manager({ policy, metrics, providers }).admit(pod);
      return ["requests", "errors"].map((what) =>
        metrics.value(`kubelet_topology_manager_admission_${what}_total`),
      );
    };
    const failing = { ...provider([P(0)]), allocate: () => Promise.reject(new Error("no luck")) };
    expect(await count("none", [])).toEqual([1, 0]);
    expect(await count("none", [failing])).toEqual([1, 0]);
    expect(await count("restricted", [provider([P(0)])])).toEqual([1, 0]);
    expect(await count("restricted", [provider([N(0)])])).toEqual([1, 1]);
    expect(await count("restricted", [failing])).toEqual([1, 1]);
  });

  it("counts what is aligned only where the policy promises it", async () => {
    const labels = (scope: string) => ({ scope, boundary: "numa_node" });
    const count = async (
      policy: "restricted" | "single-numa-node",
      scope: "container" | "pod",
      hint: TopologyHint,
    ) => {
      const metrics = new MetricsRegistry();
      await manager({ providers: [provider([hint])], policy, scope, metrics }).admit(pod);
      const value = (kind: string): number =>
        metrics.value(`kubelet_container_aligned_compute_resources_${kind}`, labels(scope));
      return [value("count"), value("failure_count")];
    };
    expect(await count("single-numa-node", "container", P(0))).toEqual([3, 0]);
    expect(await count("single-numa-node", "pod", P(0))).toEqual([1, 0]);
    expect(await count("single-numa-node", "container", N(0))).toEqual([0, 1]);
    expect(await count("single-numa-node", "pod", N(0))).toEqual([0, 1]);
    expect(await count("restricted", "container", P(0))).toEqual([0, 0]);
  });

  // kubelet: TestAddContainer, TestRemoveContainer
  it("keeps the hint of each container until its pod has ended", async () => {
    const topology = manager({ providers: [provider([P(1)])], policy: "restricted" });
    expect(topology.affinity("p", "a")).toEqual({ numaNodes: undefined, preferred: false });
    await topology.admit(pod);
    for (const name of ["i", "a", "b"]) expect(topology.affinity("p", name)).toEqual(P(1));
    topology.removePod("p");
    expect(topology.affinity("p", "a")).toEqual({ numaNodes: undefined, preferred: false });
  });

  // kubelet: TestPolicyBestEffortCanAdmitPodResult, TestPolicyRestrictedCanAdmitPodResult, TestPolicySingleNumaNodeCanAdmitPodResult, TestPolicyNoneCanAdmitPodResult
  it.each([
    ["none", N(0), true],
    ["best-effort", N(0), true],
    ["best-effort", P(0), true],
    ["restricted", N(0), false],
    ["restricted", P(0), true],
    ["single-numa-node", N(0), false],
    ["single-numa-node", P(0), true],
  ] as const)("%s with %o admits: %s", (policy, hint, admit) => {
    const options = { preferClosestNumaNodes: false, maxAllowableNumaNodes: 8 };
    const decision = new TopologyPolicy(policy, numaNodes, options).merge([new Map([["cpu", [hint]]])]);
    expect(decision.admit).toBe(admit);
  });

  // kubelet: TestPolicySingleNumaNodeFilterHints
  it.each([
    ["nothing but several nodes", [P(0, 1), N(0, 1)], undefined, false],
    ["one node, not preferred", [N(0), N(1)], undefined, false],
    ["several nodes beside one", [N(0, 1), P(0, 1), P(1)], [1], true],
    ["no opinion", [{ numaNodes: undefined, preferred: true }], undefined, true],
    ["no opinion, not preferred", [{ numaNodes: undefined, preferred: false }], undefined, false],
  ] as const)("single-numa-node leaves out %s", (_name, hints, nodes, admit) => {
    const options = { preferClosestNumaNodes: false, maxAllowableNumaNodes: 8 };
    const policy = new TopologyPolicy("single-numa-node", numaNodes, options);
    const decision = policy.merge([new Map([["cpu", hints]])]);
    expect(decision).toEqual({ hint: { numaNodes: nodes, preferred: admit }, admit });
  });

  it("keeps no hint of a pod that was refused", async () => {
    const hints = [[P(0)], []];
    const changing: HintProvider = {
      ...provider([]),
      topologyHints: () => new Map([["cpu", hints.shift()]]),
    };
    const topology = manager({ policy: "restricted", providers: [changing] });
    expect(await topology.admit(podOf("p", [container("a"), container("b")]))).toEqual(NO_AGREEMENT);
    expect(topology.affinity("p", "a").numaNodes).toBeUndefined();
  });

  // kubelet: TestNewManager, TestManagerScope, TestNewTopologyManagerOptions
  it("refuses what it does not know", () => {
    expect(() => parseTopologyPolicy("unknown")).toThrow('unknown policy: "unknown"');
    expect(() => parseTopologyScope("unknown")).toThrow('unknown scope: "unknown"');
    expect(() => parseTopologyPolicyOptions({ "unknown-option": "true" })).toThrow(
      "unknown Topology Manager",
    );
    expect(() => parseTopologyPolicyOptions({ "prefer-closest-numa-nodes": "not a boolean" })).toThrow(
      'bad value for option "prefer-closest-numa-nodes"',
    );
    expect(() => parseTopologyPolicyOptions({ "max-allowable-numa-nodes": "7" })).toThrow("less than 8");
    expect(() => parseTopologyPolicyOptions({ "max-allowable-numa-nodes": "many" })).toThrow("is no number");
    expect(
      parseTopologyPolicyOptions({ "prefer-closest-numa-nodes": "true", "max-allowable-numa-nodes": "10" }),
    ).toEqual({ preferClosestNumaNodes: true, maxAllowableNumaNodes: 10 });
    expect(parseTopologyPolicyOptions({}).maxAllowableNumaNodes).toBe(8);
  });

  it("refuses machines with more nodes than it may merge, unless the policy is none", () => {
    const many = readMachineTopology(machineTree({ ...EPYC, sockets: 3 })).numaNodes;
    expect(() => manager({ numaNodes: many, policy: "restricted" })).toThrow(
      "unsupported on machines with more than 8 NUMA Nodes",
    );
    expect(() => manager({ numaNodes: many })).not.toThrow();
    const policyOptions = { preferClosestNumaNodes: false, maxAllowableNumaNodes: 12 };
    expect(() => manager({ numaNodes: many, policy: "restricted", policyOptions })).not.toThrow();
  });

  // kubelet: TestCalculateAvgDistanceFor
  it("takes the mean of all distances among nodes", () => {
    const { numaNodes: eight } = readMachineTopology(machineTree(EPYC));
    expect(averageDistance(eight, [])).toBe(0);
    expect(averageDistance(eight, [3])).toBe(10);
    expect(averageDistance(eight, [0, 1])).toBe(11);
    expect(averageDistance(eight, [0, 4])).toBe(21);
  });
});
