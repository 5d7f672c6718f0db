// SPDX-License-Identifier: Apache-2.0
/*
 * One choice of CPUs under way: what is free, what is taken, how much is still needed, and the orders in which free units are visited.
 * Lives for one decision. Invariant: nothing is taken twice. kubelet: cpuAccumulator.
 */
import { CpuSet } from "../machine/cpu-set.ts";
import type { CpuLevel, CpuTopology } from "../machine/machine-topology.ts";

/** See the top of the file. */
export class CpuAccumulator {
  readonly topology: CpuTopology;
  /** CPUs still to be taken. */
  needed: number;
  #free: CpuSet;
  #taken: CpuSet = CpuSet.empty;

  constructor(topology: CpuTopology, available: CpuSet, count: number) {
    this.topology = topology;
    this.#free = available;
    this.needed = count;
  }

  get free(): CpuSet {
    return this.#free;
  }

  get taken(): CpuSet {
    return this.#taken;
  }

  get isSatisfied(): boolean {
    return this.needed < 1;
  }

  take(cpus: CpuSet): void {
    this.#taken = this.#taken.union(cpus);
    this.#free = this.#free.difference(cpus);
    this.needed -= cpus.size;
  }

  /** Free CPUs of one unit. */
  freeIn(level: CpuLevel, id: number): CpuSet {
    return this.topology.cpusOf(level, id).intersection(this.#free);
  }

  /** Takes units of which every CPU is free, in `order`, as long as a whole one is needed. kubelet: takeFullNUMANodes, …Sockets, …Cores. */
  takeFull(level: CpuLevel, order: readonly number[]): void {
    const full = order.filter((id) => this.topology.cpusOf(level, id).isSubsetOf(this.#free));
    for (const id of full) {
      const cpus = this.topology.cpusOf(level, id);
      if (this.needed >= cpus.size) this.take(cpus);
      if (this.isSatisfied) return;
    }
  }

  /**
   * NUMA nodes before sockets, where a socket has one node or less; else sockets are the larger ones. kubelet: numaFirst, socketsFirst.
   */
  get levels(): readonly [CpuLevel, CpuLevel] {
    const numaFirst = this.topology.sockets.length >= this.topology.numaNodes.length;
    return numaFirst ? ["numaNode", "socket"] : ["socket", "numaNode"];
  }

  /** The larger of the two levels. */
  sortedFirst(): readonly number[] {
    return this.#sorted(this.levels[0], this.#free);
  }

  /** The smaller ones, in the order of the larger ones that they lie in. */
  sortedSecond(): readonly number[] {
    const [first, second] = this.levels;
    return this.#nested(this.sortedFirst(), first, second);
  }

  sortedCores(): readonly number[] {
    return this.#nested(this.sortedSecond(), this.levels[1], "core");
  }

  sortedNumaNodes(): readonly number[] {
    return this.levels[0] === "numaNode" ? this.sortedFirst() : this.sortedSecond();
  }

  sortedSockets(): readonly number[] {
    return this.levels[0] === "socket" ? this.sortedFirst() : this.sortedSecond();
  }

  sortedUncores(): readonly number[] {
    return this.#nested(this.sortedNumaNodes(), "numaNode", "uncore");
  }

  #nested(outer: readonly number[], level: CpuLevel, inner: CpuLevel): readonly number[] {
    const seen = new Set(outer.flatMap((id) => this.#sorted(inner, this.freeIn(level, id))));
    return [...seen];
  }

  /** Units that these free CPUs lie in: fewest free CPUs of the whole unit first, then by id. */
  #sorted(level: CpuLevel, among: CpuSet): readonly number[] {
    const counts = new Map(
      this.topology.idsOf(level, among).map((id) => [id, this.freeIn(level, id).size] as const),
    );
    return [...counts].sort(([a, left], [b, right]) => left - right || a - b).map(([id]) => id);
  }
}
