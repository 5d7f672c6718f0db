// SPDX-License-Identifier: Apache-2.0
/*
 * CPUs of their own for containers of Guaranteed pods that ask for whole cores; everything else shares the rest. kubelet: staticPolicy.
 *
 * Owns: assignments and the shared pool (in `CpuState`), and which CPUs a pod's init containers leave to its later ones. Invariants: no CPU belongs to two
 * containers, but those of one pod's plain init containers and what follows them; no assigned CPU is in the pool; reserved CPUs are never assigned.
 * Lost on a crash: what is reusable, which only matters within one admission.
 */
import { HoldfastError } from "@holdfast/core/errors";
import { isSidecar } from "@holdfast/core/pod";
import type { Container, Pod } from "@holdfast/core/pod-types";
import { AdmissionError } from "../admission/admission-error.ts";
import { CpuSet } from "../machine/cpu-set.ts";
import type { CpuTopology } from "../machine/machine-topology.ts";
import type { TopologyHint, TopologyHints } from "../topology/hint.ts";
import type { TopologyPolicyName } from "../topology/topology-policy.ts";
import { cpuTopologyHints } from "./cpu-hints.ts";
import { validateCpuPolicyOptions } from "./cpu-policy-options.ts";
import type { CpuPolicyOptions } from "./cpu-policy-options.ts";
import { stateError } from "./cpu-state.ts";
import type { CpuAssignments, CpuState } from "./cpu-state.ts";
import { guaranteedCpus, podGuaranteedCpus } from "./guaranteed-cpus.ts";
import { takeByTopology } from "./take-by-topology.ts";
import { takeDistributed } from "./take-distributed.ts";

/** How a {@link StaticCpuPolicy} is made. */
export interface StaticCpuPolicyOptions {
  readonly topology: CpuTopology;
  readonly state: CpuState;
  /** Of system, agent and eviction together, in thousandths; above 0. */
  readonly reservedMilliCpu: number;
  /** Exactly these are reserved; their number must fit. kubelet: reservedSystemCPUs. */
  readonly reservedCpus?: CpuSet;
  readonly options?: CpuPolicyOptions;
  /** Default: none. */
  readonly topologyPolicy?: TopologyPolicyName;
}

/** kubelet: cpumanager.ErrorSMTAlignment. */
export const SMT_ALIGNMENT_ERROR = "SMTAlignmentError";

/** See the top of the file. */
export class StaticCpuPolicy {
  readonly #topology: CpuTopology;
  readonly #state: CpuState;
  readonly #options: CpuPolicyOptions;
  /** Never assigned. */
  readonly reserved: CpuSet;
  /** All threads of cores that have a reserved one. */
  readonly #reservedCores: CpuSet;
  /** Of the one pod that is being admitted. kubelet: cpusToReuse. */
  #reusable: { readonly podUid: string; readonly cpus: CpuSet } | undefined;

