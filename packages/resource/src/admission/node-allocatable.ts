// SPDX-License-Identifier: Apache-2.0
/* What of a machine is for pods. Pure. kubelet: GetNodeAllocatableReservation, node status Allocatable. */
import { HoldfastError } from "@holdfast/core/errors";
import { amountOf } from "./pod-requests.ts";
import type { ResourceAmounts } from "./pod-requests.ts";

/** Quantities as configured: `{ cpu: "500m", memory: "1Gi" }`. */
export type Quantities = Readonly<Record<string, string | number>>;

const RESERVABLE = new Set(["cpu", "memory", "ephemeral-storage", "pid"]);

/** What is set aside. */
export interface NodeReservations {
  readonly systemReserved?: Quantities;
  readonly kubeReserved?: Quantities;
  /** Bytes that hard eviction keeps free, by resource (`memory`, `ephemeral-storage`). */
  readonly evictionHard?: ResourceAmounts;
  /** Number of CPUs in reservedSystemCPUs; 0 when it is not given. It takes the place of both cpu reservations. */
  readonly reservedSystemCpus?: number;
}

/** All that is set aside, by resource. Throws `bad-input` (RESOURCE_RESERVATION) for a resource that cannot be reserved. */
export function totalReservation(given: NodeReservations): ResourceAmounts {
  const total = new Map<string, number>(given.evictionHard);
  for (const [field, quantities] of Object.entries({
    systemReserved: given.systemReserved,
    kubeReserved: given.kubeReserved,
  }))
    for (const [name, quantity] of Object.entries(quantities ?? {})) {
      const amount = amountOf(name, quantity);
      if (!RESERVABLE.has(name) || amount < 0)
        throw new HoldfastError(
          "RESOURCE_RESERVATION",
          "bad-input",
          `${field}: "${name}" cannot be reserved`,
          { fieldPath: field },
        );
      total.set(name, (total.get(name) ?? 0) + amount);
    }
  if ((given.reservedSystemCpus ?? 0) > 0) total.set("cpu", (given.reservedSystemCpus ?? 0) * 1000);
  return total;
}

/** What all pods together may have. */
export interface PodsLimits {
  readonly cpuMilli: number;
  readonly memoryBytes: number;
  /** Process ids; undefined where nobody knows how many there can be. */
  readonly pids: number | undefined;
}

/**
 * Limits of the cgroup of all pods: what is there without the two reservations; without any, all that is there, which also takes back what an earlier
 * setting wrote. What hard eviction keeps free is theirs, or eviction could never see them near their limit. Throws as {@link nodeAllocatable}.
 * kubelet: getNodeAllocatableInternalAbsolute.
 */
export function podsCgroupLimits(
  capacity: ResourceAmounts,
  given: Omit<NodeReservations, "evictionHard">,
): PodsLimits {
  const withoutHugePages = new Map([...capacity].filter(([name]) => !name.startsWith("hugepages-")));
  const allocatable = nodeAllocatable(withoutHugePages, totalReservation(given));
  return {
    cpuMilli: allocatable.get("cpu") ?? 0,
    memoryBytes: allocatable.get("memory") ?? 0,
    pids: allocatable.get("pid"),
  };
}

/**
 * Capacity without what is set aside; pre-allocated huge pages are no memory. Throws `bad-input` (RESOURCE_RESERVATION) when more is set aside than
 * there is.
 */
export function nodeAllocatable(capacity: ResourceAmounts, reserved: ResourceAmounts): ResourceAmounts {
  const allocatable = new Map(capacity);
  for (const [name, amount] of reserved) {
    const there = capacity.get(name);
    if (there === undefined) continue;
    if (amount > there)
      throw new HoldfastError(
        "RESOURCE_RESERVATION",
        "bad-input",
        `${amount} of ${name} is reserved, and the machine has ${there} (cpu in thousandths, memory in bytes)`,
      );
    allocatable.set(name, there - amount);
  }
  let inHugePages = 0;
  for (const [name, amount] of capacity) if (name.startsWith("hugepages-")) inHugePages += amount;
  const memory = allocatable.get("memory");
  if (memory !== undefined) allocatable.set("memory", Math.max(0, memory - inHugePages));
  return allocatable;
}
