// SPDX-License-Identifier: Apache-2.0
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CpuSet, CpuState, CpuTopology } from "@holdfast/resource";
import { memoryCheckpoint } from "./fixtures/checkpoint.ts";
import { BIG, HT1, HT2, layOut } from "./fixtures/machines.ts";
import type { MachineShape } from "./fixtures/machines.ts";
import { container, guaranteed, podOf, sidecar } from "./fixtures/pods.ts";
import { allocateAll, ANYWHERE, policyOn } from "./fixtures/static-policy.ts";
import type { Setup } from "./fixtures/static-policy.ts";

describe("start", () => {
  // kubelet: TestStaticPolicyStart
  it.each<[string, Setup, string]>([
    ["an empty state gets all CPUs", {}, "0-11"],
    ["a kept state that fits", { pool: "0-5", entries: { p: { c: "6-11" } } }, "0-5"],
    ["strict: an empty state gets all but the reserved", { options: { strictCpuReservation: true } }, "1-11"],
    ["strict: a kept state", { options: { strictCpuReservation: true }, pool: "1-11" }, "1-11"],
  ])("%s", (_name, setup, pool) => {
    const { policy, state } = policyOn(HT2, setup);
    policy.start();
    expect(String(state.defaultSet)).toBe(pool);
  });

  // kubelet: TestStaticPolicyStart, the failures
  it.each<[string, Setup, string]>([
    ["a pool that is gone", { entries: { p: { c: "0" } } }, "default cpuset cannot be empty"],
    [
      "a reserved CPU outside the pool",
      { reserved: "0,6", pool: "0-1", entries: { p: { c: "2-11" } } },
      'not all reserved cpus: "0,6" are present in defaultCpuSet: "0-1"',
    ],
    [
      "strict: a reserved CPU in the pool",
      { reserved: "0,6", pool: "0-1", options: { strictCpuReservation: true } },
      'some of strictly reserved cpus: "0,6" are present in defaultCpuSet: "0-1"',
    ],
    [
      "an assigned CPU in the pool",
      { pool: "0-11", entries: { p: { c: "4" } } },
      'pod: p, container: c cpuset: "4" overlaps with default cpuset "0-11"',
    ],
    [
      "a CPU that the machine has not",
      { pool: "0-12" },
      'current set of available CPUs "0-11" doesn\'t match with CPUs in state "0-12"',
    ],
    [
      "a CPU that the state has not",
      { pool: "0-10" },
      'current set of available CPUs "0-11" doesn\'t match with CPUs in state "0-10"',
    ],
  ])("refuses %s", (_name, setup, text) => {
    expect(() => policyOn(HT2, setup).policy.start()).toThrow(text);
  });

  // kubelet: TestStateRestore, TestCPUManagerGenerate
  it("refuses a state of another policy, and one that cannot be read", () => {
    const open = (kept: string): CpuState =>
      new CpuState(memoryCheckpoint({ cpu_manager_state: kept }), "static");
    expect(() => open('{"policyName":"none","defaultCpuSet":"0-3"}')).toThrow(
      'configured policy "static" differs from state checkpoint policy "none"',
    );
    for (const text of [
      "{",
      "[]",
      "null",
      '{"policyName":"static","defaultCpuSet":"x"}',
      '{"policyName":"static"}',
    ])
      expect(() => open(text)).toThrow(/could not restore|differs from/);
    expect(() => open('{"policyName":"static","defaultCpuSet":"0","entries":{"p":["0"]}}')).toThrow(
      "no object",
    );
  });

  it("comes back as it was written", () => {
    const checkpoint = memoryCheckpoint();
    const state = new CpuState(checkpoint, "static");
    state.setDefault(CpuSet.parse("0-7"));
    state.assign("p", "a", CpuSet.parse("2,6"), CpuSet.parse("0-1,3-5,7"));
    state.assign("p", "b", CpuSet.parse("3"), CpuSet.parse("0-1,4-5,7"));
    state.release("p", "a", CpuSet.parse("0-2,4-7"));
    const again = new CpuState(checkpoint, "static");
    expect(String(again.defaultSet)).toBe("0-2,4-7");
    expect(String(again.get("p", "b"))).toBe("3");
    expect(again.get("p", "a")).toBeUndefined();
  });
});

