// SPDX-License-Identifier: Apache-2.0
import type { Container, Pod } from "@holdfast/core/pod-types";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  emptyMachine,
  MemoryState,
  podMemoryRequests,
  StaticMemoryPolicy,
  violatesGroups,
} from "@holdfast/resource";
import type { MachineMemory, MemoryBlock, NumaNode, TopologyHint } from "@holdfast/resource";
import { memoryCheckpoint } from "./fixtures/checkpoint.ts";
import { container, podOf, sidecar } from "./fixtures/pods.ts";

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

/** A policy on such nodes. 9 GiB are 8 to give. */
class Memory {
  readonly state: MemoryState;
  readonly policy: StaticMemoryPolicy;
  readonly checkpoint;

  constructor(gib: readonly number[] = [9, 9], huge = 0, kept: Readonly<Record<string, string>> = {}) {
    this.checkpoint = memoryCheckpoint(kept);
    this.state = new MemoryState(this.checkpoint);
    const reserved = new Map(gib.map((_, id) => [id, new Map([["memory", GIB]])]));
    this.policy = new StaticMemoryPolicy({ numaNodes: nodes(gib, huge), reserved, state: this.state });
  }

  start(): this {
    this.policy.start();
    return this;
  }

  /** Gives all containers their memory, in order. */
  allocate(pod: Pod, hint = ANYWHERE): this {
    for (const of of [...(pod.spec.initContainers ?? []), ...pod.spec.containers])
      this.policy.allocate(pod, of, hint);
    return this;
  }

  /** GiB that are free on each node. */
  get free(): number[] {
    return [...this.state.machine.values()].map(({ memoryMap }) => (memoryMap["memory"]?.free ?? 0) / GIB);
  }

  /** `0+1: 3` for 3 GiB on nodes 0 and 1. */
  blocks(pod: string, name: string): string[] {
    return (this.state.blocks(pod, name) ?? []).map(
      ({ numaAffinity, type, size }) =>
        `${numaAffinity.join("+")}: ${size / GIB}${type === "memory" ? "" : ` ${type}`}`,
    );
  }
}

const gi = (name: string, memory: number, extra: Record<string, string> = {}): Container =>
  container(name, { cpu: 1, memory: `${memory}Gi`, ...extra });
const pod = (uid: string, apps: readonly number[], init: readonly number[] = []): Pod =>
  podOf(
    uid,
    apps.map((size, index) => gi(`app${index}`, size)),
    { initContainers: init.map((size, index) => gi(`init${index}`, size)) },
  );

