// SPDX-License-Identifier: Apache-2.0
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { combinationsOf, mergeHints, numaCombinations, TopologyPolicy } from "@holdfast/resource";
import type { NumaNode, TopologyHint, TopologyHints, TopologyPolicyName } from "@holdfast/resource";

const P = (...numaNodes: number[]): TopologyHint => ({ numaNodes, preferred: true });
const N = (...numaNodes: number[]): TopologyHint => ({ numaNodes, preferred: false });
const ANY: TopologyHint = { numaNodes: undefined, preferred: true };
const NONE: TopologyHint = { numaNodes: undefined, preferred: false };

/** Nodes at these distances from one another. */
function nodes(distances: readonly (readonly number[])[]): NumaNode[] {
  return distances.map((row, id) => ({
    id,
    cpus: [],
    memoryBytes: 0,
    hugePages: new Map(),
    distances: new Map(row.entries()),
  }));
}
/** `count` nodes, a to b as far as this says. */
function grid(count: number, distance: (a: number, b: number) => number): NumaNode[] {
  const ids = Array.from({ length: count }).map((_, id) => id);
  return nodes(ids.map((a) => ids.map((b) => (a === b ? 10 : distance(a, b)))));
}
const flat = (count: number): NumaNode[] => grid(count, () => 20);
/** kubelet: commonNUMAInfoFourNodes: 2 and 3 are the nearest. */
const FOUR = nodes([
  [10, 11, 12, 12],
  [11, 10, 12, 12],
  [12, 12, 10, 9],
  [12, 12, 9, 10],
]);
/** Two groups of four. kubelet: commonNUMAInfoEightNodes. */
const EIGHT = grid(8, (a, b) => (Math.floor(a / 4) === Math.floor(b / 4) ? 12 : 20));

function merge(
  policy: TopologyPolicyName,
  machine: readonly NumaNode[],
  providers: readonly Record<string, readonly TopologyHint[] | undefined>[],
  preferClosestNumaNodes = false,
): readonly [TopologyHint, boolean] {
  const options = { preferClosestNumaNodes, maxAllowableNumaNodes: 8 };
  const maps = providers.map((hints): TopologyHints => new Map(Object.entries(hints)));
  const { hint, admit } = new TopologyPolicy(policy, machine, options).merge(maps);
  return [hint, admit];
}

type Row = [string, Record<string, readonly TopologyHint[] | undefined>[], TopologyHint, TopologyHint];
const all2 = [0, 1];

// kubelet: TestPolicyBestEffortMerge, TestPolicyRestrictedMerge, TestPolicySingleNumaNodeMerge (commonPolicyMergeTestCases)
const COMMON: Row[] = [
  ["no providers", [], P(...all2), ANY],
  ["a provider without hints", [{}], P(...all2), ANY],
  ["an entry that is no opinion", [{ resource: undefined }], P(...all2), ANY],
  ["an empty list", [{ resource: [] }], N(...all2), NONE],
  ["no opinion, preferred", [{ resource: [ANY] }], P(...all2), ANY],
  ["no opinion, not preferred", [{ resource: [NONE] }], N(...all2), NONE],
  ["two that cannot agree", [{ a: [P(0)] }, { b: [P(1)] }], N(...all2), NONE],
  ["one list, one hint", [{ a: [P(0)] }], P(0), P(0)],
  ["the only common one", [{ a: [P(0), P(1)] }, { b: [P(1)] }], P(1), P(1)],
  ["the narrowest preferred", [{ a: [P(0), P(1)] }, { b: [P(0), N(0, 1)] }], P(0), P(0)],
  ["a list and no opinion", [{ a: [P(0), P(1), N(0, 1)] }, {}], P(0), P(0)],
  ["1 with alternatives", [{ a: [P(1), N(0, 1)] }, { b: [P(0), P(1), N(0, 1)] }], P(1), P(1)],
  ["two resources of one provider", [{ a: [P(0), P(1), N(0, 1)], b: [P(1), N(0, 1)] }], P(1), P(1)],
];
// Where single-numa-node differs beyond the wide result.
const DIFFERENT: Row[] = [
  ["the same mask, not both preferred", [{ a: [P(0)] }, { b: [N(0)] }], N(0), NONE],
  ["masks that differ", [{ a: [P(0)] }, { b: [P(0, 1)] }], N(0), NONE],
  ["only a wide one in one list", [{ a: [P(0), P(1)] }, { b: [N(0, 1)] }], N(0), NONE],
  ["a wide preferred one", [{ a: [P(0, 1)], b: [P(0), P(1), N(0, 1)] }], N(0, 1), NONE],
];