describe("reservations", () => {
  // kubelet: TestCPUManagerGenerate, TestNewStaticPolicy: what is reserved is packed
  it.each([
    [1000, "0"],
    [1001, "0,4"],
    [2000, "0,4"],
    [3000, "0-1,4"],
  ])("%d millicores of HT1 are CPUs %s", (reservedMilliCpu, cpus) => {
    const { policy } = policyOn(HT1, { reserved: "", reservedMilliCpu });
    expect(String(policy.reserved)).toBe(cpus);
    expect(String(policy.allocatable)).toBe(String(CpuSet.parse("0-7").difference(CpuSet.parse(cpus))));
  });

  it("must be more than nothing, be as many as are named, and be there", () => {
    expect(() => policyOn(HT1, { reserved: "" })).toThrow("to be greater than zero");
    expect(() => policyOn(HT1, { reserved: "0-1", reservedMilliCpu: 1000 })).toThrow("did not equal 1");
    expect(() => policyOn(HT1, { reserved: "7-8" })).toThrow('size of "7" did not equal 2');
    expect(() => policyOn(HT1, { reserved: "", reservedMilliCpu: 9000 })).toThrow("did not equal 9");
  });
});

describe("allocate", () => {
  const all = (shape: MachineShape): string => String(new CpuTopology(layOut(shape)).all);
  // kubelet: TestStaticPolicyAdd
  it.each<[string, MachineShape, Setup, number, string]>([
    ["HT1: the sibling of the reserved thread", HT1, {}, 1, "4"],
    ["HT1: a free core", HT1, { pool: "0-1,4-5", entries: { o: { c: "2-3,6-7" } } }, 2, "1,5"],
    ["HT1: all that are not reserved", HT1, {}, 7, "1-7"],
    ["HT2: a whole socket", HT2, { pool: "0-1,3-11", entries: { o: { c: "2" } } }, 6, "1,3,5,7,9,11"],
    ["HT2: no socket is whole", HT2, { pool: "0,2-4,6-11", entries: { o: { c: "1,5" } } }, 6, "2-4,8-10"],
    ["HT2: a socket and a core", HT2, { pool: "0-1,3-11", entries: { o: { c: "2" } } }, 8, "1,3-5,7,9-11"],
    ["BIG: beside a reserved core", BIG, { reserved: "0,40" }, 60, "10-39,50-79"],
    [
      "HT2: whole cores beside a reserved one",
      HT2,
      { reserved: "0,6", options: { fullPcpusOnly: true } },
      10,
      "1-5,7-11",
    ],
    ["HT2: over nodes", HT2, { options: { distributeCpusAcrossNuma: true } }, 4, "1,3,7,9"],
    ["HT2: over cores", HT2, { options: { distributeCpusAcrossCores: true } }, 3, "2,4,6"],
  ])("%s", (_name, shape, setup, count, cpus) => {
    const { policy, state } = policyOn(shape, { pool: all(shape), ...setup });
    expect(allocateAll(policy, state, guaranteed("p", [count]))).toEqual([cpus]);
    expect(state.defaultSet.intersection(CpuSet.parse(cpus)).size).toBe(0);
  });

  // kubelet: TestStaticPolicyAdd: errors
  it("does not give reserved CPUs away", () => {
    const { policy, state } = policyOn(HT1, { pool: "0-7" });
    expect(() => allocateAll(policy, state, guaranteed("p", [8]))).toThrow("requested=8, available=7");
    expect(String(state.defaultSet)).toBe("0-7");
  });

  // kubelet: TestStaticPolicyAdd: SMT alignment
  it.each<[MachineShape, Setup, number, string]>([
    [HT2, { reserved: "1,6" }, 10, "available physical CPUs = 8, requested CPUs = 10, CPUs per core = 2"],
    [HT1, {}, 3, "requested 3 cpus not multiple cpus per core = 2"],
    [HT1, {}, 8, "available physical CPUs = 6, requested CPUs = 8"],
  ])("refuses what would share a core", (shape, setup, count, message) => {
    const { policy, state } = policyOn(shape, {
      pool: all(shape),
      ...setup,
      options: { fullPcpusOnly: true },
    });
    const attempt = (): unknown => allocateAll(policy, state, guaranteed("p", [count]));
    expect(attempt).toThrow(message);
    expect(attempt).toThrow(expect.objectContaining({ admissionReason: "SMTAlignmentError" }));
  });

  it("keeps what a container has, also on a full machine that gives whole cores only", () => {
    const setup = { pool: "0,4", entries: { p: { app0: "1-3,5-7" } }, options: { fullPcpusOnly: true } };
    const { policy, state } = policyOn(HT1, setup);
    expect(allocateAll(policy, state, guaranteed("p", [6]))).toEqual(["1-3,5-7"]);
  });

  it("gives whole cores also where the hint's node has a single thread to spare", () => {
    const options = { fullPcpusOnly: true };
    const setup = { pool: "0-4,6,8-9", entries: { o: { c: "5,7,10-11" } }, options };
    const { policy, state } = policyOn(HT2, setup);
    // Node 1 has 1, 3 and 9 to give: a thread alone and a core.
    expect(allocateAll(policy, state, guaranteed("p", [4]), { numaNodes: [1], preferred: false })).toEqual([
      "2-3,8-9",
    ]);
  });

  // kubelet: TestStaticPolicyAdd: pods that get nothing of their own
  it.each([
    ["half a core", guaranteed("p", ["500m"])],
    ["a core and a half", guaranteed("p", ["1500m"])],
    ["burstable", podOf("p", [container("app0", { cpu: 2 })])],
    ["best effort", podOf("p", [container("app0")])],
  ])("leaves %s on the shared pool", (_name, pod) => {
    const { policy, state } = policyOn(HT1, { pool: "0-7" });
    expect(allocateAll(policy, state, pod)).toEqual(["shared"]);
    expect(policy.topologyHints(pod, pod.spec.containers[0] ?? container("x")).size).toBe(0);
  });

  // kubelet: TestTopologyAwareAllocateCPUs
  it.each([
    [[0], 4, "0,2,6,8"],
    [[1], 4, "1,3,7,9"],
    [[1], 8, "0-1,3,5-7,9,11"],
    [[0, 1], 8, "0-1,3,5-7,9,11"],
  ])("begins with the hint's nodes %j for %d", (numaNodes, count, cpus) => {
    const { policy, state } = policyOn(HT2, { reserved: "4", pool: all(HT2) });
    const hint = { numaNodes, preferred: true };
    expect(allocateAll(policy, state, guaranteed("p", [count]), hint)).toEqual([cpus]);
  });

  // kubelet: TestStaticPolicyAdd with align-by-socket
  it("begins with the hint's sockets when aligned by socket", () => {
    const take = (alignBySocket: boolean): string[] => {
      const { policy, state } = policyOn(BIG, { reserved: "0,40", pool: "0-79", options: { alignBySocket } });
      return allocateAll(policy, state, guaranteed("p", [24]), { numaNodes: [3], preferred: true });
    };
    expect(take(true)).toEqual(["20-31,60-71"]);
    expect(take(false)).toEqual(["20-21,30-39,60-61,70-79"]);
  });
});

