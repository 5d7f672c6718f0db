// SPDX-License-Identifier: Apache-2.0
/*
 * Memory and huge pages of Guaranteed pods, on as few NUMA nodes as have it. kubelet: memorymanager's staticPolicy.
 *
 * Owns: the tables of the nodes and the blocks of containers (in `MemoryState`), and what a pod's init containers leave to its later ones. Invariants: no
 * more is given than a node has; nodes are used in groups that do not overlap. Lost on a crash: what is reusable, which only matters within one admission.
 */
import { isSidecar, podQosClass } from "@holdfast/core/pod";
import type { Container, Pod } from "@holdfast/core/pod-types";
import { HoldfastError } from "@holdfast/core/errors";
import { stateError } from "../cpu/cpu-state.ts";
import type { NumaNode } from "../machine/machine-topology.ts";
import type { TopologyHint, TopologyHints } from "../topology/hint.ts";
import { bestHint, memoryHints, suffices, violatesGroups } from "./memory-hints.ts";
import { memoryRequests, podMemoryRequests } from "./memory-requests.ts";
import type { MemoryAmounts } from "./memory-requests.ts";
import { emptyMachine } from "./memory-state.ts";
import type { MachineMemory, MemoryBlock, MemoryState } from "./memory-state.ts";
import type { ReservedMemory } from "./reserved-memory.ts";

/** How a {@link StaticMemoryPolicy} is made. */
export interface StaticMemoryPolicyOptions {
  readonly numaNodes: readonly NumaNode[];
  readonly reserved: ReservedMemory;
  readonly state: MemoryState;
}

/** See the top of the file. */
export class StaticMemoryPolicy {
  readonly #options: StaticMemoryPolicyOptions;
  /** Of the one pod that is being admitted, by nodes and resource. */
  #reusable: { readonly podUid: string; readonly bytes: Map<string, number> } | undefined;

  constructor(options: StaticMemoryPolicyOptions) {
    this.#options = options;
  }

