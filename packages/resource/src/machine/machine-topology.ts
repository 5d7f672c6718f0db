// SPDX-License-Identifier: Apache-2.0
/*
 * What a machine is made of, as far as CPUs and memory have a place: plain data, read once at start.
 * kubelet: cadvisor's MachineInfo and topology.CPUTopology.
 */
import { CpuSet } from "./cpu-set.ts";

/** One online logical CPU. kubelet: topology.CPUInfo. */
export interface CpuInfo {
  readonly id: number;
  /** The lowest id among the threads of its core. */
  readonly core: number;
  readonly socket: number;
  readonly numaNode: number;
  /** The lowest id among the CPUs that share its L3 cache; where none is told, the socket. */
  readonly uncore: number;
  /** Kind of core on a heterogeneous machine: `cpu_core`, `cpu_atom`, or `capacity:N`. */
  readonly kind?: string;
}

/** One NUMA node. */
export interface NumaNode {
  readonly id: number;
  readonly cpus: readonly number[];
  readonly memoryBytes: number;
  /** Pages that were set aside at boot or later, by page size in bytes. */
  readonly hugePages: ReadonlyMap<number, number>;
  /** Distance to each node as the firmware tells it (10 is the node itself). Empty where the kernel tells none. */
  readonly distances: ReadonlyMap<number, number>;
}

/** See the top of the file. CPUs and nodes in ascending order of ids. */
export interface MachineTopology {
  readonly cpus: readonly CpuInfo[];
  readonly numaNodes: readonly NumaNode[];
}

/** A level at which CPUs belong together. */
export type CpuLevel = "core" | "socket" | "numaNode" | "uncore";
const LEVELS: readonly CpuLevel[] = ["core", "socket", "numaNode", "uncore"];

/** Answers questions about all CPUs of the machine. kubelet: topology.CPUTopology. */
export class CpuTopology {
  /** Every online CPU. */
  readonly all: CpuSet;
  readonly sockets: readonly number[];
  readonly numaNodes: readonly number[];
  readonly uncores: readonly number[];
  /** CPUs by cores, rounded down: what the kubelet takes for threads of a core. On heterogeneous machines the most that any core has. */
  readonly cpusPerCore: number;
  readonly #cpus: ReadonlyMap<number, CpuInfo>;
  readonly #sets: Readonly<Record<CpuLevel, ReadonlyMap<number, CpuSet>>>;

  constructor(cpus: readonly CpuInfo[]) {
    this.#cpus = new Map(cpus.map((cpu) => [cpu.id, cpu]));
    this.all = new CpuSet(this.#cpus.keys());
    this.#sets = Object.fromEntries(
      LEVELS.map((level) => [level, groupBy(cpus, level)]),
    ) as unknown as Record<CpuLevel, ReadonlyMap<number, CpuSet>>;
    this.sockets = [...this.#sets.socket.keys()];
    this.numaNodes = [...this.#sets.numaNode.keys()];
    this.uncores = [...this.#sets.uncore.keys()];
    this.cpusPerCore = Math.max(1, ...[...this.#sets.core.values()].map(({ size }) => size));
  }

  /** What is known of one CPU; undefined when it is not online. */
  get(id: number): CpuInfo | undefined {
    return this.#cpus.get(id);
  }

  /** All CPUs of one core, socket, node or cache. */
  cpusOf(level: CpuLevel, id: number): CpuSet {
    return this.#sets[level].get(id) ?? CpuSet.empty;
  }

  /** All CPUs of several. */
  cpusOfAll(level: CpuLevel, ids: readonly number[]): CpuSet {
    return new CpuSet(ids.flatMap((id) => this.cpusOf(level, id).ids));
  }

  /** The cores, sockets, nodes or caches that these CPUs belong to, ascending. */
  idsOf(level: CpuLevel, cpus: CpuSet): readonly number[] {
    const ids = new Set<number>();
    for (const cpu of cpus.ids) {
      const info = this.#cpus.get(cpu);
      if (info !== undefined) ids.add(info[level]);
    }
    return [...ids].sort((a, b) => a - b);
  }
}

function groupBy(cpus: readonly CpuInfo[], level: CpuLevel): ReadonlyMap<number, CpuSet> {
  const groups = new Map<number, number[]>();
  for (const cpu of cpus) {
    const group = groups.get(cpu[level]);
    if (group === undefined) groups.set(cpu[level], [cpu.id]);
    else group.push(cpu.id);
  }
  return new Map(
    [...groups].sort(([a], [b]) => a - b).map(([id, members]) => [id, new CpuSet(members)] as const),
  );
}