describe("start", () => {
  // kubelet: TestStaticPolicyStart: default state
  it("fills an empty state: huge pages are no ordinary memory", () => {
    const { state } = new Memory([9, 9], 2).start();
    expect(state.machine.get(0)).toEqual({
      numberOfAssignments: 0,
      cells: [0],
      memoryMap: {
        "hugepages-1Gi": {
          total: 2 * GIB,
          systemReserved: 0,
          allocatable: 2 * GIB,
          reserved: 0,
          free: 2 * GIB,
        },
        memory: { total: 9 * GIB, systemReserved: GIB, allocatable: 6 * GIB, reserved: 0, free: 6 * GIB },
      },
    });
  });

  it("never has less than nothing to give", () => {
    const [node] = [...emptyMachine(nodes([1], 4), new Map()).values()];
    expect(node?.memoryMap["memory"]?.allocatable).toBe(0);
  });

  // kubelet: TestStaticPolicyStart: the sums of assignments over groups of nodes
  it("takes a state that fits, also one that crossed nodes, whatever order its nodes filled in", () => {
    const before = new Memory([9, 9, 9]).start();
    before
      .allocate(pod("a", [10]), on(0, 1))
      .allocate(pod("b", [3]), on(0, 1))
      .allocate(pod("c", [2]), on(2));
    before.policy.removePod("a");
    const again = new Memory([9, 9, 9], 0, Object.fromEntries(before.checkpoint.values)).start();
    expect(again.blocks("b", "app0")).toEqual(["0+1: 3"]);
    expect(again.free.reduce((sum, free) => sum + free, 0)).toBe(24 - 5);
  });

  // kubelet: TestStaticPolicyStart: each mismatch
  const kept = (): Record<string, unknown> => {
    const memory = new Memory().start().allocate(pod("p", [2]), on(0));
    return JSON.parse(memory.checkpoint.get("memory_manager_state") ?? "") as Record<string, unknown>;
  };
  const edited = (edit: (state: ReturnType<typeof kept>) => void): string => {
    const state = kept();
    edit(state);
    return JSON.stringify(state);
  };
  const block = (change: Partial<MemoryBlock>) => (state: ReturnType<typeof kept>) => {
    const entries = state["entries"] as Record<string, Record<string, Partial<MemoryBlock>[]>>;
    Object.assign(entries["p"]?.["app0"]?.[0] ?? {}, change);
  };
  it.each<[string, string, readonly number[], string]>([
    [
      "assignments without a machine",
      edited((state) => (state["machineState"] = {})),
      [9, 9],
      "can not be empty",
    ],
    ["an assignment that differs", edited(block({ size: GIB })), [9, 9], "different from the real one"],
    [
      "a node that is gone",
      edited(block({ numaAffinity: [7] })),
      [9, 9],
      "uses the NUMA that does not exist",
    ],
    [
      "a kind that is gone",
      edited(block({ type: "hugepages-2Mi" })),
      [9, 9],
      "memory resource that does not exist",
    ],
    ["memory that was taken out", edited(() => {}), [9, 5], "different from the real one"],
    ["a node that came", edited(() => {}), [9, 9, 9], "different from the real one"],
    [
      "another policy",
      edited((state) => (state["policyName"] = "None")),
      [9, 9],
      "differs from state checkpoint",
    ],
    ["a damaged block", edited(block({ size: -1 })), [9, 9], "no block of memory"],
    ["no JSON", "{", [9, 9], "could not restore state"],
  ])("refuses %s", (_name, text, gib, message) => {
    expect(() => new Memory(gib, 0, { memory_manager_state: text }).start()).toThrow(message);
  });
});

describe("allocate", () => {
  // kubelet: TestStaticPolicyAllocate
  it("does nothing for pods that are not Guaranteed", () => {
    const memory = new Memory().start();
    memory.allocate(podOf("b", [container("app0", { memory: "2Gi" })]));
    expect(memory.blocks("b", "app0")).toEqual([]);
    expect(memory.free).toEqual([8, 8]);
  });

  it("keeps what a container has", () => {
    const memory = new Memory()
      .start()
      .allocate(pod("p", [2]), on(1))
      .allocate(pod("p", [2]), on(0));
    expect(memory.blocks("p", "app0")).toEqual(["1: 2"]);
    expect(memory.free).toEqual([8, 6]);
  });

  it.each<[string, readonly number[], TopologyHint, string, number[]]>([
    ["without a hint, on the first node that has it", [2], ANYWHERE, "0: 2", [6, 8]],
    ["where the hint says", [2], on(1), "1: 2", [8, 6]],
    ["over nodes when one has not enough, filling the first", [10], ANYWHERE, "0+1: 10", [0, 6]],
    [
      "over more nodes than a hint that has not enough",
      [10],
      { numaNodes: [1], preferred: false },
      "0+1: 10",
      [0, 6],
    ],
  ])("gives memory %s", (_name, sizes, hint, blocks, free) => {
    const memory = new Memory().start().allocate(pod("p", sizes), hint);
    expect(memory.blocks("p", "app0")).toEqual([blocks]);
    expect(memory.free).toEqual(free);
  });

  it("gives huge pages beside memory", () => {
    const memory = new Memory([9, 9], 2).start();
    memory.allocate(podOf("p", [gi("app0", 1, { "hugepages-1Gi": "2Gi" })]), on(1));
    expect(memory.blocks("p", "app0").sort()).toEqual(["1: 1", "1: 2 hugepages-1Gi"]);
    const more = podOf("q", [gi("app0", 1, { "hugepages-1Gi": "3Gi" })]);
    expect(() => memory.allocate(more)).toThrow("no NUMA nodes with enough memory is available");
  });

  it.each<[string, TopologyHint, string]>([
    ["no node has it", ANYWHERE, "no NUMA nodes with enough memory is available"],
    ["a preferred hint has to be widened", on(0), "failed to find NUMA nodes to extend"],
  ])("refuses when %s", (_name, hint, text) => {
    const memory = new Memory().start();
    expect(() => memory.allocate(pod("p", [17]), hint)).toThrow(
      `[memorymanager] ${text}`.replace("[memorymanager] no", "no"),
    );
    expect(memory.free).toEqual([8, 8]);
  });

  it("refuses what is not preferred where preferred was promised", () => {
    const memory = new Memory()
      .start()
      .allocate(pod("a", [5]), on(0))
      .allocate(pod("b", [5]), on(1));
    memory.policy.removePod("b");
    memory.allocate(pod("c", [1]), on(1));
    // 8 GiB fit one node of an empty machine, but none of this one.
    expect(() => memory.allocate(pod("d", [8]), { numaNodes: undefined, preferred: true })).toThrow(
      "no NUMA nodes with enough memory",
    );
    const free = new Memory([9, 9, 9]).start().allocate(pod("a", [5]), on(0));
    free.allocate(pod("x", [10]), on(1, 2));
    expect(() => free.allocate(pod("d", [5]), on(1, 2))).not.toThrow();
    expect(() => new Memory().start().allocate(pod("d", [9]), on(0))).not.toThrow();
  });

  // kubelet: TestStaticPolicyAllocate: single and cross NUMA conflicts, Test_isAffinityViolatingNUMAAllocations
  it("keeps nodes that are used alone and nodes that are used together apart", () => {
    const single = new Memory().start().allocate(pod("a", [2]), on(0));
    expect(() => single.allocate(pod("b", [2]), on(0, 1))).toThrow(
      "preferred hint violates NUMA node allocation",
    );
    const cross = new Memory().start().allocate(pod("a", [10]), on(0, 1));
    expect(() => cross.allocate(pod("b", [2]), on(1))).toThrow("violates");
    expect(() => cross.allocate(pod("b", [2]), on(0, 1))).not.toThrow();
    expect(violatesGroups(cross.state.machine, [0])).toBe(true);
    cross.policy.removePod("a");
    cross.policy.removePod("b");
    expect(cross.free).toEqual([8, 8]);
    expect(violatesGroups(cross.state.machine, [0])).toBe(false);
  });

  it("lets the node rest alone when its group is gone", () => {
    const memory = new Memory().start().allocate(pod("a", [10]), on(0, 1));
    expect(memory.policy.removePod("a")).toBe(true);
    expect(memory.policy.removePod("a")).toBe(false);
    expect([...memory.state.machine.values()].map(({ cells }) => cells)).toEqual([[0], [1]]);
  });
});