  get #state(): MemoryState {
    return this.#options.state;
  }

  /** Checks what was kept against the machine; fills an empty state. Throws `permanent` (RESOURCE_STATE). kubelet: validateState. */
  start(): void {
    const { numaNodes, reserved } = this.#options;
    const expected = emptyMachine(numaNodes, reserved);
    const state = this.#state;
    if (state.machine.size === 0) {
      if (state.entries.size > 0)
        throw stateError("[memorymanager] machine state can not be empty when it has memory assignments");
      state.machine = expected;
      state.save();
      return;
    }
    for (const [pod, containers] of state.entries)
      for (const [container, blocks] of containers)
        for (const block of blocks) checkPlace(expected, block, `(pod: ${pod}, container: ${container})`);
    for (const containers of state.entries.values())
      for (const blocks of containers.values())
        for (const { numaAffinity, type, size } of blocks) reserve(expected, numaAffinity, type, size);
    if (!sameMachine(state.machine, expected))
      throw stateError("[memorymanager] the expected machine state is different from the real one");
  }

  /** kubelet: GetTopologyHints. */
  topologyHints(pod: Pod, container: Container): TopologyHints {
    if (podQosClass(pod.spec) !== "Guaranteed") return new Map();
    const asked = memoryRequests(container);
    const blocks = this.#state.blocks(pod.metadata.uid, container.name);
    return blocks === undefined ? this.#hints(pod, asked) : hintsOfBlocks(blocks, asked);
  }

  /** kubelet: GetPodTopologyHints. */
  podTopologyHints(pod: Pod): TopologyHints {
    if (podQosClass(pod.spec) !== "Guaranteed") return new Map();
    const asked = podMemoryRequests(pod);
    for (const { name } of [...(pod.spec.initContainers ?? []), ...pod.spec.containers]) {
      const blocks = this.#state.blocks(pod.metadata.uid, name);
      if (blocks !== undefined) return hintsOfBlocks(blocks, asked);
    }
    return this.#hints(pod, asked);
  }

  /**
   * Reserves memory under this hint; returns whether it did. A container that has its memory keeps it. Throws `retryable` (RESOURCE_MEMORY), with
   * the kubelet's `[memorymanager]` texts. kubelet: Allocate.
   */
  allocate(pod: Pod, container: Container, hint: TopologyHint): boolean {
    if (podQosClass(pod.spec) !== "Guaranteed") return false;
    const { uid } = pod.metadata;
    const known = this.#state.blocks(uid, container.name);
    if (known !== undefined) {
      this.#updateReusable(pod, container, known);
      return false;
    }
    const asked = memoryRequests(container);
    const nodes = this.#place(pod, asked, hint);
    const blocks: MemoryBlock[] = [];
    for (const [type, size] of asked) {
      blocks.push({ numaAffinity: nodes, type, size });
      reserve(this.#state.machine, nodes, type, Math.max(0, size - this.#reusableOf(pod)(nodes, type)));
    }
    this.#updateReusable(pod, container, blocks);
    this.#state.setBlocks(
      uid,
      container.name,
      blocks.map((block) => ({ ...block })),
    );
    this.#shrinkInitBlocks(pod, container, blocks);
    this.#state.save();
    return true;
  }

  /** Ends the assignments of a pod; false when it has none. kubelet: RemoveContainer, for each. */
  removePod(podUid: string): boolean {
    // A pod that was refused comes again with the same UID: what it does not hold any more cannot be reused.
    if (this.#reusable?.podUid === podUid) this.#reusable = undefined;
    const containers = this.#state.entries.get(podUid);
    if (containers === undefined) return false;
    this.#state.entries.delete(podUid);
    for (const blocks of containers.values()) for (const block of blocks) release(this.#state.machine, block);
    this.#state.save();
    return true;
  }

  /** The nodes that the blocks go on. */
  #place(pod: Pod, asked: MemoryAmounts, hint: TopologyHint): readonly number[] {
    const { machine } = this.#state;
    const all = (): ReturnType<typeof memoryHints> => memoryHints(machine, asked, this.#reusableOf(pod));
    let { numaNodes, preferred } = hint;
    if (numaNodes === undefined) {
      const found = bestHint(all());
      if (found === undefined)
        throw refused(
          "failed to get the default NUMA affinity, no NUMA nodes with enough memory is available",
        );
      if (preferred && !found.preferred) throw refused("failed to find the default preferred hint");
      ({ numaNodes, preferred } = found);
    }
    const reusable = this.#reusableOf(pod);
    const given = numaNodes;
    const left = new Map(
      [...asked].map(([name, bytes]) => [name, Math.max(0, bytes - reusable(given, name))]),
    );
    if (!suffices(machine, given, left)) {
      const wider = all().filter((other) => given.every((id) => other.numaNodes.includes(id)));
      const found = bestHint(wider);
      if (found === undefined) throw refused("failed to find NUMA nodes to extend the current topology hint");
      if (preferred && !found.preferred) throw refused("failed to find the extended preferred hint");
      ({ numaNodes } = found);
    }
    if (violatesGroups(machine, numaNodes)) throw refused("preferred hint violates NUMA node allocation");
    return numaNodes;
  }

  #hints(pod: Pod, asked: MemoryAmounts): TopologyHints {
    const hints = memoryHints(this.#state.machine, asked, this.#reusableOf(pod));
    return new Map([...asked.keys()].map((name) => [name, hints]));
  }

  #reusableOf({ metadata: { uid } }: Pod): (nodes: readonly number[], resource: string) => number {
    const bytes = this.#reusable?.podUid === uid ? this.#reusable.bytes : undefined;
    return (nodes, resource) => bytes?.get(placeKey(nodes, resource)) ?? 0;
  }

  /** kubelet: updatePodReusableMemory. */
  #updateReusable(pod: Pod, container: Container, blocks: readonly MemoryBlock[]): void {
    const { uid } = pod.metadata;
    const bytes = this.#reusable?.podUid === uid ? this.#reusable.bytes : new Map<string, number>();
    this.#reusable = { podUid: uid, bytes };
    for (const { numaAffinity, type, size } of blocks) {
      const key = placeKey(numaAffinity, type);
      const before = bytes.get(key) ?? 0;
      bytes.set(key, isPlainInit(pod, container.name) ? Math.max(before, size) : Math.max(0, before - size));
    }
  }

  /** What a later container took over is no longer counted for the init container. kubelet: updateInitContainersMemoryBlocks. */
  #shrinkInitBlocks(pod: Pod, container: Container, blocks: readonly MemoryBlock[]): void {
    for (const { numaAffinity, type, size } of blocks) {
      let rest = size;
      for (const init of pod.spec.initContainers ?? []) {
        if (init.name === container.name) break;
        if (isSidecar(init)) continue;
        for (const block of this.#state.entries.get(pod.metadata.uid)?.get(init.name) ?? []) {
          if (block.type !== type || placeKey(block.numaAffinity, type) !== placeKey(numaAffinity, type))
            continue;
          const over = Math.min(block.size, rest);
          block.size -= over;
          rest -= over;
        }
      }
    }
  }
}

