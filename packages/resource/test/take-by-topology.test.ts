// SPDX-License-Identifier: Apache-2.0
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CpuSet, CpuTopology, takeByTopology, takeDistributed } from "@holdfast/resource";
import { BIG, EPYC, HT1, HT2, HYBRID, layOut, NO_HT2 } from "./fixtures/machines.ts";
import type { MachineShape } from "./fixtures/machines.ts";

const topologyOf = (shape: MachineShape): CpuTopology => new CpuTopology(layOut(shape));
const [ht1, ht2, noHt2, big, epyc] = [HT1, HT2, NO_HT2, BIG, EPYC].map(topologyOf) as [
  CpuTopology,
  CpuTopology,
  CpuTopology,
  CpuTopology,
  CpuTopology,
];
const without = (topology: CpuTopology, text: string): CpuSet => topology.all.difference(CpuSet.parse(text));
const text = (cpus: CpuSet): string => String(cpus);

describe("takeByTopology", () => {
  // kubelet: TestTakeByTopologyNUMAPacked, and the choices in TestStaticPolicyAdd
  it.each([
    ["HT1: 0", ht1, "0-7", 0, ""],
    ["HT1: a thread", ht1, "0-7", 1, "0"],
    ["HT1: a core", ht1, "0-7", 2, "0,4"],
    ["HT1: all", ht1, "0-7", 8, "0-7"],
    ["HT1: the thread of a half-used core", ht1, "1,3,5-7", 1, "6"],
    ["HT1: a whole core before half ones", ht1, "0-3,6", 2, "2,6"],
    ["HT1: beside a reserved core", ht1, "1,5", 2, "1,5"],
    ["HT1: the sibling of the reserved thread", ht1, "1-7", 1, "4"],
    ["HT2: a thread", ht2, "0-11", 1, "0"],
    ["HT2: a core", ht2, "0-11", 2, "0,6"],
    ["HT2: a socket", ht2, "0-11", 6, "0,2,4,6,8,10"],
    ["HT2: all", ht2, "0-11", 12, "0-11"],
    ["HT2: the whole socket that is left", ht2, "1,3-11", 6, "1,3,5,7,9,11"],
    ["HT2: the fuller socket when both are broken", ht2, "2-4,6-11", 6, "2-4,8-10"],
    ["HT2: a socket and a core", ht2, "1,3-11", 8, "1,3-5,7,9-11"],
    ["HT2: 8", ht2, "0-11", 8, "0-2,4,6-8,10"],
    ["no SMT: a socket", noHt2, "0-7", 4, "0-3"],
    ["no SMT: the socket that is broken already", noHt2, "1-7", 2, "1-2"],
    ["BIG: a node", big, "0-79", 20, "0-9,40-49"],
    ["BIG: a socket", big, "0-79", 40, "0-19,40-59"],
    ["BIG: a socket and a node", big, "0-79", 60, "0-29,40-69"],
    ["BIG: a socket and a node beside a reserved core", big, "1-39,41-79", 60, "10-39,50-79"],
    ["BIG: 64", big, "0-79", 64, "0-31,40-71"],
  ] as const)("%s", (_name, topology, available, count, taken) => {
    expect(text(takeByTopology(topology, CpuSet.parse(available), count))).toBe(taken);
  });

  it("tells how many there are when there are not enough", () => {
    expect(() => takeByTopology(ht1, without(ht1, "0"), 8)).toThrow(
      "not enough cpus available to satisfy request: requested=8, available=7",
    );
  });

  // kubelet: TestTakeByTopologyNUMAPacked with CPUSortingStrategySpread
  it.each([
    ["HT2: 3", ht2, 3, "0,2,4"],
    ["HT2: a socket and two threads", ht2, 8, "0-4,6,8,10"],
    ["no SMT: 2", noHt2, 2, "0-1"],
    ["BIG: 8", big, 8, "0-7"],
    ["BIG: 12", big, 12, "0-11"],
  ] as const)("spread over cores: %s", (_name, topology, count, taken) => {
    expect(text(takeByTopology(topology, topology.all, count, { spread: true }))).toBe(taken);
  });

  // kubelet: TestStaticPolicyAddWithUncoreAlignment
  describe("by L3 cache", () => {
    const two: MachineShape = { sockets: 1, coresPerSocket: 16, coresPerL3: 4 };
    const smt = topologyOf({ sockets: 1, coresPerSocket: 8, coresPerL3: 4, threads: 2 });
    const plain = topologyOf(two);
    const monolithic = topologyOf({ sockets: 1, coresPerSocket: 8, threads: 2 });
    it.each([
      ["a whole cache", plain, "1-15", 4, "4-7"],
      ["two caches", plain, "1-15", 8, "4-11"],
      ["a part of one cache, the fullest first", plain, "1-15", 3, "1-3"],
      ["a cache and a part of another", plain, "1-15", 6, "1-2,4-7"],
      ["a part that fits only in a whole cache", plain, "1-3,6-7,8-11", 4, "8-11"],
      ["fragments only: as without caches", plain, "1-3,5-7,9-11", 4, "1-3,5"],
      ["SMT: a whole cache", smt, "1-15", 8, "4-7,12-15"],
      ["SMT: an odd count drops a thread of the last core", smt, "1-7,9-15", 3, "1-2,9"],
      ["SMT: an odd count beyond a cache", smt, "0-15", 11, "0-5,8-12"],
      ["one cache for all: as without caches", monolithic, "1-7,9-15", 4, "1-2,9-10"],
    ] as const)("%s", (_name, topology, available, count, taken) => {
      const cpus = CpuSet.parse(available);
      expect(text(takeByTopology(topology, cpus, count, { alignByUncore: true }))).toBe(taken);
    });

    it("keeps 16 CPUs of a large machine in one cache where packing takes two", () => {
      const free = without(epyc, "0,128");
      const aligned = takeByTopology(epyc, free, 16, { alignByUncore: true });
      expect(epyc.idsOf("uncore", aligned)).toHaveLength(1);
      expect(epyc.idsOf("uncore", takeByTopology(epyc, free, 16))).toHaveLength(2);
    });
  });

  it("takes whole cores also of a processor whose cores are not alike", () => {
    const hybrid = topologyOf(HYBRID);
    expect(text(takeByTopology(hybrid, without(hybrid, "0"), 4))).toBe("8-11");
    expect(text(takeByTopology(hybrid, without(hybrid, "0,8-15"), 4))).toBe("2-5");
  });
});

