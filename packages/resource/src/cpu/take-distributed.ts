// SPDX-License-Identifier: Apache-2.0
/*
 * Which CPUs a container gets, spread evenly over as few NUMA nodes as can give them. Pure.
 * kubelet: takeByTopologyNUMADistributed (distribute-cpus-across-numa).
 */
import { CpuSet } from "../machine/cpu-set.ts";
import type { CpuTopology } from "../machine/machine-topology.ts";
import { combinationsOf } from "../topology/hint.ts";
import { CpuAccumulator } from "./cpu-accumulator.ts";
import { notEnough, takeByTopology } from "./take-by-topology.ts";

/** A way to deal the CPUs: the nodes, those that give one group more, and how uneven it leaves the machine. */
interface Deal {
  readonly nodes: readonly number[];
  readonly remainderNodes: readonly number[];
  readonly balance: number;
}

/** Free CPUs by node. */
type FreeByNode = ReadonlyMap<number, number>;

/** Takes `count` of `available` in groups of `groupSize`. Falls back to packing. Throws as {@link takeByTopology}. */
export function takeDistributed(
  topology: CpuTopology,
  available: CpuSet,
  count: number,
  groupSize: number,
): CpuSet {
  if (count < 1) return CpuSet.empty;
  if (count % groupSize !== 0) return takeByTopology(topology, available, count);
  if (count > available.size) throw notEnough(count, available.size);
  const choice = new CpuAccumulator(topology, available, count);
  const free: FreeByNode = new Map(
    choice.sortedNumaNodes().map((node) => [node, choice.freeIn("numaNode", node).size] as const),
  );
  const groups = Math.ceil(count / groupSize);
  const groupsPerNode = Math.ceil(Math.ceil(topology.all.size / groupSize) / topology.numaNodes.length);
  const most = Math.min(groups, free.size);
  for (let size = Math.ceil(groups / groupsPerNode); size <= most; size++) {
    const deal = bestDeal(free, size, count, groupSize);
    if (deal !== undefined) return carryOut(choice, deal, count, groupSize);
  }
  return takeByTopology(topology, available, count);
}

/** The first of the most even ones with `size` nodes. */
function bestDeal(free: FreeByNode, size: number, count: number, groupSize: number): Deal | undefined {
  let best: Deal | undefined;
  for (const nodes of combinationsOf([...free.keys()], size)) {
    if (best?.balance === 0) break;
    const deal = dealOver(free, nodes, count, groupSize);
    if (deal !== undefined && (best === undefined || deal.balance < best.balance)) best = deal;
  }
  return best;
}

function dealOver(
  free: FreeByNode,
  nodes: readonly number[],
  count: number,
  groupSize: number,
): Deal | undefined {
  const has = (node: number): number => free.get(node) ?? 0;
  const groups = nodes.reduce((sum, node) => sum + Math.floor(has(node) / groupSize), 0);
  if (groups * groupSize < count) return undefined;
  const share = shareOf(count, nodes.length, groupSize);
  if (nodes.some((node) => has(node) < share)) return undefined;
  const after = new Map(free);
  for (const node of nodes) after.set(node, has(node) - share);
  const remainder = count - share * nodes.length;
  if (remainder === 0) return { nodes, remainderNodes: [], balance: standardDeviation(after) };
  const able = nodes.filter((node) => (after.get(node) ?? 0) >= groupSize);
  let best: Deal | undefined;
  for (let size = able.length; size >= 1; size--) {
    for (const remainderNodes of combinationsOf(able, size)) {
      const left = dealRemainder(after, remainderNodes, remainder, groupSize);
      if (left === undefined) continue;
      const balance = standardDeviation(left);
      if (best === undefined || balance < best.balance) best = { nodes, remainderNodes, balance };
    }
  }
  return best;
}

/** What is left when the remainder is dealt in rounds of one group; undefined when these nodes have not so much. */
function dealRemainder(
  free: FreeByNode,
  nodes: readonly number[],
  remainder: number,
  groupSize: number,
): FreeByNode | undefined {
  const left = new Map(free);
  for (let rest = remainder; rest > 0;) {
    const before = rest;
    for (const node of nodes) {
      const has = left.get(node) ?? 0;
      if (rest === 0 || has < groupSize) continue;
      left.set(node, has - groupSize);
      rest -= groupSize;
    }
    if (rest === before) return undefined;
  }
  return left;
}

function carryOut(choice: CpuAccumulator, deal: Deal, count: number, groupSize: number): CpuSet {
  const takeFrom = (node: number, cpus: number): void =>
    choice.take(takeByTopology(choice.topology, choice.freeIn("numaNode", node), cpus));
  const share = shareOf(count, deal.nodes.length, groupSize);
  for (const node of deal.nodes) takeFrom(node, share);
  while (!choice.isSatisfied)
    for (const node of deal.remainderNodes)
      if (!choice.isSatisfied && choice.freeIn("numaNode", node).size >= groupSize) takeFrom(node, groupSize);
  return choice.taken;
}

/** What every node gives before the remainder. */
function shareOf(count: number, nodes: number, groupSize: number): number {
  return Math.floor(count / nodes / groupSize) * groupSize;
}

/** Of free CPUs over all nodes, to three decimals. kubelet: standardDeviation. */
function standardDeviation(free: FreeByNode): number {
  const values = [...free.values()];
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  return Math.round(Math.sqrt(variance) * 1000) / 1000;
}
