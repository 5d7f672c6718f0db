// SPDX-License-Identifier: Apache-2.0
/*
 * Which NUMA nodes' memory each container may use. kubelet: cm/memorymanager.
 *
 * Owns: the static policy's state. Reads: active pods, through a port. Invariants: with policy None nothing is kept; an assignment ends only with its pod.
 * Lost on a crash: nothing; the checkpoint brings it back.
 */
import { HoldfastError } from "@holdfast/core/errors";
import { silentLogger } from "@holdfast/core/log";
import type { Logger } from "@holdfast/core/log";
import { noMetrics } from "@holdfast/core/metrics";
import type { Metrics } from "@holdfast/core/metrics";
import { podQosClass } from "@holdfast/core/pod";
import type { Container, Pod } from "@holdfast/core/pod-types";
import type { NumaNode } from "../machine/machine-topology.ts";
import { openState } from "../open-state.ts";
import type { ResourcePods, StateCheckpoint } from "../ports.ts";
import type { HintProvider, TopologyHint, TopologyHints } from "../topology/hint.ts";
import { MemoryState } from "./memory-state.ts";
import type { MemoryBlock } from "./memory-state.ts";
import type { ReservedMemory } from "./reserved-memory.ts";
import { StaticMemoryPolicy } from "./static-memory-policy.ts";

/** kubelet: memoryManagerPolicy. */
export type MemoryPolicyName = "None" | "Static";

/** How a {@link MemoryManager} is made. */
export interface MemoryManagerOptions {
  readonly policy: MemoryPolicyName;
  readonly numaNodes: readonly NumaNode[];
  /** From `resolveReservedMemory`. */
  readonly reserved: ReservedMemory;
  readonly checkpoint: StateCheckpoint;
  readonly pods: ResourcePods;
  /** What to do with a kept state that does not fit: start without it (default), or refuse to start, as the kubelet does. */
  readonly onInvalidState?: "reset" | "fail";
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

const STATE_KEY = "memory_manager_state";

/** Throws `bad-input` (RESOURCE_MEMORY_CONFIG). */
export function parseMemoryPolicy(name: string): MemoryPolicyName {
  if (name === "None" || name === "Static") return name;
  const fieldPath = "memoryManagerPolicy";
  const text = `${fieldPath}: unknown policy: "${name}"`;
  throw new HoldfastError("RESOURCE_MEMORY_CONFIG", "bad-input", text, { fieldPath });
}

/** See the top of the file. */
export class MemoryManager implements HintProvider {
  readonly name = "memory";
  readonly #options: MemoryManagerOptions;
  readonly #logger: Logger;
  readonly #requests;
  readonly #errors;
  readonly #state: MemoryState | undefined;
  readonly #policy: StaticMemoryPolicy | undefined;

  /** Throws `permanent` (RESOURCE_STATE) with `onInvalidState: "fail"`. */
  constructor(options: MemoryManagerOptions) {
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
    const { metrics = noMetrics } = options;
    this.#requests = metrics.counter(
      "kubelet_memory_manager_pinning_requests_total",
      "Pinned memory that was asked for.",
    );
    this.#errors = metrics.counter(
      "kubelet_memory_manager_pinning_errors_total",
      "Pinned memory that could not be given.",
    );
    if (options.policy === "Static") for (const counter of [this.#requests, this.#errors]) counter.inc({}, 0);
    if (options.policy === "Static") [this.#state, this.#policy] = this.#open();
  }

  topologyHints(pod: Pod, container: Container): TopologyHints {
    this.#removeStale(pod.metadata.uid);
    return this.#policy?.topologyHints(pod, container) ?? new Map();
  }

  podTopologyHints(pod: Pod): TopologyHints {
    this.#removeStale(pod.metadata.uid);
    return this.#policy?.podTopologyHints(pod) ?? new Map();
  }

  allocate(pod: Pod, container: Container, hint: TopologyHint): void {
    if (this.#policy === undefined) return;
    this.#removeStale(pod.metadata.uid);
    const guaranteed = podQosClass(pod.spec) === "Guaranteed";
    if (guaranteed && this.#state?.blocks(pod.metadata.uid, container.name) === undefined)
      this.#requests.inc();
    try {
      this.#policy.allocate(pod, container, hint);
    } catch (error) {
      this.#errors.inc();
      throw error;
    }
  }

  /** The pod has ended, or was refused: its memory is free. Unknown is fine. */
  removePod(podUid: string): void {
    this.#policy?.removePod(podUid);
  }

  /** NUMA nodes that the container's memory lies on, ascending: `cpuset_mems`; none when it is not pinned. kubelet: GetMemoryNUMANodes. */
  numaNodes(podUid: string, container: string): readonly number[] {
    const ids = new Set(this.blocks(podUid, container).flatMap(({ numaAffinity }) => numaAffinity));
    return [...ids].sort((a, b) => a - b);
  }

  /** For podresources. kubelet: GetMemory. */
  blocks(podUid: string, container: string): readonly MemoryBlock[] {
    return this.#state?.blocks(podUid, container) ?? [];
  }

  /** For podresources: what may be assigned, by node and kind; empty with policy None. kubelet: GetAllocatableMemory. */
  allocatable(): readonly MemoryBlock[] {
    return [...(this.#state?.machine ?? [])].flatMap(([id, { memoryMap }]) =>
      Object.entries(memoryMap)
        .filter(([, { allocatable }]) => allocatable > 0)
        .map(([type, { allocatable }]) => ({ numaAffinity: [id], type, size: allocatable })),
    );
  }

  #removeStale(except: string): void {
    const { pods } = this.#options;
    if (this.#state === undefined || this.#state.entries.size === 0 || !pods.sourcesReady()) return;
    const active = new Set(pods.activePods().map(({ metadata }) => metadata.uid));
    for (const uid of this.#state.entries.keys())
      if (uid !== except && !active.has(uid)) {
        this.#logger.info("memory of a pod that is gone is free again", { podUid: uid });
        this.removePod(uid);
      }
  }

  #open(): [MemoryState, StaticMemoryPolicy] {
    const { checkpoint, numaNodes, reserved, onInvalidState } = this.#options;
    const open = (): [MemoryState, StaticMemoryPolicy] => {
      const state = new MemoryState(checkpoint);
      const policy = new StaticMemoryPolicy({ numaNodes, reserved, state });
      policy.start();
      return [state, policy];
    };
    return openState({
      checkpoint,
      key: STATE_KEY,
      what: "memory",
      onInvalidState,
      logger: this.#logger,
      open,
    });
  }
}
