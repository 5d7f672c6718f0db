// SPDX-License-Identifier: Apache-2.0
/*
 * Makes devices, CPUs and memory agree on a place before a pod is let in. kubelet: cm/topologymanager.
 *
 *   admit(pod) ── per container, or once per pod ──> hints of every provider ──> policy ──> hint kept ──> allocate of every provider
 *
 * Owns: the decided hint of each container. Reads: what providers say. Invariants: one pod at a time, from the first question to the last allocation;
 * a pod that is not admitted keeps no hint. Lost on a crash: the hints; providers keep what they allocated, and say so when the pod is asked about again.
 */
import { errorText } from "@holdfast/core/errors";
import { noMetrics } from "@holdfast/core/metrics";
import type { Counter, Metrics } from "@holdfast/core/metrics";
import { allContainers } from "@holdfast/core/pod";
import type { Container, Pod } from "@holdfast/core/pod-types";
import type { Clock } from "@holdfast/core/clock";
import type { NumaNode } from "../machine/machine-topology.ts";
import { ALIGNED_HELP, ALIGNED_METRIC, MISALIGNED_HELP, MISALIGNED_METRIC } from "./alignment-metrics.ts";
import type { HintProvider, TopologyHint } from "./hint.ts";
import { TopologyPolicy } from "./topology-policy.ts";
import type { TopologyPolicyName, TopologyPolicyOptions, TopologyScope } from "./topology-policy.ts";

/** How a {@link TopologyManager} is made. */
export interface TopologyManagerOptions {
  /** In the order of questions and allocations. kubelet: devices, CPUs, memory. */
  readonly providers: readonly HintProvider[];
  readonly numaNodes: readonly NumaNode[];
  readonly clock: Pick<Clock, "monotonic">;
  /** Default: none. */
  readonly policy?: TopologyPolicyName;
  /** Default: container. */
  readonly scope?: TopologyScope;
  readonly policyOptions?: TopologyPolicyOptions;
  readonly metrics?: Metrics;
}

/** Whether a pod may run here, in the kubelet's words. kubelet: lifecycle.PodAdmitResult. */
export type AdmitResult =
  | { readonly admit: true }
  | { readonly admit: false; readonly reason: string; readonly message: string };

/** kubelet: topologymanager.ErrorTopologyAffinity. */
export const TOPOLOGY_AFFINITY_ERROR = "TopologyAffinityError";
const TOPOLOGY_MESSAGE = "Resources cannot be allocated with Topology locality";
const ADMITTED: AdmitResult = { admit: true };
const NO_HINT: TopologyHint = { numaNodes: undefined, preferred: false };
/** In milliseconds, doubling. kubelet: topology_manager_admission_duration_ms. */
const DURATION_BUCKETS = Array.from({ length: 15 }, (_, index) => 0.05 * 2 ** index);

/** See the top of the file. */
export class TopologyManager {
  readonly #options: TopologyManagerOptions;
  readonly #policy: TopologyPolicy;
  readonly #hints = new Map<string, Map<string, TopologyHint>>();
  readonly #requests;
  readonly #errors;
  readonly #duration;
  readonly #aligned;
  readonly #misaligned;
  /** The admission that is under way. */
  #turn: Promise<unknown> = Promise.resolve();

