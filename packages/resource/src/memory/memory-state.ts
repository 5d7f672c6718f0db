// SPDX-License-Identifier: Apache-2.0
/*
 * Which memory of which NUMA nodes is whose, kept over restarts. kubelet: cm/memorymanager/state, file memory_manager_state.
 *
 * Owns: the nodes' tables and the containers' blocks. Invariant: what is in memory has been handed to the checkpoint, by `save`. Lost on a crash:
 * nothing that the checkpoint took.
 */
import { errorText, HoldfastError } from "@holdfast/core/errors";
import { stateError } from "../cpu/cpu-state.ts";
import type { NumaNode } from "../machine/machine-topology.ts";
import type { StateCheckpoint } from "../ports.ts";
import { hugePageResource } from "./memory-requests.ts";
import type { ReservedMemory } from "./reserved-memory.ts";

/** One kind of memory of one node, in bytes. kubelet: MemoryTable. */
export interface MemoryTable {
  total: number;
  systemReserved: number;
  allocatable: number;
  reserved: number;
  free: number;
}

/** kubelet: NUMANodeState. */
export interface NodeMemory {
  numberOfAssignments: number;
  memoryMap: Record<string, MemoryTable>;
  /** The nodes that it is assigned together with; itself alone when it is not. */
  cells: readonly number[];
}

/** Memory of one kind for one container. kubelet: Block. */
export interface MemoryBlock {
  readonly numaAffinity: readonly number[];
  readonly type: string;
  size: number;
}

/** All nodes by id. */
export type MachineMemory = ReadonlyMap<number, NodeMemory>;

const KEY = "memory_manager_state";
const POLICY = "Static";

/** See the top of the file. */
export class MemoryState {
  readonly #checkpoint: StateCheckpoint;
  /** Empty until the policy fills it. */
  machine: MachineMemory = new Map();
  readonly entries: Map<string, Map<string, MemoryBlock[]>> = new Map();

  /** Reads what is kept. Throws `permanent` (RESOURCE_STATE) when it is of another policy or cannot be read. */
  constructor(checkpoint: StateCheckpoint) {
    this.#checkpoint = checkpoint;
    const text = checkpoint.get(KEY);
    if (text !== undefined) this.#restore(text);
  }

  blocks(podUid: string, container: string): readonly MemoryBlock[] | undefined {
    return this.entries.get(podUid)?.get(container);
  }

  setBlocks(podUid: string, container: string, blocks: MemoryBlock[]): void {
    const containers = this.entries.get(podUid) ?? new Map<string, MemoryBlock[]>();
    containers.set(container, blocks);
    this.entries.set(podUid, containers);
  }

  save(): void {
    const entries = Object.fromEntries(
      [...this.entries].map(([uid, containers]) => [uid, Object.fromEntries(containers)]),
    );
    const machineState = Object.fromEntries(this.machine);
    this.#checkpoint.set(KEY, JSON.stringify({ policyName: POLICY, machineState, entries }));
  }

  #restore(text: string): void {
    try {
      const kept = JSON.parse(text) as {
        policyName: string;
        machineState: Record<string, NodeMemory>;
        entries: Record<string, Record<string, MemoryBlock[]>>;
      };
      if (kept.policyName !== POLICY)
        throw stateError(
          `configured policy "${POLICY}" differs from state checkpoint policy "${kept.policyName}"`,
        );
      this.machine = new Map(
        Object.entries(kept.machineState).map(([id, node]) => [Number(id), checkNode(node)]),
      );
      for (const [uid, containers] of Object.entries(kept.entries))
        for (const [name, blocks] of Object.entries(containers))
          this.setBlocks(uid, name, blocks.map(checkBlock));
    } catch (cause) {
      if (HoldfastError.is(cause)) throw cause;
      throw stateError(`could not restore state from checkpoint: ${errorText(cause)}`, cause);
    }
  }
}

function checkBlock(block: MemoryBlock): MemoryBlock {
  const sound = isWhole(block.size) && typeof block.type === "string" && block.numaAffinity.every(isWhole);
  if (!sound) throw new TypeError(`${JSON.stringify(block).slice(0, 80)} is no block of memory`);
  return block;
}

function checkNode(node: NodeMemory): NodeMemory {
  const tables = Object.values(node.memoryMap);
  const sound =
    isWhole(node.numberOfAssignments) &&
    node.cells.every(isWhole) &&
    tables.every((table) =>
      [table.total, table.systemReserved, table.allocatable, table.reserved, table.free].every(isWhole),
    );
  if (!sound) throw new TypeError("a NUMA node's table is damaged");
  return node;
}

function isWhole(value: unknown): boolean {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

/** The machine with nothing assigned. kubelet: getDefaultMachineState. */
export function emptyMachine(numaNodes: readonly NumaNode[], reserved: ReservedMemory): MachineMemory {
  return new Map(
    numaNodes.map(({ id, memoryBytes, hugePages }) => {
      const kept = (name: string): number => reserved.get(id)?.get(name) ?? 0;
      const table = (total: number, name: string, other = 0): MemoryTable => {
        const allocatable = Math.max(0, total - other - kept(name));
        return { total, systemReserved: kept(name), allocatable, reserved: 0, free: allocatable };
      };
      const memoryMap: Record<string, MemoryTable> = {};
      let inHugePages = 0;
      for (const [size, count] of hugePages) {
        const name = hugePageResource(size);
        memoryMap[name] = table(size * count, name);
        inHugePages += size * count;
      }
      memoryMap["memory"] = table(memoryBytes, "memory", inHugePages);
      return [id, { numberOfAssignments: 0, memoryMap, cells: [id] }];
    }),
  );
}
