// SPDX-License-Identifier: Apache-2.0
/*
 * Whether a pod may run on this node, and why not. kubelet: the chain of PodAdmitHandlers, lifecycle.predicateAdmitHandler, preemption.
 *
 *   handlers before (eviction, sysctls) ──> topology: devices, CPUs, memory ──> fit ──(critical)──> preemption ──> handlers after
 *
 * Owns: nothing but the order. Invariants: the first one that refuses decides; a pod that is refused holds nothing: what it had got is given back
 * (the kubelet leaves that to garbage collection). Lost on a crash: nothing; every pod is asked about again.
 */
import { nullPublisher } from "@holdfast/bus";
import type { Publisher } from "@holdfast/bus";
import type { Clock } from "@holdfast/core/clock";
import { errorText } from "@holdfast/core/errors";
import { withDeadline } from "@holdfast/core/lifecycle";
import { silentLogger } from "@holdfast/core/log";
import type { Logger } from "@holdfast/core/log";
import { noMetrics } from "@holdfast/core/metrics";
import type { Metrics } from "@holdfast/core/metrics";
import { formatPod } from "@holdfast/core/pod";
import type { Pod } from "@holdfast/core/pod-types";
import type { AdmitResult, TopologyManager } from "../topology/topology-manager.ts";
import { computeFit, isCriticalPod } from "./compute-fit.ts";
import type { CriticalOptions, FitOptions } from "./compute-fit.ts";
import { PodRefused } from "../events.ts";
import { computePreemption } from "./compute-preemption.ts";
import type { NodeInfo } from "./scheduling-spec.ts";

/** One more voice. kubelet: lifecycle.PodAdmitHandler. */
export interface AdmitHandler {
  readonly name: string;
  admit(pod: Pod, others: readonly Pod[]): AdmitResult | Promise<AdmitResult>;
}

/** How a {@link NodeAdmission} is made. */
export interface NodeAdmissionOptions {
  readonly clock: Pick<Clock, "timer">;
  /** Undefined while the node is not known. Devices that a pod holds must be in its allocatable. */
  readonly node: (pod: Pod) => NodeInfo | undefined;
  readonly fit?: FitOptions;
  /** Leave out where no resource has a place. */
  readonly topology?: Pick<TopologyManager, "admit" | "removePod">;
  /** Gives back what a pod holds: CPUs, memory, devices. */
  readonly release: (podUid: string) => void;
  /** Ends a pod and waits for it. kubelet: killPodNow, with the default grace. */
  readonly preempt?: (
    victim: Pod,
    text: { readonly reason: string; readonly message: string },
  ) => Promise<void>;
  /** Who is critical. */
  readonly critical?: CriticalOptions;
  /** Asked before resources are given: eviction, sysctls. */
  readonly before?: readonly AdmitHandler[];
  /** Asked last: AppArmor, node shutdown. */
  readonly after?: readonly AdmitHandler[];
  /** One victim may take so long to end; then the next one is ended. Default 60 s. */
  readonly preemptDeadlineMs?: number;
  /** Tells of refusals, each once. */
  readonly publish?: Publisher;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

const ADMITTED: AdmitResult = { admit: true };
const PREEMPTING = { reason: "Preempting", message: "Preempted in order to admit critical pod" };
const DEFAULT_PREEMPT_MS = 60_000;

/** See the top of the file. */
export class NodeAdmission {
  readonly #options: NodeAdmissionOptions;
  readonly #logger: Logger;
  readonly #rejections;
  readonly #preemptions;
  /** The last refusal that was told, by pod. Ends with the pod. */
  readonly #told = new Map<string, string>();