describe("takeDistributed", () => {
  // kubelet: TestTakeByTopologyNUMADistributed
  it.each([
    ["HT1: a thread", ht1, "0-7", 1, 1, "0"],
    ["HT1: a core", ht1, "0-7", 2, 1, "0,4"],
    ["HT2: 8 over two nodes", ht2, "0-11", 8, 1, "0-3,6-9"],
    ["HT2: one node suffices", ht2, "0-11", 6, 1, "0,2,4,6,8,10"],
    ["BIG: 64 over four nodes", big, "0-79", 64, 1, "0-7,10-17,20-27,30-37,40-47,50-57,60-67,70-77"],
    ["BIG: three nodes", big, "0-79", 48, 1, "0-7,10-17,20-27,40-47,50-57,60-67"],
    [
      "BIG: three nodes, filling the first but for two",
      big,
      "1-29,32-39,41-69,72-79",
      48,
      1,
      "1-8,10-17,20-27,41-48,50-57,60-67",
    ],
    [
      "BIG: the last three, to keep balance",
      big,
      "2-29,31-39,42-69,71-79",
      48,
      1,
      "10-17,20-27,31-38,50-57,60-67,71-78",
    ],
    ["HT2: the thread beside the reserved one", ht2, "1-5,7-11", 1, 1, "1"],
    ["HT2: no whole group: packed", ht2, "1-5,7-11", 1, 2, "2"],
    [
      "BIG: the rest from nodes that have it",
      big,
      "0-3,10-13,20-23,30-36,40-43,50-53,60-63,70-76",
      34,
      1,
      "0-3,10-13,20-23,30-34,40-43,50-53,60-63,70-74",
    ],
    [
      "256 CPUs on 8 nodes, a case from a live machine",
      epyc,
      "0,30-31,43-47,62-63,75-79,94,96,101-111,126-128,158-159,171-175,190-191,203-207,222-223,229-239,254-255",
      28,
      1,
      "43-47,75-79,96,101-105,171-174,203-206,229-232",
    ],
    [
      "BIG: 16 over four nodes that are nearly full",
      big,
      "0-2,10-12,20-22,30-32,40-41,50-51,60-61,70-71",
      16,
      1,
      "0-1,10-11,20-21,30-31,40-41,50-51,60-61,70-71",
    ],
    ["BIG: 62, a thread more on two", big, "0-79", 62, 1, "0-7,10-17,20-27,30-37,40-47,50-57,60-66,70-76"],
    ["BIG: 62, a core more on three", big, "0-79", 62, 2, "0-7,10-17,20-27,30-36,40-47,50-57,60-67,70-76"],
    [
      "BIG: 62, more where more is free",
      big,
      "0-8,10-18,20-40,41-48,50-58,60-79",
      62,
      1,
      "0-7,10-17,20-27,30-37,40-46,50-56,60-67,70-77",
    ],
    [
      "BIG: 62, a core more where more is free",
      big,
      "0-8,10-18,20-40,41-48,50-58,60-79",
      62,
      2,
      "0-7,10-16,20-27,30-37,40-47,50-56,60-67,70-77",
    ],
    ["BIG: a node", big, "0-79", 20, 1, "0-9,40-49"],
    ["BIG: two nodes", big, "0-79", 24, 1, "0-5,10-15,40-45,50-55"],
    ["BIG: an odd rest by threads", big, "0-79", 26, 1, "0-6,10-16,40-45,50-55"],
    ["BIG: an odd rest by cores", big, "0-79", 26, 2, "0-6,10-15,40-46,50-55"],
    ["BIG: 22 when a node has only one", big, "0-29,39,40-69,79", 22, 1, "0-5,20-25,40-44,60-64"],
  ] as const)("%s", (_name, topology, available, count, group, taken) => {
    expect(text(takeDistributed(topology, CpuSet.parse(available), count, group))).toBe(taken);
  });

  it("packs what does not come in whole groups", () => {
    expect(text(takeDistributed(big, big.all, 25, 2))).toBe(text(takeByTopology(big, big.all, 25)));
  });

  it("tells how many there are when there are not enough", () => {
    expect(() => takeDistributed(ht1, CpuSet.parse("1-2"), 4, 2)).toThrow("requested=4, available=2");
  });
});