function placeKey(nodes: readonly number[], resource: string): string {
  return `${nodes.join("+")}/${resource}`;
}

function isPlainInit({ spec }: Pod, name: string): boolean {
  return (spec.initContainers ?? []).some((init) => init.name === name && !isSidecar(init));
}

/** A container that asks for something else than it has gets no opinion: its memory stays where it is. kubelet: regenerateHints. */
function hintsOfBlocks(blocks: readonly MemoryBlock[], asked: MemoryAmounts): TopologyHints {
  const fits = blocks.length === asked.size && blocks.every(({ type, size }) => asked.get(type) === size);
  if (!fits) return new Map();
  return new Map(
    blocks.map(({ type, numaAffinity }) => [type, [{ numaNodes: numaAffinity, preferred: true }]]),
  );
}

/** Takes from the nodes in ascending order until it is enough. kubelet: updateMachineState. */
function reserve(machine: MachineMemory, nodes: readonly number[], type: string, size: number): void {
  let rest = size;
  for (const id of nodes) {
    const node = machine.get(id);
    if (node === undefined) continue;
    node.numberOfAssignments++;
    node.cells = nodes;
    const table = node.memoryMap[type];
    if (table === undefined) continue;
    const taken = Math.min(table.free, rest);
    table.free -= taken;
    table.reserved += taken;
    rest -= taken;
  }
}

function release(machine: MachineMemory, { numaAffinity, type, size }: MemoryBlock): void {
  let rest = size;
  for (const id of numaAffinity) {
    const node = machine.get(id);
    if (node === undefined) continue;
    node.numberOfAssignments--;
    if (node.numberOfAssignments === 0) node.cells = [id];
    const table = node.memoryMap[type];
    if (table === undefined) continue;
    const freed = Math.min(table.reserved, rest);
    table.free += freed;
    table.reserved -= freed;
    rest -= freed;
  }
}

function checkPlace(machine: MachineMemory, { numaAffinity, type }: MemoryBlock, who: string): void {
  for (const id of numaAffinity) {
    const node = machine.get(id);
    if (node === undefined)
      throw stateError(`[memorymanager] ${who} the memory assignment uses the NUMA that does not exist`);
    if (node.memoryMap[type] === undefined)
      throw stateError(
        `[memorymanager] ${who} the memory assignment uses memory resource that does not exist`,
      );
  }
}

/** Nodes, totals and reservations alike; what is used is compared over each group, whose nodes fill up in the order of arrival. */
function sameMachine(kept: MachineMemory, expected: MachineMemory): boolean {
  const describe = (machine: MachineMemory): string => {
    const groups = new Map<string, number>();
    const nodes = [...machine]
      .sort(([a], [b]) => a - b)
      .map(([id, node]) => {
        const kinds = Object.entries(node.memoryMap).sort(([a], [b]) => (a < b ? -1 : 1));
        for (const [kind, { reserved }] of kinds) {
          const key = placeKey(node.cells, kind);
          groups.set(key, (groups.get(key) ?? 0) + reserved);
        }
        const sizes = kinds.map(([kind, table]) => [
          kind,
          table.total,
          table.systemReserved,
          table.allocatable,
        ]);
        return [id, node.numberOfAssignments, node.cells, sizes];
      });
    return JSON.stringify([nodes, [...groups].sort(([a], [b]) => (a < b ? -1 : 1))]);
  };
  return describe(kept) === describe(expected);
}

function refused(text: string): HoldfastError {
  return new HoldfastError("RESOURCE_MEMORY", "retryable", `[memorymanager] ${text}`);
}
