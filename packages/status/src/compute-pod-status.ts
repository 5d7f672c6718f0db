// SPDX-License-Identifier: Apache-2.0

/** The API status of a pod from everything that is known of it. Pure: no clock, no memory. kubelet: generateAPIPodStatus (kubelet_pods.go). */
import { WAITING_CONDITION } from "@holdfast/core/names";
import { isSidecar, podQosClass } from "@holdfast/core/pod";
import type { Pod, PodCondition, PodPhase, PodStatus } from "@holdfast/core/pod-types";
import type { RuntimePodStatus } from "@holdfast/core/runtime-status";
import type { AllocatedResourceStatus, ApiContainerStatus, ApiPodStatus } from "./api-types.ts";
import { findCondition } from "./api-types.ts";
import { computeContainerStatuses } from "./compute-container-statuses.ts";
import type { ContainerStatusLists } from "./compute-container-statuses.ts";
import { computePodConditions } from "./compute-pod-conditions.ts";
import {
  computePodPhase,
  hasAnyActiveRegularContainer,
  isStaticPod,
  isTerminalPhase,
} from "./compute-pod-phase.ts";
import { computeReadinessHold } from "./compute-readiness.ts";
import type { Cordon } from "./compute-readiness.ts";
import { resizeConditionList } from "./compute-resize-conditions.ts";
import type { ResizeConditions } from "./compute-resize-conditions.ts";
import { computeRestartingAll } from "./compute-restart-rules.ts";
import { computeConditionTimes, computeLegalStatuses } from "./compute-transitions.ts";
import { DISRUPTION_TARGET } from "./condition-owners.ts";
import type { PodStatusOptions, ProbeVerdicts } from "./ports.ts";
import { normalizePodStatus } from "./normalize-pod-status.ts";
import { formatTime } from "./status-time.ts";

/** What {@link generateApiPodStatus} reads. */
export interface PodStatusInput extends PodStatusOptions {
  readonly pod: Pod;
  readonly runtime: RuntimePodStatus;
  /** The last status set, else what the API or the disk has. */
  readonly previous: PodStatus | undefined;
  /** Wall milliseconds: `startTime` of a new pod, `lastTransitionTime` of what changed. */
  readonly now: number;
  /** Primary address of the node first, at most one more of the other family. Empty: unknown. */
  readonly hostIPs: readonly string[];
  readonly probes?: ProbeVerdicts | undefined;
  /** Health of the devices of the pod's own containers. */
  readonly devices?:
    | { allocatedResourcesStatus(podUid: string, container: string): readonly AllocatedResourceStatus[] }
    | undefined;
  /** Default `containerd`. */
  readonly runtimeName?: string;
  /** Who took the pod out of traffic. */
  readonly cordon?: Cordon | undefined;
  readonly resize?: ResizeConditions | undefined;
}

/** The status, and which containers' new state was refused as impossible. */
export interface GeneratedPodStatus {
  readonly status: ApiPodStatus;
  readonly refused: readonly string[];
}

/** Composes container statuses, phase, conditions and addresses. Calling it again with its own result as `previous` changes nothing. */
export function generateApiPodStatus(input: PodStatusInput): GeneratedPodStatus {
  const { pod, previous } = input;
  const restartingAll = computeRestartingAll(pod, input.runtime, previous);
  const legal = computeLegalStatuses(pod, computeContainerStatuses({ ...input, restartingAll }), previous);
  const statuses = fillProbeVerdicts(input, legal);
  const phase = phaseOf(input, statuses);
  const now = formatTime(input.now);
  const observed = Math.max(pod.metadata.generation ?? 0, previous?.observedGeneration ?? 0);
  const status: ApiPodStatus = {
    phase,
    conditions: conditionsOf(input, statuses, phase, restartingAll),
    ...reasonOf(input, phase),
    ...addressesOf(input),
    startTime: previous?.startTime ?? now,
    ...(statuses.init.length === 0 ? {} : { initContainerStatuses: [...statuses.init] }),
    containerStatuses: statuses.regular.map((container) => withDeviceHealth(input, container)),
    ...(statuses.ephemeral === undefined ? {} : { ephemeralContainerStatuses: [...statuses.ephemeral] }),
    qosClass: podQosClass(pod.spec),
    ...(observed === 0 ? {} : { observedGeneration: observed }),
  };
  return { status: normalizePodStatus(pod, status), refused: legal.refused };
}