describe("init containers and sidecars", () => {
  // kubelet: TestCPUManagerAddWithInitContainers
  it.each([
    ["as many as before", [4], [4], ["1-2,5-6", "1-2,5-6"]],
    ["fewer than before", [6], [4], ["1-3,5-7", "1-2,5-6"]],
    ["more than before", [2], [4], ["1,5", "1-2,5-6"]],
    ["after two equal ones", [2, 2], [2], ["1,5", "1,5", "1,5"]],
    ["after two that grow", [2, 4], [6], ["1,5", "1-2,5-6", "1-3,5-7"]],
    ["two of them", [2, 4], [2, 2], ["1,5", "1-2,5-6", "1,5", "2,6"]],
  ])("reuses CPUs of init containers: %s", (_name, init, apps, cpus) => {
    const { policy, state } = policyOn(HT1, { reserved: "0,4", pool: "0-7" });
    expect(allocateAll(policy, state, guaranteed("p", apps, init))).toEqual(cpus);
  });

  it("gives the reference's last case on a machine with one reserved core apart", () => {
    const { policy, state } = policyOn(HT1, { reserved: "3,7", pool: "0-7" });
    expect(allocateAll(policy, state, guaranteed("p", [2, 2], [2, 4])).slice(2)).toEqual(["0,4", "1,5"]);
  });

  // kubelet: TestStaticPolicyDoNotReuseCPUs
  it("leaves a sidecar its CPUs", () => {
    const { policy, state } = policyOn(HT1, { pool: "0-7" });
    const pod = podOf("p", [container("app", { cpu: 4, memory: "1Gi" })], {
      initContainers: [sidecar("side", { cpu: 2, memory: "1Gi" })],
    });
    expect(allocateAll(policy, state, pod)).toEqual(["1,5", "2-3,6-7"]);
    policy.release("p", "side");
    expect(String(state.defaultSet)).toBe("0-1,4-5");
  });

  // kubelet: TestStaticPolicyReuseCPUs
  it("does not put CPUs back that a later container uses", () => {
    const { policy, state } = policyOn(HT1, { pool: "0-7" });
    allocateAll(policy, state, guaranteed("p", [2], [4]));
    expect(String(state.defaultSet)).toBe("0,3-4,7");
    policy.release("p", "init0");
    expect(String(state.defaultSet)).toBe("0,2-4,6-7");
    policy.release("p", "app0");
    expect(String(state.defaultSet)).toBe("0-7");
  });

  it("forgets what could be reused when another pod comes", () => {
    const { policy, state } = policyOn(HT1, { pool: "0-7" });
    const [init, app] = [
      container("init0", { cpu: 4, memory: "1Gi" }),
      container("app0", { cpu: 4, memory: "1Gi" }),
    ];
    const pod = podOf("p", [app], { initContainers: [init] });
    policy.allocate(pod, init, ANYWHERE);
    allocateAll(policy, state, guaranteed("other", [1]));
    expect(() => policy.allocate(pod, app, ANYWHERE)).toThrow("available=2");
  });
});

