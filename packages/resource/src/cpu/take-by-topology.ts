// SPDX-License-Identifier: Apache-2.0
/*
 * Which CPUs a container gets, packed: as few sockets, nodes, caches and cores as can be broken into. Pure.
 * kubelet: takeByTopologyNUMAPacked.
 */
import { HoldfastError } from "@holdfast/core/errors";
import { CpuSet } from "../machine/cpu-set.ts";
import type { CpuTopology } from "../machine/machine-topology.ts";
import { CpuAccumulator } from "./cpu-accumulator.ts";

/** How CPUs are chosen. */
export interface PackingOptions {
  /** Threads are taken over all cores in order of ids instead of core by core. kubelet: distribute-cpus-across-cores. */
  readonly spread?: boolean;
  /** Whole L3 groups are taken where it fits. kubelet: prefer-align-cpus-by-uncorecache. */
  readonly alignByUncore?: boolean;
}

/** Takes `count` of `available`. Throws `retryable` (RESOURCE_CPUS) when there are not so many. */
export function takeByTopology(
  topology: CpuTopology,
  available: CpuSet,
  count: number,
  { spread = false, alignByUncore = false }: PackingOptions = {},
): CpuSet {
  const choice = new CpuAccumulator(topology, available, count);
  if (choice.isSatisfied) return CpuSet.empty;
  if (count > available.size) throw notEnough(count, available.size);
  const [first, second] = choice.levels;
  choice.takeFull(first, choice.sortedFirst());
  if (choice.isSatisfied) return choice.taken;
  choice.takeFull(second, choice.sortedSecond());
  if (choice.isSatisfied) return choice.taken;
  if (alignByUncore) {
    takeUncores(choice);
    if (choice.isSatisfied) return choice.taken;
  }
  if (!spread) {
    choice.takeFull("core", choice.sortedCores());
    if (choice.isSatisfied) return choice.taken;
  }
  const order = spread
    ? choice.sortedSockets().flatMap((id) => choice.freeIn("socket", id).ids)
    : choice.sortedCores().flatMap((id) => choice.freeIn("core", id).ids);
  choice.take(new CpuSet([...new Set(order)].slice(0, choice.needed)));
  return choice.taken;
}

/** kubelet: "not enough cpus available to satisfy request". */
export function notEnough(requested: number, available: number): HoldfastError {
  const text = `not enough cpus available to satisfy request: requested=${requested}, available=${available}`;
  return new HoldfastError("RESOURCE_CPUS", "retryable", text, { details: { requested, available } });
}

/** Whole caches while so much is needed, then the rest out of one cache if it fits. kubelet: takeUncoreCache. */
function takeUncores(choice: CpuAccumulator): void {
  for (const uncore of choice.sortedUncores()) {
    if (choice.needed >= choice.topology.cpusOf("uncore", uncore).size)
      choice.takeFull("uncore", choice.sortedUncores());
    if (!choice.isSatisfied) takePartialUncore(choice, uncore);
    if (choice.isSatisfied) return;
  }
}

/** kubelet: takePartialUncore. An odd count drops one thread of the last core. */
function takePartialUncore(choice: CpuAccumulator, uncore: number): void {
  const { cpusPerCore } = choice.topology;
  const free = choice.freeIn("uncore", uncore);
  const cores = choice.topology.idsOf("core", free).slice(0, Math.ceil(choice.needed / cpusPerCore));
  let cpus = new CpuSet(cores.flatMap((core) => choice.freeIn("core", core).ids));
  if (choice.needed % 2 !== 0 && cpusPerCore > 1 && cpus.size > choice.needed)
    cpus = new CpuSet(cpus.ids.slice(0, -1));
  if (cpus.size === choice.needed) choice.take(cpus);
}