describe("merging", () => {
  describe.each(["best-effort", "restricted", "single-numa-node"] as const)("with %s", (policy) => {
    it.each([...COMMON, ...DIFFERENT])("%s", (_name, providers, wide, single) => {
      const [hint, admit] = merge(policy, flat(2), providers);
      expect(hint).toEqual(policy === "single-numa-node" ? single : wide);
      expect(admit).toBe(policy === "best-effort" || hint.preferred);
    });
  });

  const first = [N(0, 1, 2, 3), N(0, 1)];
  // kubelet: TestPolicyBestEffortMerge, TestPolicyBestEffortMergeClosestNUMA: non-preferred hints on 4 nodes
  it.each([
    ["{0,1}", [N(0, 1)], N(0, 1), N(0, 1)],
    ["{0,3}", [N(0, 3)], N(0, 3), N(0, 3)],
    ["{1,2}", [N(1, 2)], N(1, 2), N(1, 2)],
    ["{2,3}", [N(2, 3)], N(2, 3), N(2, 3)],
    ["{1,2} or {2,3}", [N(1, 2), N(2, 3)], N(1, 2), N(2, 3)],
    ["many", [N(1, 2, 3), N(1, 2), N(1, 3), N(2, 3)], N(1, 2), N(2, 3)],
  ])("4 nodes, not preferred, with %s", (_name, second, narrowest, closest) => {
    expect(merge("best-effort", FOUR, [{ a: first }, { b: second }])[0]).toEqual(narrowest);
    expect(merge("best-effort", FOUR, [{ a: first }, { b: second }], true)[0]).toEqual(closest);
  });

  // kubelet: commonPolicyMergeTestCases "bestNonPreferredAffinityCount", closest cases on 8 nodes
  it("prefers the closest, and fewer nodes before that", () => {
    const pairs = [P(0, 4), P(0, 2)];
    expect(merge("restricted", EIGHT, [{ a: pairs }, { b: pairs }], true)[0]).toEqual(P(0, 2));
    const mixed = [P(4), P(0, 2)];
    expect(merge("restricted", EIGHT, [{ a: mixed }, { b: mixed }], true)[0]).toEqual(P(4));
    const narrow = [P(0, 1), P(0, 2)];
    expect(merge("restricted", flat(4), [{ a: narrow }, { b: narrow }])[0]).toEqual(P(0, 1));
  });

  it("admits everything with none, and says nothing", () => {
    expect(merge("none", flat(2), [{ a: [] }])).toEqual([NONE, true]);
  });
});