describe("init containers", () => {
  // kubelet: TestStaticPolicyAllocateWithInitContainers
  it.each([
    [[1, 2], [3, 4], [0, 0], 7],
    [[4, 3], [2, 1], [0, 1], 4],
    [[7, 4], [4, 3], [0, 0], 7],
    [[7, 4], [5, 2], [0, 0], 7],
    [[3, 4], [2, 1], [0, 1], 4],
    [[2, 5], [5, 2], [0, 0], 7],
    [[4], [1], [3], 4],
  ])("of %j GiB leave their memory to apps of %j", (init, apps, left, total) => {
    const memory = new Memory().start().allocate(pod("p", apps, init), on(0));
    expect(apps.map((_, index) => memory.blocks("p", `app${index}`))).toEqual(
      apps.map((size) => [`0: ${size}`]),
    );
    expect(init.map((_, index) => memory.blocks("p", `init${index}`))).toEqual(
      left.map((size) => [`0: ${size}`]),
    );
    expect(memory.free).toEqual([8 - total, 8]);
    const again = new Memory([9, 9], 0, Object.fromEntries(memory.checkpoint.values));
    expect(() => again.start()).not.toThrow();
    memory.policy.removePod("p");
    expect(memory.free).toEqual([8, 8]);
  });

  // kubelet: TestStaticPolicyAllocateWithRestartableInitContainers
  it("leave nothing when they go on as sidecars", () => {
    const memory = new Memory().start();
    const initContainers = [sidecar("side", { cpu: 1, memory: "2Gi" })];
    memory.allocate(podOf("p", [gi("app0", 3)], { initContainers }), on(0));
    expect(memory.free).toEqual([3, 8]);
  });
});

