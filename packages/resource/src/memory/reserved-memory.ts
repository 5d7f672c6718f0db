// SPDX-License-Identifier: Apache-2.0
/* Memory that is kept for the system, by NUMA node. Pure. kubelet: validateReservedMemory, convertReserved, getSystemReservedMemory. */
import { HoldfastError } from "@holdfast/core/errors";
import { wholeValue } from "@holdfast/core/quantity";
import type { NumaNode } from "../machine/machine-topology.ts";
import { isMemoryResource } from "./memory-requests.ts";
import type { MemoryAmounts } from "./memory-requests.ts";

/** One entry of the kubelet's `reservedMemory`. */
export interface MemoryReservation {
  readonly numaNode: number;
  readonly limits: Readonly<Record<string, string | number>>;
}

/** Bytes by node and resource. */
export type ReservedMemory = ReadonlyMap<number, MemoryAmounts>;

/**
 * `total`: what system, agent and eviction reserve together, by resource. Throws `bad-input` (RESOURCE_MEMORY_CONFIG) unless both agree exactly, all nodes
 * exist, and something is reserved.
 */
export function resolveReservedMemory(
  reservations: readonly MemoryReservation[],
  total: MemoryAmounts,
  numaNodes: readonly NumaNode[],
): ReservedMemory {
  const byNode = new Map<number, Map<string, number>>();
  const sums = new Map<string, number>();
  for (const { numaNode, limits } of reservations) {
    if (!numaNodes.some(({ id }) => id === numaNode))
      throw badConfig(
        `the reserved memory configuration references a NUMA node ${numaNode} that does not exist on this machine`,
      );
    const amounts = byNode.get(numaNode) ?? new Map<string, number>();
    byNode.set(numaNode, amounts);
    for (const [name, quantity] of Object.entries(limits)) {
      const bytes = wholeValue(quantity);
      if (!isMemoryResource(name)) throw badConfig(`"${name}" is no kind of memory`);
      if (bytes <= 0) throw badConfig(`the reserved "${name}" of NUMA node ${numaNode} must be above zero`);
      if (amounts.has(name)) throw badConfig(`"${name}" of NUMA node ${numaNode} is reserved twice`);
      amounts.set(name, bytes);
      sums.set(name, (sums.get(name) ?? 0) + bytes);
    }
  }
  for (const name of new Set([...sums.keys(), ...[...total.keys()].filter(isMemoryResource)])) {
    const [given, wanted] = [sums.get(name) ?? 0, total.get(name) ?? 0];
    if (given !== wanted)
      throw badConfig(
        `the total amount "${given}" of type "${name}" is not equal to the value "${wanted}" determined by Node Allocatable feature`,
      );
  }
  if ((sums.get("memory") ?? 0) === 0) throw badConfig("at least one NUMA node must have reserved memory");
  return byNode;
}

function badConfig(text: string): HoldfastError {
  const fieldPath = "reservedMemory";
  return new HoldfastError("RESOURCE_MEMORY_CONFIG", "bad-input", `${fieldPath}: ${text}`, { fieldPath });
}