  /** Throws `bad-input` (RESOURCE_TOPOLOGY_CONFIG) when the policy cannot work on this machine. */
  constructor(options: TopologyManagerOptions) {
    this.#options = options;
    const { policy = "none", policyOptions, metrics = noMetrics } = options;
    const defaults = { preferClosestNumaNodes: false, maxAllowableNumaNodes: 8 };
    this.#policy = new TopologyPolicy(policy, options.numaNodes, policyOptions ?? defaults);
    this.#requests = metrics.counter(
      "kubelet_topology_manager_admission_requests_total",
      "Pods that were asked about.",
    );
    this.#errors = metrics.counter(
      "kubelet_topology_manager_admission_errors_total",
      "Pods whose resources cannot be aligned.",
    );
    this.#requests.inc({}, 0);
    this.#errors.inc({}, 0);
    this.#aligned = metrics.counter(ALIGNED_METRIC, ALIGNED_HELP);
    this.#misaligned = metrics.counter(MISALIGNED_METRIC, MISALIGNED_HELP);
    this.#duration = metrics.histogram(
      "kubelet_topology_manager_admission_duration_ms",
      "How long it took, in milliseconds.",
      DURATION_BUCKETS,
    );
  }

  /**
   * Allocates everything that the pod asks for, or says why not. Never rejects. What a pod that was refused got until then, it still has:
   * the caller tells its providers to take it back. kubelet: Manager.Admit.
   */
  admit(pod: Pod): Promise<AdmitResult> {
    const turn = this.#turn.then(() => this.#admit(pod));
    this.#turn = turn;
    return turn;
  }

  /** The hint that was decided for a container; no opinion where none was. kubelet: GetAffinity. */
  affinity(podUid: string, container: string): TopologyHint {
    return this.#hints.get(podUid)?.get(container) ?? NO_HINT;
  }

  /** The pod has ended. */
  removePod(podUid: string): void {
    this.#hints.delete(podUid);
  }

  async #admit(pod: Pod): Promise<AdmitResult> {
    const { clock, scope = "container" } = this.#options;
    this.#requests.inc();
    const begun = clock.monotonic();
    let result: AdmitResult;
    try {
      result =
        this.#policy.name === "none"
          ? await this.#allocateAll(pod, () => NO_HINT)
          : scope === "pod"
            ? await this.#admitPod(pod)
            : await this.#admitContainers(pod);
    } catch (error) {
      // Without a policy nothing was to be aligned.
      if (this.#policy.name !== "none") this.#errors.inc();
      result = admissionError(error);
    }
    if (!result.admit) this.removePod(pod.metadata.uid);
    this.#duration.observe(clock.monotonic() - begun);
    return result;
  }

  async #admitPod(pod: Pod): Promise<AdmitResult> {
    const hints = [];
    for (const provider of this.#options.providers) hints.push(await provider.podTopologyHints(pod));
    const { hint, admit } = this.#policy.merge(hints);
    if (!admit) return this.#refused();
    const result = await this.#allocateAll(pod, () => hint);
    this.#count(this.#aligned);
    return result;
  }

  /** Later containers see what earlier ones got. */
  async #admitContainers(pod: Pod): Promise<AdmitResult> {
    for (const container of allContainers(pod.spec)) {
      const hints = [];
      for (const provider of this.#options.providers)
        hints.push(await provider.topologyHints(pod, container));
      const { hint, admit } = this.#policy.merge(hints);
      if (!admit) return this.#refused();
      await this.#allocate(pod, container, hint);
      this.#count(this.#aligned);
    }
    return ADMITTED;
  }

  async #allocateAll(pod: Pod, hintOf: () => TopologyHint): Promise<AdmitResult> {
    for (const container of allContainers(pod.spec)) await this.#allocate(pod, container, hintOf());
    return ADMITTED;
  }

  async #allocate(pod: Pod, container: Container, hint: TopologyHint): Promise<void> {
    if (this.#policy.name !== "none") {
      const known = this.#hints.get(pod.metadata.uid) ?? new Map<string, TopologyHint>();
      known.set(container.name, hint);
      this.#hints.set(pod.metadata.uid, known);
    }
    for (const provider of this.#options.providers) await provider.allocate(pod, container, hint);
  }

  /** Only where the policy promises it. kubelet: IsAlignmentGuaranteed. */
  #count(counter: Counter): void {
    const { scope = "container" } = this.#options;
    if (this.#policy.name === "single-numa-node") counter.inc({ scope, boundary: "numa_node" });
  }

  #refused(): AdmitResult {
    this.#errors.inc();
    this.#count(this.#misaligned);
    return { admit: false, reason: TOPOLOGY_AFFINITY_ERROR, message: TOPOLOGY_MESSAGE };
  }
}

/** An error that names its reason keeps it. kubelet: admission.GetPodAdmitResult. */
export function admissionError(error: unknown): AdmitResult & { readonly admit: false } {
  const reason = (error as { readonly admissionReason?: unknown } | null)?.admissionReason;
  if (typeof reason === "string" && error instanceof Error)
    return { admit: false, reason, message: error.message };
  return {
    admit: false,
    reason: "UnexpectedAdmissionError",
    message: `Allocate failed due to ${errorText(error)}, which is unexpected`,
  };
}
