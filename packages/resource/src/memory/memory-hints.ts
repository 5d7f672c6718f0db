// SPDX-License-Identifier: Apache-2.0
/* Where so much memory could be had. Pure. kubelet: calculateHints, and what it asks of groups of nodes. */
import { numaCombinations } from "../topology/hint.ts";
import type { TopologyHint } from "../topology/hint.ts";
import type { MemoryAmounts } from "./memory-requests.ts";
import type { MachineMemory } from "./memory-state.ts";

/** Bytes that the pod's init containers leave to it on exactly these nodes. */
export type ReusableMemory = (numaNodes: readonly number[], resource: string) => number;

type PlacedHint = TopologyHint & { readonly numaNodes: readonly number[] };

/** Sets of nodes that have all of it, the same for every kind of memory. Preferred are those as small as an empty machine would allow. */
export function memoryHints(
  machine: MachineMemory,
  asked: MemoryAmounts,
  reusable: ReusableMemory,
): PlacedHint[] {
  const ids = [...machine.keys()].sort((a, b) => a - b);
  let smallest = ids.length;
  const found: (readonly number[])[] = [];
  for (const nodes of numaCombinations(ids)) {
    if (!suffices(machine, nodes, asked, "allocatable")) continue;
    smallest = Math.min(smallest, nodes.length);
    const enough = [...asked].every(
      ([name, bytes]) => sum(machine, nodes, name, "free") + reusable(nodes, name) >= bytes,
    );
    if (enough && !violatesGroups(machine, nodes)) found.push(nodes);
  }
  return found.map((numaNodes) => ({ numaNodes, preferred: numaNodes.length === smallest }));
}

/** Whether these nodes have so much of everything. kubelet: isAffinitySatisfyRequest. */
export function suffices(
  machine: MachineMemory,
  nodes: readonly number[],
  asked: MemoryAmounts,
  of: "free" | "allocatable" = "free",
): boolean {
  return [...asked].every(([name, bytes]) => sum(machine, nodes, name, of) >= bytes);
}

/**
 * A node that is assigned together with others is assigned with exactly these only, and one that is assigned alone not with others.
 * kubelet: isAffinityViolatingNUMAAllocations.
 */
export function violatesGroups(machine: MachineMemory, nodes: readonly number[]): boolean {
  return nodes.some((id) => {
    const node = machine.get(id);
    if (node === undefined || node.numberOfAssignments === 0) return false;
    return node.cells.length !== nodes.length || !node.cells.every((cell) => nodes.includes(cell));
  });
}

/** Preferred before not, then few nodes before many, then low ids. kubelet: findBestHint. */
export function bestHint(hints: readonly PlacedHint[]): PlacedHint | undefined {
  const weight = ({ numaNodes }: PlacedHint): number => numaNodes.reduce((bits, id) => bits + 2 ** id, 0);
  return hints.toSorted(
    (a, b) =>
      Number(b.preferred) - Number(a.preferred) ||
      a.numaNodes.length - b.numaNodes.length ||
      weight(a) - weight(b),
  )[0];
}

function sum(
  machine: MachineMemory,
  nodes: readonly number[],
  name: string,
  of: "free" | "allocatable",
): number {
  return nodes.reduce((bytes, id) => bytes + (machine.get(id)?.memoryMap[name]?.[of] ?? 0), 0);
}
