// SPDX-License-Identifier: Apache-2.0
import type { Pod } from "@holdfast/core/pod-types";
import { describe, expect, it } from "vitest";
import {
  amountOf,
  computeFit,
  isExtendedResource,
  nodeAllocatable,
  podsCgroupLimits,
  podRequests,
  totalReservation,
} from "@holdfast/resource";
import type { FitFailure, NodeInfo, NodeSelectorTerm, SchedulingSpec } from "@holdfast/resource";
import { container, podOf, sidecar } from "./fixtures/pods.ts";

const MIB = 2 ** 20;
const amounts = (of: Readonly<Record<string, string | number>>): ReadonlyMap<string, number> =>
  new Map(Object.entries(of).map(([name, quantity]) => [name, amountOf(name, quantity)]));
const nodeWith = (
  of: Readonly<Record<string, string | number>>,
  extra: Partial<NodeInfo> = {},
): NodeInfo => ({
  name: "machine1",
  labels: { zone: "a", cores: "8" },
  allocatable: amounts({ pods: 32, ...of }),
  ...extra,
});
const NODE = nodeWith({ cpu: "10m", memory: 20 });
const asking = (resources: Readonly<Record<string, string | number>>, spec: object = {}, uid = "p"): Pod =>
  podOf(uid, [container("c", resources)], spec);
const withSpec = (spec: SchedulingSpec & { nodeName?: string }): Pod =>
  podOf("p", [container("c")], spec as object);
const onPort = (hostPort: number, extra = {}, uid = "p"): Pod =>
  podOf(uid, [container("c", undefined, { ports: [{ containerPort: 80, hostPort, ...extra }] })]);
const isStatic = (pod: Pod): Pod => ({
  ...pod,
  metadata: { ...pod.metadata, annotations: { "kubernetes.io/config.source": "file" } },
});
const reasons = (failures: readonly FitFailure[]): string[] => failures.map(({ reason }) => reason);