/** The kubelet's way: every combination, the better of two kept, by the rules as they are told. */
function crossProduct(
  lists: readonly (readonly TopologyHint[])[],
  machine: readonly number[],
  distance?: (ids: readonly number[]) => number,
): TopologyHint {
  const key = (ids: readonly number[]): number => ids.reduce((sum, id) => sum + 2 ** id, 0);
  const fitter = (current: readonly number[], candidate: readonly number[]): boolean => {
    if (candidate.length !== current.length) return candidate.length < current.length;
    const [a, b] = [distance?.(candidate) ?? 0, distance?.(current) ?? 0];
    return a === b ? key(candidate) < key(current) : a < b;
  };
  const minima = lists.map((list) =>
    Math.min(...list.flatMap(({ numaNodes }) => (numaNodes === undefined ? [] : [numaNodes.length]))),
  );
  const target = Math.max(0, ...minima.filter(Number.isFinite));
  const better = (current: TopologyHint, candidate: TopologyHint): boolean => {
    const [from, to] = [current.numaNodes ?? [], candidate.numaNodes ?? []];
    if (current.preferred !== candidate.preferred) return candidate.preferred;
    if (current.preferred || from.length > target) return fitter(from, to);
    if (from.length === target) return to.length === target && fitter(from, to);
    if (to.length > target || to.length < from.length) return false;
    return to.length > from.length || fitter(from, to);
  };
  let best: TopologyHint | undefined;
  const visit = (index: number, chosen: readonly TopologyHint[]): void => {
    const list = lists[index];
    if (list !== undefined) {
      for (const hint of list) visit(index + 1, [...chosen, hint]);
      return;
    }
    const masks = chosen.flatMap(({ numaNodes }) => (numaNodes === undefined ? [] : [numaNodes]));
    const numaNodes = machine.filter((id) => masks.every((mask) => mask.includes(id)));
    const same = masks.every((mask) => key(mask) === key(masks[0] ?? []));
    const candidate = { numaNodes, preferred: same && chosen.every(({ preferred }) => preferred) };
    if (numaNodes.length > 0 && (best === undefined || better(best, candidate))) best = candidate;
  };
  visit(0, []);
  return best ?? { numaNodes: machine, preferred: false };
}

describe("the fold", () => {
  const machine = [0, 1, 2, 3];
  const hint = fc.record({
    numaNodes: fc.oneof(
      { weight: 6, arbitrary: fc.subarray(machine, { minLength: 1 }) as fc.Arbitrary<number[] | undefined> },
      { weight: 1, arbitrary: fc.constant(undefined) },
    ),
    preferred: fc.boolean(),
  });
  const lists = fc.array(fc.array(hint, { minLength: 1, maxLength: 5 }), { maxLength: 4 });

  // kubelet: TestCompareHintsNarrowest, TestMaxOfMinAffinityCounts, TestClosest: all rows, by comparing with the rules themselves
  it("comes to the same as the cross product, narrowest and closest", () => {
    const distance = (ids: readonly number[]): number => (ids.includes(3) ? 9 : 11) + ids.length;
    fc.assert(
      fc.property(lists, fc.boolean(), (given, closest) => {
        const options = { numaNodes: machine, ...(closest ? { averageDistance: distance } : {}) };
        expect(mergeHints(given, options)).toEqual(
          crossProduct(given, machine, closest ? distance : undefined),
        );
      }),
      { numRuns: 500 },
    );
  });

  it("needs no more than the masks there are: 4 providers with every hint of 8 nodes", () => {
    const every = [...numaCombinations([0, 1, 2, 3, 4, 5, 6, 7])].map((numaNodes) => ({
      numaNodes,
      preferred: numaNodes.length === 2,
    }));
    expect(every.length).toBe(255);
    const merged = mergeHints([every, every, every, every], { numaNodes: [0, 1, 2, 3, 4, 5, 6, 7] });
    expect(merged).toEqual(P(0, 1));
  });

  it("takes any ids of nodes", () => {
    expect(mergeHints([[P(8, 252)], [P(252)]], { numaNodes: [0, 8, 252, 253] })).toEqual(N(252));
  });
});

describe("combinations", () => {
  // kubelet: TestIterateBitMasks, TestCPUAccumulatorIterateCombinations
  it("come by size, then in order", () => {
    expect([...numaCombinations([0, 2, 5])]).toEqual([[0], [2], [5], [0, 2], [0, 5], [2, 5], [0, 2, 5]]);
    expect([...combinationsOf(["a", "b", "c", "d"], 2)].map((pair) => pair.join(""))).toEqual([
      "ab",
      "ac",
      "ad",
      "bc",
      "bd",
      "cd",
    ]);
    expect([...combinationsOf([1], 2)]).toEqual([]);
    expect([...combinationsOf([1, 2], 0)]).toEqual([[]]);
  });
});
