// SPDX-License-Identifier: Apache-2.0
import { MetricsRegistry } from "@holdfast/core/metrics";
import type { Container, Pod } from "@holdfast/core/pod-types";
import { describe, expect, it } from "vitest";
import {
  hugePageResource,
  MemoryManager,
  parseMemoryPolicy,
  resolveReservedMemory,
} from "@holdfast/resource";
import type { NumaNode, TopologyHint } from "@holdfast/resource";
import { memoryCheckpoint } from "./fixtures/checkpoint.ts";
import { container, podOf } from "./fixtures/pods.ts";

const GIB = 2 ** 30;
const ANYWHERE: TopologyHint = { numaNodes: undefined, preferred: false };
const on = (...numaNodes: number[]): TopologyHint => ({ numaNodes, preferred: true });
/** Nodes with so many GiB, of which one is reserved, and so many huge pages of 1 GiB. */
function nodes(gib: readonly number[], huge = 0): NumaNode[] {
  return gib.map((size, id) => ({
    id,
    cpus: [],
    memoryBytes: size * GIB,
    hugePages: new Map(huge === 0 ? [] : [[GIB, huge]]),
    distances: new Map(),
  }));
}
const gi = (name: string, memory: number, extra: Record<string, string> = {}): Container =>
  container(name, { cpu: 1, memory: `${memory}Gi`, ...extra });
const pod = (uid: string, apps: readonly number[], init: readonly number[] = []): Pod =>
  podOf(
    uid,
    apps.map((size, index) => gi(`app${index}`, size)),
    { initContainers: init.map((size, index) => gi(`init${index}`, size)) },
  );

describe("reserved memory", () => {
  const machine = nodes([9, 9]);
  const bytes = (amounts: Record<string, number>): ReadonlyMap<string, number> =>
    new Map(Object.entries(amounts));

  // kubelet: TestValidateReservedMemory, TestConvertPreReserved, TestGetSystemReservedMemory
  it("is told by node and kind", () => {
    const given = [
      { numaNode: 0, limits: { memory: "1Gi", "hugepages-1Gi": "1Gi" } },
      { numaNode: 1, limits: { memory: "512Mi" } },
    ];
    const reserved = resolveReservedMemory(
      given,
      bytes({ memory: 1.5 * GIB, "hugepages-1Gi": GIB, cpu: 1 }),
      machine,
    );
    expect(reserved.get(0)?.get("memory")).toBe(GIB);
    expect(reserved.get(1)?.get("memory")).toBe(GIB / 2);
  });

  it.each([
    [
      "a node that is not there",
      [{ numaNode: 2, limits: { memory: "1Gi" } }],
      GIB,
      "references a NUMA node 2",
    ],
    [
      "another sum",
      [{ numaNode: 0, limits: { memory: "1Gi" } }],
      2 * GIB,
      'is not equal to the value "2147483648"',
    ],
    [
      "a kind that nobody reserves",
      [{ numaNode: 0, limits: { memory: "1Gi", "hugepages-2Mi": "2Mi" } }],
      GIB,
      '"hugepages-2Mi" is not equal',
    ],
    ["nothing", [], 0, "at least one NUMA node"],
    ["zero", [{ numaNode: 0, limits: { memory: 0 } }], 0, "must be above zero"],
    ["another resource", [{ numaNode: 0, limits: { cpu: 1 } }], 0, "is no kind of memory"],
    [
      "the same twice",
      [
        { numaNode: 0, limits: { memory: "1Gi" } },
        { numaNode: 0, limits: { memory: "1Gi" } },
      ],
      2 * GIB,
      "reserved twice",
    ],
  ])("refuses %s", (_name, given, total, text) => {
    expect(() =>
      resolveReservedMemory(given as never, bytes(total === 0 ? {} : { memory: total }), machine),
    ).toThrow(text);
  });

  it("names huge pages as Kubernetes does", () => {
    expect([2 ** 21, 2 ** 30, 2 ** 16, 2 ** 34].map(hugePageResource)).toEqual([
      "hugepages-2Mi",
      "hugepages-1Gi",
      "hugepages-64Ki",
      "hugepages-16Gi",
    ]);
  });
});

describe("MemoryManager", () => {
  const metrics = new MetricsRegistry();
  const make = (
    policy: "None" | "Static",
    kept = {},
    pods: readonly Pod[] = [],
    onInvalidState?: "fail",
  ): MemoryManager =>
    new MemoryManager({
      policy,
      numaNodes: nodes([9, 9]),
      reserved: new Map([[0, new Map([["memory", GIB]])]]),
      checkpoint: memoryCheckpoint(kept),
      pods: { activePods: () => pods, containers: () => new Map(), sourcesReady: () => true },
      metrics,
      ...(onInvalidState === undefined ? {} : { onInvalidState }),
    });

  it("tells the nodes of a container's memory, and what there is", () => {
    const asking = pod("p", [2]);
    const manager = make("Static", {}, [asking]);
    manager.allocate(asking, gi("app0", 2), on(1));
    expect(manager.numaNodes("p", "app0")).toEqual([1]);
    expect(manager.blocks("p", "app0")).toEqual([{ numaAffinity: [1], type: "memory", size: 2 * GIB }]);
    expect(manager.allocatable().map(({ numaAffinity, size }) => [numaAffinity, size / GIB])).toEqual([
      [[0], 8],
      [[1], 9],
    ]);
    expect(() => manager.allocate(pod("q", [20]), gi("app0", 20), ANYWHERE)).toThrow("[memorymanager]");
    expect(metrics.value("kubelet_memory_manager_pinning_requests_total")).toBe(2);
    expect(metrics.value("kubelet_memory_manager_pinning_errors_total")).toBe(1);
  });

  it("frees what pods that are gone had", () => {
    const pods = [pod("p", [2])];
    const manager = make("Static", {}, pods);
    manager.allocate(pods[0] as Pod, gi("app0", 2), on(1));
    pods.length = 0;
    manager.topologyHints(pod("q", [2]), gi("app0", 2));
    expect(manager.numaNodes("p", "app0")).toEqual([]);
  });

  it("sets an unfit state aside and goes on, or fails as the kubelet if it is told so", () => {
    const kept = {
      memory_manager_state: '{"policyName":"Static","machineState":{},"entries":{"p":{"c":[]}}}',
    };
    expect(make("Static", kept).allocatable()).toHaveLength(2);
    expect(() => make("Static", kept, [], "fail")).toThrow("machine state can not be empty");
  });

  it("does nothing with None, and knows no other policy", () => {
    const manager = make("None");
    manager.allocate(pod("p", [2]), gi("app0", 2), on(1));
    expect(manager.numaNodes("p", "app0")).toEqual([]);
    expect(manager.topologyHints(pod("p", [2]), gi("app0", 2)).size).toBe(0);
    expect(manager.podTopologyHints(pod("p", [2])).size).toBe(0);
    expect(manager.allocatable()).toEqual([]);
    expect(parseMemoryPolicy("Static")).toBe("Static");
    expect(() => parseMemoryPolicy("BestEffort")).toThrow('unknown policy: "BestEffort"');
  });
});