  constructor(options: NodeAdmissionOptions) {
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
    const { metrics = noMetrics } = options;
    this.#rejections = metrics.counter(
      "kubelet_admission_rejections_total",
      "Pods that were not let in, by reason.",
    );
    this.#preemptions = metrics.counter(
      "kubelet_preemptions",
      "Pods that were ended for a critical one, by what it lacked.",
    );
  }

  /** `others`: pods that are let in and have not ended, without this one. Never rejects. kubelet: canAdmitPod. */
  async admit(pod: Pod, others: readonly Pod[]): Promise<AdmitResult> {
    let result: AdmitResult;
    try {
      result = await this.#ask(pod, others);
    } catch (error) {
      result = { admit: false, reason: "UnexpectedAdmissionError", message: errorText(error) };
    }
    const { uid } = pod.metadata;
    if (result.admit) {
      this.#told.delete(uid);
      return result;
    }
    this.#giveBack(uid);
    this.tellRefused(pod, result);
    return result;
  }

  /** Counts and tells a refusal, once until it is another one or the pod comes in; also one of somebody whom the caller asks before this. */
  tellRefused(
    { metadata: { uid, namespace, name } }: Pod,
    { reason, message }: { readonly reason: string; readonly message: string },
  ): void {
    // One that waits is asked about again and again.
    if (this.#told.get(uid) === `${reason}: ${message}`) return;
    this.#told.set(uid, `${reason}: ${message}`);
    this.#rejections.inc({ reason: rejectionLabel(reason) });
    const subject = { podUid: uid, pod: `${namespace}/${name}` };
    (this.#options.publish ?? nullPublisher).publish(PodRefused, { reason, message }, { subject });
  }

  /** The pod has ended: what it had is free. Unknown is fine. */
  release(podUid: string): void {
    this.#told.delete(podUid);
    this.#giveBack(podUid);
  }

  #giveBack(podUid: string): void {
    this.#options.topology?.removePod(podUid);
    this.#options.release(podUid);
  }

  /**
   * A pod that runs already, before this agent's start: it keeps what it has, gets what it lacks where there is some, and is never refused. Never rejects.
   */
  async adopt(pod: Pod): Promise<void> {
    const result = (await this.#options.topology?.admit(pod)) ?? ADMITTED;
    if (!result.admit)
      this.#logger.warn("a pod that runs already cannot have resources of its own and goes on without", {
        pod: formatPod(pod),
        reason: result.reason,
        message: result.message,
      });
  }

  async #ask(pod: Pod, others: readonly Pod[]): Promise<AdmitResult> {
    const { before = [], after = [], topology } = this.#options;
    for (const handler of before) {
      const result = await handler.admit(pod, others);
      if (!result.admit) return result;
    }
    const placed = (await topology?.admit(pod)) ?? ADMITTED;
    if (!placed.admit) return placed;
    const fits = await this.#fit(pod, others);
    if (!fits.admit) return fits;
    for (const handler of after) {
      const result = await handler.admit(pod, others);
      if (!result.admit) return result;
    }
    return ADMITTED;
  }

  async #fit(pod: Pod, others: readonly Pod[]): Promise<AdmitResult> {
    const failures = computeFit(pod, this.#options.node(pod), others, this.#options.fit);
    if (failures.length === 0) return ADMITTED;
    const { preempt, critical } = this.#options;
    // Without anybody to be ended for it a critical pod is refused in the words of what it lacks.
    if (preempt === undefined || !isCriticalPod(pod, critical)) return refusal(failures);
    const plan = computePreemption(pod, failures, others, critical);
    if (plan.kind === "refuse") return refusal(plan.failures);
    // The kubelet tells here of its own failure to find victims; what the pod lacks tells people more.
    if (plan.kind === "impossible") return refusal(failures);
    for (const victim of plan.victims) await this.#preempt(pod, victim, plan.signal, preempt);
    return ADMITTED;
  }

  async #preempt(
    pod: Pod,
    victim: Pod,
    signal: string,
    preempt: NonNullable<NodeAdmissionOptions["preempt"]>,
  ): Promise<void> {
    this.#logger.warn("a pod is ended for a critical one", {
      pod: formatPod(victim),
      for: formatPod(pod),
      lacks: signal,
    });
    this.#preemptions.inc({ preemption_signal: signal });
    const { clock, preemptDeadlineMs = DEFAULT_PREEMPT_MS } = this.#options;
    try {
      await withDeadline(
        clock,
        preemptDeadlineMs,
        `preempting ${formatPod(victim)}`,
        preempt(victim, PREEMPTING),
      );
    } catch (error) {
      this.#logger.error("a pod that was to be ended for a critical one did not end in time", {
        pod: formatPod(victim),
        err: errorText(error),
      });
    }
  }
}

function refusal([first]: readonly { readonly reason: string; readonly message: string }[]): AdmitResult {
  if (first === undefined) return ADMITTED;
  return { admit: false, reason: first.reason, message: first.message };
}

const LABELS: ReadonlySet<string> = new Set(
  (
    "AppArmor PodOSSelectorNodeLabelDoesNotMatch PodOSNotSupported InvalidNodeInfo InitContainerRestartPolicyForbidden " +
    "SupplementalGroupsPolicyNotSupported UnexpectedAdmissionError UnknownReason UnexpectedPredicateFailureType OutOfcpu OutOfmemory " +
    "OutOfephemeral-storage OutOfpods PodLevelResourcesNotSupported PodFeatureUnsupported Evicted SysctlForbidden TopologyAffinityError " +
    "NodeShutdown VolumeAttachmentLimitExceeded"
  ).split(" "),
);

/** kubelet: admission_rejections_total's allowlist. */
export function rejectionLabel(reason: string): string {
  if (LABELS.has(reason)) return reason;
  return reason.startsWith("OutOf") ? "OutOfExtendedResources" : "Other";
}
