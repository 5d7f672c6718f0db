// SPDX-License-Identifier: Apache-2.0
/*
 * Which pods go so that a critical one can come. Pure. kubelet: pkg/kubelet/preemption.
 */
import { podQosClass } from "@holdfast/core/pod";
import type { Pod, QosClass } from "@holdfast/core/pod-types";
import { isCriticalPod } from "./compute-fit.ts";
import type { CriticalOptions, FitFailure } from "./compute-fit.ts";
import { podRequests } from "./pod-requests.ts";
import type { ResourceAmounts } from "./pod-requests.ts";

/** What becomes of a pod that does not fit. */
export type PreemptionPlan =
  | { readonly kind: "refuse"; readonly failures: readonly FitFailure[] }
  /** It fits once these are gone. */
  | { readonly kind: "preempt"; readonly victims: readonly Pod[]; readonly signal: string }
  /** It is critical, and nobody's end would help. */
  | { readonly kind: "impossible"; readonly message: string };

/** Amounts that are still missing, by resource, none of them zero. */
type Requirements = ResourceAmounts;

interface Candidate {
  readonly pod: Pod;
  readonly requests: ResourceAmounts;
}

/** kubelet: CriticalPodAdmissionHandler.HandleAdmissionFailure. `running`: pods that could be ended. */
export function computePreemption(
  pod: Pod,
  failures: readonly FitFailure[],
  running: readonly Pod[],
  options: CriticalOptions = {},
): PreemptionPlan {
  if (!isCriticalPod(pod, options)) return { kind: "refuse", failures };
  const others = failures.filter(({ shortage }) => shortage === undefined);
  if (others.length > 0) return { kind: "refuse", failures: others };
  const needs = failures.flatMap(({ shortage }) => (shortage === undefined ? [] : [shortage]));
  const missing = new Map(
    needs.map(
      ({ resource, requested, used, capacity }) => [resource, requested - (capacity - used)] as const,
    ),
  );
  const victims = podsToPreempt(pod, running, missing, options);
  if (typeof victims === "string") {
    const message = `Unexpected error while attempting to recover from admission failure: preemption: error finding a set of pods to preempt: ${victims}`;
    return { kind: "impossible", message };
  }
  return { kind: "preempt", victims, signal: needs[0]?.resource ?? "" };
}

/** kubelet: Preemptable. Priorities are compared where both have one, also of static pods. */
export function isPreemptable(preemptor: Pod, victim: Pod, options: CriticalOptions = {}): boolean {
  if (isCriticalPod(preemptor, options) && !isCriticalPod(victim, options)) return true;
  const [mine, its] = [preemptor.spec.priority, victim.spec.priority];
  return mine !== undefined && its !== undefined && mine > its;
}

/** As few and as unimportant pods as free `missing`; a text when even all would not. kubelet: getPodsToPreempt. */
export function podsToPreempt(
  preemptor: Pod,
  running: readonly Pod[],
  missing: Requirements,
  options: CriticalOptions = {},
): readonly Pod[] | string {
  const candidates = running
    .filter(({ metadata }) => metadata.uid !== preemptor.metadata.uid)
    .filter((pod) => isPreemptable(preemptor, pod, options))
    .map((pod) => ({ pod, requests: podRequests(pod) }));
  const unmet = subtract(missing, candidates);
  if (unmet.size > 0) return noSet(unmet);
  const of = (qos: QosClass): readonly Candidate[] =>
    candidates.filter(({ pod }) => podQosClass(pod.spec) === qos);
  const [bestEffort, burstable] = [of("BestEffort"), of("Burstable")];
  const guaranteedGo = nearest(of("Guaranteed"), subtract(missing, [...bestEffort, ...burstable]));
  const burstableGo = nearest(burstable, subtract(missing, [...bestEffort, ...guaranteedGo]));
  const bestEffortGo = nearest(bestEffort, subtract(missing, [...burstableGo, ...guaranteedGo]));
  return [...bestEffortGo, ...burstableGo, ...guaranteedGo].map(({ pod }) => pod);
}

/** Again and again the one that comes nearest to what is missing. kubelet: getPodsToPreemptByDistance. */
function nearest(candidates: readonly Candidate[], missing: Requirements): readonly Candidate[] {
  const left = [...candidates];
  const chosen: Candidate[] = [];
  for (let needs = missing; needs.size > 0 && left.length > 0;) {
    let best = 0;
    for (let index = 1; index < left.length; index++) {
      const [one, other] = [left[index] as Candidate, left[best] as Candidate];
      const difference = distance(needs, one) - distance(needs, other);
      if (difference < 0 || (difference === 0 && isSmaller(one, other))) best = index;
    }
    const victim = left[best] as Candidate;
    chosen.push(victim);
    needs = subtract(needs, [victim]);
    // The last one takes its place, as in the kubelet: it decides between equals.
    left[best] = left.at(-1) as Candidate;
    left.pop();
  }
  return chosen;
}

/** kubelet: admissionRequirementList.distance. */
function distance(needs: Requirements, { requests }: Candidate): number {
  let sum = 0;
  for (const [name, amount] of needs) sum += (Math.max(0, amount - (requests.get(name) ?? 0)) / amount) ** 2;
  return sum;
}

/** kubelet: smallerResourceRequest. */
function isSmaller(a: Candidate, b: Candidate): boolean {
  for (const name of ["memory", "cpu"]) {
    const difference = (a.requests.get(name) ?? 0) - (b.requests.get(name) ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return true;
}

/** kubelet: admissionRequirementList.subtract. */
function subtract(needs: Requirements, candidates: readonly Candidate[]): Requirements {
  const left = new Map<string, number>();
  for (const [name, amount] of needs) {
    const rest = candidates.reduce((sum, { requests }) => sum - (requests.get(name) ?? 0), amount);
    if (rest > 0) left.set(name, rest);
  }
  return left;
}

function noSet(unmet: Requirements): string {
  const list = [...unmet].map(([name, amount]) => `(res: ${name}, q: ${amount}), `).join("");
  return `no set of running pods found to reclaim resources: [${list}]`;
}