describe("every choice", () => {
  it("takes as many as were asked for, of those that are free, on any machine and in any way", () => {
    const topologies = [
      ht1,
      ht2,
      noHt2,
      big,
      topologyOf(HYBRID),
      topologyOf({ ...EPYC, coresPerSocket: 16 }),
    ];
    const cases = fc.record({
      topology: fc.constantFrom(...topologies),
      busy: fc.array(fc.nat(79), { maxLength: 40 }),
      count: fc.integer({ min: 0, max: 40 }),
      way: fc.constantFrom("packed", "spread", "uncore", "threads", "cores"),
    });
    fc.assert(
      fc.property(cases, ({ topology, busy, count, way }) => {
        const free = topology.all.difference(new CpuSet(busy));
        const take = (): CpuSet => {
          if (way === "threads") return takeDistributed(topology, free, count, 1);
          if (way === "cores") return takeDistributed(topology, free, count, 2);
          return takeByTopology(topology, free, count, {
            spread: way === "spread",
            alignByUncore: way === "uncore",
          });
        };
        if (count > free.size) expect(take).toThrow("not enough cpus");
        else {
          const taken = take();
          expect(taken.size).toBe(count);
          expect(taken.isSubsetOf(free)).toBe(true);
        }
      }),
    );
  });
});