describe("hints", () => {
  const hintsFor = (memory: Memory, sizes: readonly number[]): unknown => {
    const asking = pod("asking", sizes);
    return memory.policy.topologyHints(asking, asking.spec.containers[0] ?? container("")).get("memory");
  };
  const not = (...numaNodes: number[]): TopologyHint => ({ numaNodes, preferred: false });

  // kubelet: TestStaticPolicyGetTopologyHints, TestStaticPolicyGetPodTopologyHints
  it.each<[string, (memory: Memory) => void, readonly number[], readonly TopologyHint[]]>([
    ["an empty machine", () => {}, [2], [on(0), on(1), not(0, 1)]],
    ["more than a node has", () => {}, [9], [on(0, 1)]],
    ["more than there is", () => {}, [17], []],
    ["a node that is used alone", (memory) => memory.allocate(pod("a", [7]), on(0)), [2], [on(1)]],
    ["a node that has room", (memory) => memory.allocate(pod("a", [2]), on(0)), [2], [on(0), on(1)]],
    ["nodes that are used together", (memory) => memory.allocate(pod("a", [10]), on(0, 1)), [2], [not(0, 1)]],
  ])("on %s", (_name, prepare, sizes, hints) => {
    const memory = new Memory().start();
    prepare(memory);
    expect(hintsFor(memory, sizes)).toEqual(hints);
    expect(memory.policy.podTopologyHints(pod("asking", sizes)).get("memory")).toEqual(hints);
  });

  it("say where the memory is that a container has, and nothing when it asks for something else", () => {
    const memory = new Memory().start().allocate(pod("asking", [2]), on(1));
    expect(hintsFor(memory, [2])).toEqual([on(1)]);
    expect(hintsFor(memory, [3])).toBeUndefined();
    expect(memory.policy.podTopologyHints(pod("asking", [2])).get("memory")).toEqual([on(1)]);
  });

  it("are the same for every kind of memory", () => {
    const memory = new Memory([9, 9], 2).start();
    const asking = podOf("p", [gi("app0", 1, { "hugepages-1Gi": "1Gi" })]);
    const hints = memory.policy.topologyHints(asking, asking.spec.containers[0] ?? container(""));
    expect([...hints.keys()].sort()).toEqual(["hugepages-1Gi", "memory"]);
    expect(hints.get("memory")).toEqual(hints.get("hugepages-1Gi"));
  });

  it("count what a pod holds at once", () => {
    const initContainers = [gi("i", 5), sidecar("s", { cpu: 1, memory: "2Gi" }), gi("j", 4)];
    const amounts = podMemoryRequests(
      podOf("p", [gi("a", 1), gi("b", 2, { "hugepages-2Mi": "4Mi" })], { initContainers }),
    );
    expect(Object.fromEntries(amounts)).toEqual({ memory: 6 * GIB, "hugepages-2Mi": 2 ** 22 });
  });
});

describe("a walk of pods that come and go", () => {
  it("never gives more than there is, and ends with what it began with", () => {
    const step = fc.record({
      uid: fc.constantFrom("a", "b", "c", "d", "e"),
      sizes: fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 2 }),
      init: fc.array(fc.integer({ min: 1, max: 6 }), { maxLength: 2 }),
      leaves: fc.boolean(),
    });
    const total = (machine: MachineMemory): number =>
      [...machine.values()].reduce((sum, { memoryMap }) => sum + (memoryMap["memory"]?.reserved ?? 0), 0);
    fc.assert(
      fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
        const memory = new Memory([9, 9, 9]).start();
        const pods = new Map<string, Pod>();
        for (const { uid, sizes, init, leaves } of steps) {
          // One that is there already is asked about again, as after a restart of the agent.
          const asking = pods.get(uid) ?? pod(uid, sizes, init);
          pods.set(uid, asking);
          if (leaves) {
            memory.policy.removePod(uid);
            pods.delete(uid);
          } else
            try {
              memory.allocate(asking);
            } catch (error) {
              expect(String(error)).toContain("[memorymanager]");
            }
          const held = [...memory.state.entries.values()].flatMap((of) => [...of.values()].flat());
          expect(total(memory.state.machine)).toBe(held.reduce((sum, { size }) => sum + size, 0));
          expect(memory.free.every((free) => free >= 0 && free <= 8)).toBe(true);
        }
        const again = new Memory([9, 9, 9], 0, Object.fromEntries(memory.checkpoint.values));
        expect(() => again.start()).not.toThrow();
        for (const uid of "abcde") memory.policy.removePod(uid);
        expect(memory.free).toEqual([8, 8, 8]);
      }),
    );
  });
});