  /** Throws `bad-input` (RESOURCE_CPU_CONFIG) on reservations and options that do not fit the machine. kubelet: NewStaticPolicy. */
  constructor({ topology, state, reservedMilliCpu, reservedCpus, ...rest }: StaticCpuPolicyOptions) {
    this.#topology = topology;
    this.#state = state;
    this.#options = rest.options ?? {};
    validateCpuPolicyOptions(this.#options, topology, rest.topologyPolicy ?? "none");
    const count = Math.ceil(reservedMilliCpu / 1000);
    if (count <= 0)
      throw badReservation(
        "the static policy requires systemreserved.cpu + kubereserved.cpu to be greater than zero",
      );
    this.reserved =
      reservedCpus !== undefined && reservedCpus.size > 0
        ? reservedCpus
        : this.#take(topology.all, Math.min(count, topology.all.size));
    const online = this.reserved.intersection(topology.all);
    if (this.reserved.size !== count || online.size !== count)
      throw badReservation(
        `unable to reserve the required amount of CPUs (size of "${String(online)}" did not equal ${count})`,
      );
    const cores = topology.idsOf("core", this.reserved);
    this.#reservedCores = topology.cpusOfAll("core", cores);
  }

  /** Checks what was kept against the machine; fills an empty state. Throws `permanent` (RESOURCE_STATE). kubelet: validateState. */
  start(): void {
    const { defaultSet, assignments } = this.#state;
    const strict = this.#options.strictCpuReservation === true;
    const machine = strict ? this.#topology.all.difference(this.reserved) : this.#topology.all;
    if (defaultSet.size === 0) {
      // With strict reservation nothing is left when everything is given away: that is no damage.
      if (strict && machine.equals(unionOf(assignments))) return;
      if (assignments.size > 0) throw stateError("default cpuset cannot be empty");
      this.#state.setDefault(machine);
      return;
    }
    const present = this.reserved.intersection(defaultSet);
    const texts = `"${String(this.reserved)}" are present in defaultCpuSet: "${String(defaultSet)}"`;
    if (strict && present.size > 0) throw stateError(`some of strictly reserved cpus: ${texts}`);
    if (!strict && !present.equals(this.reserved)) throw stateError(`not all reserved cpus: ${texts}`);
    const known = defaultSet.union(unionOf(assignments));
    for (const [pod, containers] of assignments)
      for (const [container, cpus] of containers) {
        if (cpus.intersection(defaultSet).size > 0)
          throw stateError(
            `pod: ${pod}, container: ${container} cpuset: "${String(cpus)}" overlaps with default cpuset "${String(defaultSet)}"`,
          );
      }
    if (!known.equals(machine))
      throw stateError(
        `current set of available CPUs "${String(machine)}" doesn't match with CPUs in state "${String(known)}"`,
      );
  }

  /** May be assigned to containers, used or not. */
  get allocatable(): CpuSet {
    return this.#topology.all.difference(this.reserved);
  }

  /** kubelet: GetTopologyHints. */
  topologyHints(pod: Pod, container: Container): TopologyHints {
    const requested = guaranteedCpus(pod, container);
    if (requested === 0) return new Map();
    const held = this.#state.get(pod.metadata.uid, container.name);
    if (held === undefined) return this.#hints(this.#available, this.#reusableOf(pod), requested);
    if (held.size !== requested) return new Map([["cpu", []]]);
    return this.#hints(held, CpuSet.empty, requested);
  }

  /** kubelet: GetPodTopologyHints. */
  podTopologyHints(pod: Pod): TopologyHints {
    const requested = podGuaranteedCpus(pod);
    if (requested === 0) return new Map();
    let assigned = CpuSet.empty;
    for (const container of [...(pod.spec.initContainers ?? []), ...pod.spec.containers]) {
      const held = this.#state.get(pod.metadata.uid, container.name);
      if (held === undefined) continue;
      if (held.size !== guaranteedCpus(pod, container)) return new Map([["cpu", []]]);
      assigned = assigned.union(held);
    }
    if (assigned.size === requested) return this.#hints(assigned, CpuSet.empty, requested);
    return this.#hints(this.#available, this.#reusableOf(pod).union(assigned), requested);
  }

  /**
   * Assigns CPUs, under this hint; returns whether it did. A container that has its CPUs keeps them. Throws `SMTAlignmentError` as the
   * admission's reason, or `retryable` (RESOURCE_CPUS). kubelet: Allocate.
   */
  allocate(pod: Pod, container: Container, hint: TopologyHint): boolean {
    const requested = guaranteedCpus(pod, container);
    if (requested === 0) return false;
    const { uid } = pod.metadata;
    const held = this.#state.get(uid, container.name);
    if (held !== undefined) {
      this.#updateReusable(pod, container, held);
      return false;
    }
    if (this.#options.fullPcpusOnly === true) this.#checkFullCores(requested, this.#reusableOf(pod));
    const chosen = this.#chooseAligned(requested, hint, this.#available.union(this.#reusableOf(pod)));
    this.#state.assign(uid, container.name, chosen, this.#state.defaultSet.difference(chosen));
    this.#updateReusable(pod, container, chosen);
    return true;
  }

  /** Ends an assignment: what no other container of the pod uses goes back to the pool. kubelet: RemoveContainer. */
  release(podUid: string, container: string): void {
    // A pod that was refused comes again with the same UID: what it does not hold any more cannot be reused.
    if (this.#reusable?.podUid === podUid) this.#reusable = undefined;
    const held = this.#state.get(podUid, container);
    if (held === undefined) return;
    let freed = held;
    for (const [sibling, cpus] of this.#state.assignments.get(podUid) ?? [])
      if (sibling !== container) freed = freed.difference(cpus);
    this.#state.release(podUid, container, this.#state.defaultSet.union(freed));
  }

  /** Whether these are whole cores, or lie in one node or cache. */
  isAligned(level: "core" | "numaNode" | "uncore", cpus: CpuSet): boolean {
    if (level === "core")
      return this.#topology.cpusOfAll("core", this.#topology.idsOf("core", cpus)).size === cpus.size;
    return this.#topology.idsOf(level, cpus).length === 1;
  }

  get #available(): CpuSet {
    return this.#state.defaultSet.difference(this.reserved);
  }

  #hints(available: CpuSet, reusable: CpuSet, requested: number): TopologyHints {
    const alignBySocket = this.#options.alignBySocket === true;
    return new Map([
      ["cpu", cpuTopologyHints({ topology: this.#topology, available, reusable, requested, alignBySocket })],
    ]);
  }

  #checkFullCores(requested: number, reusable: CpuSet): void {
    const { cpusPerCore } = this.#topology;
    if (requested % cpusPerCore !== 0)
      throw new AdmissionError(
        SMT_ALIGNMENT_ERROR,
        `SMT Alignment Error: requested ${requested} cpus not multiple cpus per core = ${cpusPerCore}`,
      );
    const free = this.#state.defaultSet.difference(this.#reservedCores).union(reusable).size;
    if (requested > free) throw this.#tooFewCores(requested, free);
  }

  #tooFewCores(requested: number, free: number): AdmissionError {
    const { cpusPerCore } = this.#topology;
    const figures = `available physical CPUs = ${free}, requested CPUs = ${requested}, CPUs per core = ${cpusPerCore}`;
    const text = `SMT Alignment Error: not enough free physical CPUs: ${figures}`;
    return new AdmissionError(SMT_ALIGNMENT_ERROR, text);
  }

  /**
   * Where whole cores are promised, they are given also where counting alone does not see to it: when the hint's nodes have a single thread to
   * spare, and where cores have different numbers of threads.
   */
  #chooseAligned(count: number, hint: TopologyHint, allocatable: CpuSet): CpuSet {
    const chosen = this.#choose(count, hint, allocatable);
    if (this.#options.fullPcpusOnly !== true || this.isAligned("core", chosen)) return chosen;
    const whole = allocatable.filter((cpu) => {
      const core = this.#topology.get(cpu)?.core ?? cpu;
      return this.#topology.cpusOf("core", core).isSubsetOf(allocatable);
    });
    if (whole.size < count) throw this.#tooFewCores(count, whole.size);
    const again = this.#choose(count, hint, whole);
    if (!this.isAligned("core", again)) throw this.#tooFewCores(count, whole.size);
    return again;
  }

  /** First what lies where the hint says, then the rest from anywhere. kubelet: allocateCPUs. */
  #choose(count: number, hint: TopologyHint, allocatable: CpuSet): CpuSet {
    let chosen = CpuSet.empty;
    if (hint.numaNodes !== undefined) {
      const aligned = this.#alignedTo(hint.numaNodes).intersection(allocatable);
      chosen = this.#take(aligned, Math.min(count, aligned.size));
    }
    return chosen.union(this.#take(allocatable.difference(chosen), count - chosen.size));
  }

  #alignedTo(numaNodes: readonly number[]): CpuSet {
    const near = this.#topology.cpusOfAll("numaNode", numaNodes);
    if (this.#options.alignBySocket !== true) return near;
    return this.#topology.cpusOfAll("socket", this.#topology.idsOf("socket", near));
  }

  #take(available: CpuSet, count: number): CpuSet {
    const {
      distributeCpusAcrossNuma,
      fullPcpusOnly,
      distributeCpusAcrossCores,
      preferAlignCpusByUncoreCache,
    } = this.#options;
    if (distributeCpusAcrossNuma === true) {
      const group = fullPcpusOnly === true ? this.#topology.cpusPerCore : 1;
      return takeDistributed(this.#topology, available, count, group);
    }
    return takeByTopology(this.#topology, available, count, {
      spread: distributeCpusAcrossCores === true,
      alignByUncore: preferAlignCpusByUncoreCache === true,
    });
  }

  #reusableOf({ metadata: { uid } }: Pod): CpuSet {
    return this.#reusable?.podUid === uid ? this.#reusable.cpus : CpuSet.empty;
  }

  /** What a plain init container has, its followers may have; what runs on, nobody may. kubelet: updateCPUsToReuse. */
  #updateReusable(pod: Pod, container: Container, cpus: CpuSet): void {
    const before = this.#reusableOf(pod);
    const init = (pod.spec.initContainers ?? []).find(({ name }) => name === container.name);
    const plain = init !== undefined && !isSidecar(init);
    this.#reusable = { podUid: pod.metadata.uid, cpus: plain ? before.union(cpus) : before.difference(cpus) };
  }
}

function unionOf(assignments: CpuAssignments): CpuSet {
  return new CpuSet([...assignments.values()].flatMap((of) => [...of.values()].flatMap(({ ids }) => ids)));
}

function badReservation(text: string): HoldfastError {
  return new HoldfastError("RESOURCE_CPU_CONFIG", "bad-input", text);
}