/** kubelet: UpdateAllocatedResourcesStatus; of the pod's own containers only. */
function withDeviceHealth(
  { devices, pod }: PodStatusInput,
  container: ApiContainerStatus,
): ApiContainerStatus {
  const known = devices?.allocatedResourcesStatus(pod.metadata.uid, container.name) ?? [];
  return known.length === 0 ? container : { ...container, allocatedResourcesStatus: known };
}

/** In the kubelet's order: others', resizes, a disruption, then those that the statuses say. */
function conditionsOf(
  input: PodStatusInput,
  statuses: ContainerStatusLists,
  phase: PodPhase,
  restartingAll: boolean,
): PodCondition[] {
  const { pod, previous, failed } = input;
  // kubelet: HandleAdmissionFailure: who has to go for a critical pod.
  const preempted =
    failed?.reason === "Preempting" ? { ...failed, reason: "TerminationByKubelet" } : undefined;
  const disruption = input.disruption ?? preempted;
  const others = apiStatus(pod)?.conditions ?? previous?.conditions ?? [];
  const terminating =
    input.terminating === true || input.podIsTerminal || pod.metadata.deletionTimestamp !== undefined;
  const computed = computePodConditions(pod, statuses, phase, input.runtime, {
    others,
    hold: computeReadinessHold(pod, { terminating, cordon: input.cordon }),
    restartingAll,
    wasInitialized: findCondition(previous?.conditions, "Initialized")?.status === "True",
  });
  const { generation } = pod.metadata;
  const observe = (condition: PodCondition): PodCondition =>
    generation === undefined ? condition : { ...condition, observedGeneration: generation };
  const disrupted: PodCondition[] =
    disruption === undefined ? [] : [{ type: DISRUPTION_TARGET, status: "True", ...pick(disruption) }];
  const waits: PodCondition[] =
    input.waiting === undefined || isTerminalPhase(phase)
      ? []
      : [{ type: WAITING_CONDITION, status: "True", ...pick(input.waiting) }];
  const resizes =
    input.resize === undefined || isTerminalPhase(phase) ? [] : resizeConditionList(input.resize);
  return computeConditionTimes(
    [...resizes, ...[...disrupted, ...computed, ...waits].map(observe)],
    previous?.conditions,
    formatTime(input.now),
    others,
  );
}

/** kubelet: prober.UpdatePodStatus. */
function fillProbeVerdicts(input: PodStatusInput, statuses: ContainerStatusLists): ContainerStatusLists {
  const fill = (status: ApiContainerStatus): ApiContainerStatus => {
    const started = isStarted(input, status);
    return { ...status, started, ready: started && isReady(input, status) };
  };
  return {
    init: statuses.init.map((status) => {
      const container = input.pod.spec.initContainers?.find(({ name }) => name === status.name);
      if (container !== undefined && isSidecar(container)) return fill(status);
      return {
        ...status,
        started: isStarted(input, status),
        ready: status.state.terminated?.exitCode === 0,
      };
    }),
    regular: statuses.regular.map(fill),
    // The kubelet never fills these in: nothing probes them, and nobody counts on them.
    ...(statuses.ephemeral === undefined ? {} : { ephemeral: statuses.ephemeral }),
  };
}

function isStarted({ pod, probes }: PodStatusInput, status: ApiContainerStatus): boolean {
  if (status.state.running === undefined) return false;
  if (probes === undefined) return true;
  const verdict = probes.startup(runtimeId(status));
  if (verdict !== undefined) return verdict === "success";
  return status.started === true || !probes.watches(pod.metadata.uid, status.name, "startup");
}

function isReady({ pod, probes }: PodStatusInput, status: ApiContainerStatus): boolean {
  if (probes === undefined) return true;
  if (probes.readiness(runtimeId(status)) === "success") return true;
  return !probes.watches(pod.metadata.uid, status.name, "readiness");
}