describe("computeFit", () => {
  // kubelet: TestGeneralPredicates
  it.each<[string, Pod, readonly Pod[], readonly string[]]>([
    ["a pod that asks for nothing fits", asking({}), [asking({ cpu: "9m", memory: 19 }, {}, "o")], []],
    [
      "cpu and memory that are taken",
      asking({ cpu: "8m", memory: 10 }),
      [asking({ cpu: "5m", memory: 19 }, {}, "o")],
      ["OutOfcpu", "OutOfmemory"],
    ],
    ["just enough", asking({ cpu: "5m", memory: 1 }), [asking({ cpu: "5m", memory: 19 }, {}, "o")], []],
    ["another node's name", withSpec({ nodeName: "machine2" }), [], ["NodeName"]],
    ["this node's name", withSpec({ nodeName: "machine1" }), [], []],
    ["a port that is taken", onPort(123), [onPort(123, {}, "o")], ["NodePorts"]],
    ["the port of another protocol", onPort(123, { protocol: "UDP" }), [onPort(123, {}, "o")], []],
    [
      "the port of another address",
      onPort(123, { hostIP: "10.0.0.1" }),
      [onPort(123, { hostIP: "10.0.0.2" }, "o")],
      [],
    ],
    [
      "the port of all addresses",
      onPort(123, { hostIP: "::" }),
      [onPort(123, { hostIP: "10.0.0.2" }, "o")],
      ["NodePorts"],
    ],
    [
      "all of it",
      { ...asking({ cpu: 1 }, { nodeSelector: { zone: "b" }, nodeName: "x" }) },
      [],
      ["OutOfcpu", "NodeAffinity", "NodeName"],
    ],
  ])("%s", (_name, pod, others, expected) => {
    expect(reasons(computeFit(pod, NODE, others))).toEqual(expected);
  });

  it("says what is missing, in the kubelet's words", () => {
    const [first] = computeFit(asking({ cpu: "8m" }), NODE, [asking({ cpu: "5m" }, {}, "o")]);
    expect(first?.message).toBe("Node didn't have enough resource: cpu, requested: 8, used: 5, capacity: 10");
    expect(first?.shortage).toEqual({ resource: "cpu", requested: 8, used: 5, capacity: 10 });
    expect(computeFit(onPort(1), NODE, [onPort(1, {}, "o")])[0]?.message).toBe(
      "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
    );
    expect(reasons(computeFit(asking({}), undefined, []))).toEqual(["InvalidNodeInfo"]);
  });

  it("counts pods first, then ephemeral storage, then everything else", () => {
    const node = nodeWith({
      pods: 1,
      "ephemeral-storage": "1Gi",
      "hugepages-2Mi": "2Mi",
      "example.com/x": 1,
    });
    const pod = asking({ "example.com/x": 2, "hugepages-2Mi": "4Mi", "ephemeral-storage": "2Gi" });
    expect(reasons(computeFit(pod, node, [asking({}, {}, "o")]))).toEqual([
      "OutOfpods",
      "OutOfephemeral-storage",
      "OutOfexample.com/x",
      "OutOfhugepages-2Mi",
    ]);
  });

  // kubelet: TestRemoveMissingExtendedResources
  it("minds extended resources only where the node lists them, be it as none", () => {
    const pod = asking({ "example.com/x": 1 });
    expect(computeFit(pod, NODE, [])).toEqual([]);
    expect(computeFit(pod, nodeWith({ "example.com/x": 1 }), [])).toEqual([]);
    expect(reasons(computeFit(pod, nodeWith({ "example.com/x": 0 }), []))).toEqual(["OutOfexample.com/x"]);
    const init = podOf("p", [container("c")], { initContainers: [sidecar("s", { "example.com/x": 1 })] });
    expect(reasons(computeFit(init, nodeWith({ "example.com/x": 0 }), []))).toEqual(["OutOfexample.com/x"]);
    expect(
      ["example.com/x", "cpu", "hugepages-2Mi", "kubernetes.io/x", "a.kubernetes.io/x", "requests.x/y"].map(
        isExtendedResource,
      ),
    ).toEqual([true, false, false, false, false, false]);
  });

  // kubelet: TestGeneralPredicates: taints
  it.each([
    ["NoSchedule", false, []],
    ["PreferNoSchedule", false, []],
    ["NoExecute", false, ["TaintToleration"]],
    ["NoExecute", true, []],
  ])("with a taint %s (static: %s)", (effect, fromFile, expected) => {
    const node = { ...NODE, taints: [{ key: "foo", value: "bar", effect }] };
    const pod = asking({});
    expect(reasons(computeFit(fromFile ? isStatic(pod) : pod, node, []))).toEqual(expected);
  });

  it.each([
    [{ key: "foo", operator: "Exists" }, true],
    [{ operator: "Exists" }, true],
    [{ key: "foo", value: "bar" }, true],
    [{ key: "foo", value: "bar", effect: "NoExecute" }, true],
    [{ key: "foo", value: "other" }, false],
    [{ key: "foo", value: "bar", effect: "NoSchedule" }, false],
    [{ value: "bar" }, false],
  ])("with the toleration %j", (toleration, tolerated) => {
    const node = { ...NODE, taints: [{ key: "foo", value: "bar", effect: "NoExecute" }] };
    expect(computeFit(asking({}, { tolerations: [toleration] }), node, []).length === 0).toBe(tolerated);
  });

  // kubelet: TestRejectPodAdmissionBasedOnOSSelector, TestRejectPodAdmissionBasedOnOSField, TestPodAdmissionBasedOnSupplementalGroupsPolicy
  it("minds the system that a pod is for", () => {
    const labelled = (os: string): Pod => {
      const pod = asking({});
      return { ...pod, metadata: { ...pod.metadata, labels: { "kubernetes.io/os": os } } };
    };
    expect(reasons(computeFit(labelled("windows"), NODE, []))).toEqual([
      "PodOSSelectorNodeLabelDoesNotMatch",
    ]);
    expect(computeFit(labelled("linux"), { ...NODE, labels: { "kubernetes.io/os": "other" } }, [])).toEqual(
      [],
    );
    expect(reasons(computeFit(withSpec({ os: { name: "windows" } }), NODE, []))).toEqual([
      "PodOSNotSupported",
    ]);
    expect(computeFit(withSpec({ os: { name: "linux" } }), NODE, [])).toEqual([]);
    const strict = withSpec({ securityContext: { supplementalGroupsPolicy: "Strict" } });
    expect(reasons(computeFit(strict, NODE, []))).toEqual(["SupplementalGroupsPolicyNotSupported"]);
    expect(computeFit(strict, { ...NODE, supplementalGroupsPolicy: true }, [])).toEqual([]);
  });

  const required = (...nodeSelectorTerms: NodeSelectorTerm[]): SchedulingSpec => ({
    affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms } } },
  });
  const label = (key: string, operator: string, ...values: string[]): NodeSelectorTerm => ({
    matchExpressions: [{ key, operator: operator as "In", values }],
  });
  it.each<[string, SchedulingSpec, boolean]>([
    ["a selector", { nodeSelector: { zone: "a" } }, true],
    ["another selector", { nodeSelector: { zone: "a", disk: "ssd" } }, false],
    ["In", required(label("zone", "In", "b", "a")), true],
    ["NotIn", required(label("zone", "NotIn", "a")), false],
    ["NotIn of what is not there", required(label("disk", "NotIn", "a")), true],
    ["Exists", required(label("zone", "Exists")), true],
    ["DoesNotExist", required(label("zone", "DoesNotExist")), false],
    ["Gt", required(label("cores", "Gt", "7")), true],
    ["Lt", required(label("cores", "Lt", "8")), false],
    ["Gt of no number", required(label("zone", "Gt", "1")), false],
    ["an unknown operator", required(label("zone", "Like", "a")), false],
    ["one of two terms", required(label("zone", "In", "b"), label("zone", "In", "a")), true],
    ["no terms", required(), false],
    ["an empty term", required({}), false],
    [
      "the node's name",
      required({ matchFields: [{ key: "metadata.name", operator: "In", values: ["machine1"] }] }),
      true,
    ],
    ["nothing required", { affinity: {} }, true],
    ["a label named as a method", { nodeSelector: { toString: "x" } }, false],
  ])("compares the node with %s", (_name, spec, matches) => {
    expect(reasons(computeFit(withSpec(spec), NODE, []))).toEqual(matches ? [] : ["NodeAffinity"]);
    expect(computeFit(isStatic(withSpec(spec)), NODE, [], { staticPodsAnywhere: true })).toEqual([]);
  });
});

