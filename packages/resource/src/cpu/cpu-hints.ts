// SPDX-License-Identifier: Apache-2.0
/* Where so many CPUs could be had. Pure. kubelet: generateCPUTopologyHints. */
import type { CpuSet } from "../machine/cpu-set.ts";
import type { CpuTopology } from "../machine/machine-topology.ts";
import { numaCombinations } from "../topology/hint.ts";
import type { TopologyHint } from "../topology/hint.ts";

/** What hints are made from. */
export interface CpuHintQuestion {
  readonly topology: CpuTopology;
  readonly available: CpuSet;
  /** Must be used: a hint contains all of them. */
  readonly reusable: CpuSet;
  readonly requested: number;
  /** Hints that span no more sockets than needed are preferred too. */
  readonly alignBySocket?: boolean;
}

/** A hint for each set of nodes that has enough. Preferred are those as narrow as the machine's CPUs, free or not, would allow. */
export function cpuTopologyHints(question: CpuHintQuestion): TopologyHint[] {
  const { topology, reusable, requested, alignBySocket = false } = question;
  const { numaNodes } = topology;
  const all = new Map(numaNodes.map((node) => [node, topology.cpusOf("numaNode", node).size] as const));
  const usable = question.available.union(reusable);
  const free = new Map(
    numaNodes.map((node) => [node, topology.cpusOf("numaNode", node).intersection(usable).size] as const),
  );
  const must = topology.idsOf("numaNode", reusable);
  const total = (counts: ReadonlyMap<number, number>, nodes: readonly number[]): number =>
    nodes.reduce((sum, node) => sum + (counts.get(node) ?? 0), 0);
  let narrowest = numaNodes.length;
  const found: (readonly number[])[] = [];
  for (const nodes of numaCombinations(numaNodes)) {
    if (nodes.length < narrowest && total(all, nodes) >= requested) narrowest = nodes.length;
    if (must.every((node) => nodes.includes(node)) && total(free, nodes) >= requested) found.push(nodes);
  }
  const socketsOf = (nodes: readonly number[]): number =>
    topology.idsOf("socket", topology.cpusOfAll("numaNode", nodes)).length;
  const nodesPerSocket = Math.floor(numaNodes.length / topology.sockets.length);
  const bySocket = (nodes: readonly number[]): boolean =>
    alignBySocket && nodesPerSocket > 0 && socketsOf(nodes) === Math.ceil(narrowest / nodesPerSocket);
  return found.map((nodes) => ({
    numaNodes: nodes,
    preferred: nodes.length === narrowest || bySocket(nodes),
  }));
}