function runtimeId(status: ApiContainerStatus): string {
  const id = status.containerID ?? "";
  const scheme = id.indexOf("://");
  return scheme === -1 ? id : id.slice(scheme + 3);
}

function phaseOf(input: PodStatusInput, statuses: ContainerStatusLists): PodPhase {
  const { pod, runtime, previous } = input;
  for (const old of [previous?.phase, apiStatus(pod)?.phase])
    if (old !== undefined && isTerminalPhase(old)) return old;
  const computed = computePodPhase(pod, statuses, {
    podIsTerminal: input.podIsTerminal,
    podHasInitialized: hasAnyActiveRegularContainer(pod, runtime),
  });
  return input.failed === undefined || isTerminalPhase(computed) ? computed : "Failed";
}

/** A status in a manifest file is somebody's copy of another pod's; only the API's means anything. */
export function apiStatus(pod: Pod): PodStatus | undefined {
  return isStaticPod(pod) ? undefined : pod.status;
}

/** Kept while the phase is; a Pending pod's reason is that of now, so that it goes when what it waited for came. */
function reasonOf(input: PodStatusInput, phase: PodPhase): Pick<PodStatus, "reason" | "message"> {
  const { previous, pod } = input;
  if (phase === "Pending") return pick(input.waiting ?? apiStatus(pod));
  if (phase === "Failed" && input.failed !== undefined && !isTerminalPhase(previous?.phase))
    return pick(input.failed);
  if (previous?.phase !== phase) return {};
  return pick({
    reason: previous.reason ?? apiStatus(pod)?.reason,
    message: previous.message ?? apiStatus(pod)?.message,
  });
}

function pick(
  from: { readonly reason?: string | undefined; readonly message?: string | undefined } | undefined,
): Pick<PodStatus, "reason" | "message"> {
  return {
    ...(from?.reason === undefined || from.reason === "" ? {} : { reason: from.reason }),
    ...(from?.message === undefined || from.message === "" ? {} : { message: from.message }),
  };
}

const isIpv6 = (ip: string): boolean => ip.includes(":");

/** At most one address per family, the node's primary family first. kubelet: sortPodIPs. */
export function sortPodIps(ips: readonly string[], nodeIsIpv6: boolean): readonly string[] {
  const primary = ips.find((ip) => isIpv6(ip) === nodeIsIpv6);
  const secondary = ips.find((ip) => isIpv6(ip) !== nodeIsIpv6);
  return [primary, secondary].filter((ip) => ip !== undefined);
}

/** The node's primary address, and the first of the other family. */
function addressesOf(input: PodStatusInput): Pick<PodStatus, "hostIP" | "hostIPs" | "podIP" | "podIPs"> {
  const { pod, runtime, previous, hostIPs: nodeIPs } = input;
  const hostIPs = sortPodIps(nodeIPs, isIpv6(nodeIPs[0] ?? ""));
  const old = previous?.podIPs?.map(({ ip }) => ip) ?? [];
  let ips = sortPodIps(runtime.ips, isIpv6(hostIPs[0] ?? ""));
  if (pod.spec.hostNetwork === true) ips = hostNetworkIps(old, hostIPs);
  // A sandbox that has died has no address any more; the pod that ended still shows the one it had.
  else if (ips.length === 0 && !runtime.sandboxes.some(({ state }) => state === "ready")) ips = old;
  const [hostIP] = hostIPs;
  const [podIP] = ips;
  return {
    ...(hostIP === undefined ? {} : { hostIP, hostIPs: hostIPs.map((ip) => ({ ip })) }),
    ...(podIP === undefined ? {} : { podIP, podIPs: ips.map((ip) => ({ ip })) }),
  };
}

/** Set once; only a second family that was missing is added. */
function hostNetworkIps(old: readonly string[], hostIPs: readonly string[]): readonly string[] {
  const [first] = old;
  if (first === undefined) return hostIPs;
  const second = hostIPs.find((ip) => isIpv6(ip) !== isIpv6(first));
  return old.length === 1 && hostIPs.length === 2 && second !== undefined ? [first, second] : old;
}