describe("podRequests", () => {
  it("sums what runs, compares init steps, adds overhead, and takes limits for requests", () => {
    const initContainers = [
      container("i", { cpu: 5 }),
      sidecar("s", { cpu: 1, memory: 1 }),
      container("j", { cpu: 3 }),
    ];
    const limited = { name: "b", image: "x", resources: { limits: { cpu: "1500m" } } };
    const pod = podOf("p", [container("a", { cpu: 1 }), limited], {
      initContainers,
      overhead: { cpu: "100m" },
    });
    expect(Object.fromEntries(podRequests(pod))).toEqual({ cpu: 5100, memory: 1, pods: 1 });
  });
});

describe("node allocatable", () => {
  const capacity = amounts({ cpu: 10, memory: "10Gi", pods: 110 });
  const reserve = (evictionMi: number): ReadonlyMap<string, number> =>
    totalReservation({
      kubeReserved: { cpu: "100m", memory: "100Mi" },
      systemReserved: { cpu: "50m", memory: "50Mi" },
      evictionHard: new Map([["memory", evictionMi * MIB]]),
    });

  // kubelet: TestNodeAllocatableReservationForScheduling
  it("is what nobody has reserved", () => {
    expect(Object.fromEntries(reserve(0))).toEqual({ memory: 150 * MIB, cpu: 150 });
    expect(Object.fromEntries(reserve(100))).toEqual({ memory: 250 * MIB, cpu: 150 });
    expect(Object.fromEntries(nodeAllocatable(capacity, reserve(100)))).toEqual({
      cpu: 9850,
      memory: (10_240 - 250) * MIB,
      pods: 110,
    });
  });

  // kubelet: TestNodeAllocatableForEnforcement
  it("all pods together get what the two reservations leave, whatever eviction keeps free", () => {
    const given = {
      kubeReserved: { cpu: "100m", memory: "100Mi" },
      systemReserved: { cpu: "50m", memory: "50Mi" },
    };
    const limits = { cpuMilli: 9850, memoryBytes: 10_090 * MIB, pids: undefined };
    expect(podsCgroupLimits(capacity, given)).toEqual(limits);
    expect(podsCgroupLimits(amounts({ cpu: 10, memory: "10Gi", "hugepages-1Gi": "4Gi" }), given)).toEqual(
      limits,
    );
    expect(
      podsCgroupLimits(amounts({ cpu: 10, memory: "10Gi", pid: 30_000 }), {
        systemReserved: { pid: "1000", cpu: "1" },
        reservedSystemCpus: 4,
      }),
    ).toEqual({ cpuMilli: 6000, memoryBytes: 10_240 * MIB, pids: 29_000 });
    expect(
      podsCgroupLimits(amounts({ cpu: 10, memory: "10Gi", pid: 30_000 }), {}),
      "without reservations it is all that is there: what an earlier setting wrote goes",
    ).toEqual({ cpuMilli: 10_000, memoryBytes: 10_240 * MIB, pids: 30_000 });
    expect(() => podsCgroupLimits(capacity, { kubeReserved: { memory: "11Gi" } })).toThrow("is reserved");
  });

  it("counts huge pages apart, never below nothing", () => {
    const huge = amounts({ memory: "10Gi", "hugepages-1Gi": "4Gi" });
    expect(nodeAllocatable(huge, new Map()).get("memory")).toBe(6 * 1024 * MIB);
    expect(nodeAllocatable(amounts({ memory: "1Gi", "hugepages-1Gi": "2Gi" }), new Map()).get("memory")).toBe(
      0,
    );
  });

  it("takes named CPUs instead of both reservations", () => {
    const given = { kubeReserved: { cpu: "100m" }, systemReserved: { cpu: "500m" }, reservedSystemCpus: 2 };
    expect(totalReservation(given).get("cpu")).toBe(2000);
  });

  // kubelet: TestNodeAllocatableInputValidation
  it("refuses more than there is, and what cannot be reserved", () => {
    expect(() => nodeAllocatable(capacity, amounts({ cpu: 11 }))).toThrow("11000 of cpu is reserved");
    expect(() => totalReservation({ kubeReserved: { "nvidia.com/gpu": 1 } })).toThrow("cannot be reserved");
    expect(() => totalReservation({ kubeReserved: { cpu: -1 } })).toThrow("cannot be reserved");
  });
});
