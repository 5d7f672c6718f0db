// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import {
  CpuSet,
  cpuTopologyHints,
  CpuTopology,
  parseCpuPolicy,
  parseCpuPolicyOptions,
  podGuaranteedCpus,
  validateCpuPolicyOptions,
} from "@holdfast/resource";
import type { TopologyHint } from "@holdfast/resource";
import { BIG, HT2, layOut } from "./fixtures/machines.ts";
import { container, guaranteed, podOf, sidecar } from "./fixtures/pods.ts";
import { policyOn } from "./fixtures/static-policy.ts";

describe("hints", () => {
  /** kubelet: the machine of returnMachineInfo: 12 CPUs, nodes 0 and 1, siblings i and i+6. */
  const machine = new CpuTopology(layOut(HT2));
  const P = (...numaNodes: number[]): TopologyHint => ({ numaNodes, preferred: true });
  const N = (...numaNodes: number[]): TopologyHint => ({ numaNodes, preferred: false });
  /** 4 free on node 0, 6 on node 1. */
  const FREE = "2,4,8,10,1,3,5,7,9,11";

  // kubelet: TestGetTopologyHints
  it.each<[string, number, string, TopologyHint[]]>([
    ["2", 2, FREE, [P(0), P(1), N(0, 1)]],
    ["5", 5, FREE, [P(1), N(0, 1)]],
    ["7", 7, FREE, [P(0, 1)]],
    ["11", 11, FREE, []],
    ["2, one on each node", 2, "0,1", [N(0, 1)]],
  ])("for %s", (_name, requested, free, hints) => {
    const question = { topology: machine, available: CpuSet.parse(free), reusable: CpuSet.empty, requested };
    expect(cpuTopologyHints(question)).toEqual(hints);
  });

  it("contain everything that is reused", () => {
    const question = {
      topology: machine,
      available: CpuSet.parse(FREE),
      reusable: CpuSet.parse("0"),
      requested: 2,
    };
    expect(cpuTopologyHints(question)).toEqual([P(0), N(0, 1)]);
  });

  // kubelet: TestGetTopologyHints: regenerate hints for what is allocated
  it.each([
    ["0,6", [P(0), N(0, 1)]],
    ["3,9", [P(1), N(0, 1)]],
    ["0,6,3,9", []],
  ])("for a container that has %s and asks for 2", (cpus, hints) => {
    const rest = String(machine.all.difference(CpuSet.parse(cpus)));
    const { policy } = policyOn(HT2, { reserved: "4", pool: rest, entries: { p: { app0: cpus } } });
    const pod = guaranteed("p", [2]);
    expect(policy.topologyHints(pod, pod.spec.containers[0] ?? container(""))).toEqual(
      new Map([["cpu", hints]]),
    );
    expect(policy.podTopologyHints(pod)).toEqual(new Map([["cpu", hints]]));
  });

  // kubelet: TestGetPodTopologyHints, TestPodGuaranteedCPUs
  it.each([
    ["init 2, app 5", [2], [5], [], 5],
    ["apps 2 and 4", [], [2, 4], [], 6],
    ["sidecars 1, 2, 3", [5], [1], [1, 2, 3], 7],
    ["init 200, app 100, sidecar 10 before", [], [100], [10], 210],
  ])("count what a pod holds at once: %s", (name, init, apps, sidecars, count) => {
    const of = (cpu: number, label: string) => container(label, { cpu, memory: "1Gi" });
    const after = name.includes("200") ? [of(200, "late")] : [];
    const pod = podOf(
      "p",
      apps.map((cpu, index) => of(cpu, `app${index}`)),
      {
        initContainers: [
          ...init.map((cpu, index) => of(cpu, `init${index}`)),
          ...sidecars.map((cpu, index) => sidecar(`side${index}`, { cpu, memory: "1Gi" })),
          ...after,
        ],
      },
    );
    expect(podGuaranteedCpus(pod)).toBe(count);
  });

  it("count a later init container together with the sidecars before it", () => {
    const of = (cpu: number, label: string) => container(label, { cpu, memory: "1Gi" });
    const side = (cpu: number, label: string) => sidecar(label, { cpu, memory: "1Gi" });
    const initContainers = [of(5, "i0"), side(1, "s0"), side(2, "s1"), of(5, "i1"), side(3, "s2")];
    expect(podGuaranteedCpus(podOf("p", [of(1, "app")], { initContainers }))).toBe(8);
  });

  // kubelet: TestGetTopologyHints with align-by-socket
  it("are preferred on as few sockets as needed when aligned by socket", () => {
    const topology = new CpuTopology(layOut(BIG));
    const question = {
      topology,
      available: topology.all,
      reusable: CpuSet.empty,
      requested: 24,
      alignBySocket: true,
    };
    const preferred = cpuTopologyHints(question).filter((hint) => hint.preferred);
    expect(preferred.map(({ numaNodes }) => numaNodes?.join("+"))).toEqual([
      "0+1",
      "0+2",
      "0+3",
      "1+2",
      "1+3",
      "2+3",
    ]);
    const small = cpuTopologyHints({ ...question, requested: 10 }).filter((hint) => hint.preferred);
    expect(small.map(({ numaNodes }) => numaNodes?.join("+"))).toEqual(["0", "1", "2", "3", "0+1", "2+3"]);
  });
});

describe("options", () => {
  // kubelet: TestPolicyOptionsCompatibility, TestPolicyOptionsAvailable, TestCPUManagerHandlePolicyOptions
  it("refuse what does not go together, what nobody knows, and any with none", () => {
    const parse = (...names: string[]): unknown =>
      parseCpuPolicyOptions("static", Object.fromEntries(names.map((name) => [name, "true"])));
    const cores = "distribute-cpus-across-cores";
    const numa = "distribute-cpus-across-numa";
    const uncore = "prefer-align-cpus-by-uncorecache";
    for (const [a, b] of [
      ["full-pcpus-only", cores],
      [numa, cores],
      [uncore, cores],
      [uncore, numa],
    ] as const) {
      expect(() => parse(a, b)).toThrow("can not be used at the same time");
      expect(() => parse(a)).not.toThrow();
      expect(() => parseCpuPolicyOptions("static", { [a]: "true", [b]: "false" })).not.toThrow();
    }
    expect(parse("full-pcpus-only", numa, "strict-cpu-reservation")).toEqual({
      fullPcpusOnly: true,
      distributeCpusAcrossNuma: true,
      strictCpuReservation: true,
    });
    expect(() => parse("unknown")).toThrow('unsupported cpumanager option: "unknown"');
    expect(() => parseCpuPolicyOptions("static", { "full-pcpus-only": "maybe" })).toThrow(
      "neither true nor false",
    );
    expect(() => parseCpuPolicyOptions("none", { "full-pcpus-only": "true" })).toThrow("None policy");
    expect(parseCpuPolicyOptions("none", {})).toEqual({});
    expect(() => parseCpuPolicy("dynamic")).toThrow('unknown policy: "dynamic"');
  });

  // kubelet: TestValidateStaticPolicyOptions
  it.each([
    ["more sockets than nodes", { ...HT2, socketsPerNode: 2 }, "none", "more than number of NUMA"],
    ["single-numa-node", BIG, "single-numa-node", "incompatible with align-by-socket"],
  ] as const)("refuse align-by-socket with %s", (_name, shape, policy, text) => {
    const topology = new CpuTopology(layOut(shape));
    expect(() => validateCpuPolicyOptions({ alignBySocket: true }, topology, policy)).toThrow(text);
    expect(() => validateCpuPolicyOptions({}, topology, policy)).not.toThrow();
  });
});