describe("release", () => {
  // kubelet: TestStaticPolicyRemove
  it.each([
    ["one of one", { p: { c: "1-2" } }, "3-7,0", "0-7"],
    ["one of two", { p: { c: "1-2" }, o: { c: "3" } }, "0,4-7", "0-2,4-7"],
    ["all that there are", { p: { c: "1-7" } }, "0", "0-7"],
    ["one that has none", { o: { c: "1" } }, "0,2-7", "0,2-7"],
  ])("of %s", (_name, entries, pool, after) => {
    const { policy, state } = policyOn(HT1, { pool, entries });
    policy.release("p", "c");
    expect(String(state.defaultSet)).toBe(after);
    expect(state.get("p", "c")).toBeUndefined();
  });
});

describe("a walk of pods that come and go", () => {
  it("gives no CPU twice and loses none, on any machine and with any options", () => {
    const step = fc.record({
      uid: fc.constantFrom("a", "b", "c", "d"),
      apps: fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 3 }),
      init: fc.array(fc.integer({ min: 1, max: 6 }), { maxLength: 2 }),
      leaves: fc.boolean(),
      numaNodes: fc.constantFrom(undefined, [0], [1], [0, 1]),
    });
    const options = fc.constantFrom(
      {},
      { fullPcpusOnly: true },
      { strictCpuReservation: true },
      { distributeCpusAcrossNuma: true, fullPcpusOnly: true },
      { distributeCpusAcrossCores: true },
      { preferAlignCpusByUncoreCache: true },
      { alignBySocket: true },
    );
    fc.assert(
      fc.property(
        fc.constantFrom(HT2, BIG),
        options,
        fc.array(step, { maxLength: 20 }),
        (shape, given, steps) => {
          const { policy, state } = policyOn(shape, { options: given });
          policy.start();
          const begun = String(state.defaultSet);
          for (const { uid, apps, init, leaves, numaNodes } of steps) {
            const pod = guaranteed(uid, apps, init);
            const names = [...(pod.spec.initContainers ?? []), ...pod.spec.containers].map(
              ({ name }) => name,
            );
            const leave = (): void =>
              names
                .concat([...(state.assignments.get(uid)?.keys() ?? [])])
                .forEach((name) => policy.release(uid, name));
            leave();
            if (leaves) continue;
            try {
              allocateAll(policy, state, pod, { numaNodes, preferred: true });
            } catch (error) {
              expect(String(error)).toMatch(/not enough cpus|SMT Alignment/);
              leave();
            }
            // The same check that a restart makes: nothing overlaps, nothing is missing.
            policy.start();
            const apart = [...state.assignments].flatMap(([owner, of]) =>
              [...of].filter(([name]) => name.startsWith("app")).map(([, cpus]) => [owner, cpus] as const),
            );
            const all = apart.flatMap(([, cpus]) => cpus.ids);
            expect(new Set(all).size).toBe(all.length);
            expect(all.some((cpu) => policy.reserved.has(cpu))).toBe(false);
            if ("fullPcpusOnly" in given)
              expect(apart.every(([, cpus]) => policy.isAligned("core", cpus))).toBe(true);
          }
          for (const [uid, of] of state.assignments) for (const name of of.keys()) policy.release(uid, name);
          expect(String(state.defaultSet)).toBe(begun);
        },
      ),
    );
  });
});
