// SPDX-License-Identifier: Apache-2.0

/** Formulas of the kubelet's container manager, case by case (facts part 3, sections 4.3 to 4.6). */
import type { Container, Pod, PodSpec } from "@holdfast/core/pod-types";
import { isSidecar, podQosClass } from "@holdfast/core/pod";
import { milliValue, wholeValue } from "@holdfast/core/quantity";

/** The kernel's bounds for cpu.shares. */
const MIN_SHARES = 2;
const MAX_SHARES = 262_144;
const MIN_QUOTA_US = 1000;

/** kubelet: MilliCPUToShares. */
export function milliCpuToShares(milli: number): number {
  return milli === 0
    ? MIN_SHARES
    : Math.min(Math.max(Math.floor((milli * 1024) / 1000), MIN_SHARES), MAX_SHARES);
}

/** In microseconds; 0 means unset. kubelet: MilliCPUToQuota. */
export function milliCpuToQuota(milli: number, periodUs: number): number {
  return milli === 0 ? 0 : Math.max(Math.floor((milli * periodUs) / 1000), MIN_QUOTA_US);
}

/** cgroup v2 weight of v1 shares. kubelet: CpuSharesToCpuWeight. */
export function sharesToWeight(shares: number): number {
  return shares >= MAX_SHARES ? 10_000 : 1 + Math.floor(((shares - 2) * 9999) / 262_142);
}

/** One resource of one container; undefined when it is not set. Requests default to limits. */
export function quantityOf(
  container: Container,
  kind: "requests" | "limits",
  resource: "cpu" | "memory",
): number | undefined {
  const { requests, limits } = container.resources ?? {};
  const value = kind === "requests" ? (requests?.[resource] ?? limits?.[resource]) : limits?.[resource];
  if (value === undefined) return undefined;
  return resource === "cpu" ? milliValue(value) : wholeValue(value);
}

/**
 * What the pod as a whole asks for: containers and sidecars summed, the largest init step by maximum. kubelet: PodRequests, PodLimits.
 */
export function podTotal(spec: PodSpec, kind: "requests" | "limits", resource: "cpu" | "memory"): number {
  const of = (container: Container): number => quantityOf(container, kind, resource) ?? 0;
  let sidecars = 0;
  let largestStep = 0;
  for (const init of spec.initContainers ?? []) {
    if (isSidecar(init)) {
      sidecars += of(init);
      largestStep = Math.max(largestStep, sidecars);
    } else largestStep = Math.max(largestStep, sidecars + of(init));
  }
  const running = spec.containers.reduce((sum, container) => sum + of(container), sidecars);
  return Math.max(running, largestStep);
}

/** What is written into a pod's cgroup; undefined is left alone. */
export interface PodCgroupValues {
  readonly cpuShares: number;
  readonly cpuQuotaUs: number | undefined;
  readonly cpuPeriodUs: number;
  readonly memoryLimitBytes: number | undefined;
  readonly pidsLimit: number | undefined;
}

/** Settings of the agent that resources depend on. */
export interface ResourceSettings {
  readonly cpuCFSQuota: boolean;
  readonly cpuCFSQuotaPeriodMs: number;
  readonly podPidsLimit: number;
  /** Memory of the machine in bytes. */
  readonly memoryBytes: number;
}

/** kubelet: ResourceConfigForPod. A limit holds for the pod only when every container has one. */
export function computePodCgroup(spec: PodSpec, settings: ResourceSettings): PodCgroupValues {
  const qos = podQosClass(spec);
  const periodUs = settings.cpuCFSQuotaPeriodMs * 1000;
  const limited = (resource: "cpu" | "memory"): boolean =>
    [...spec.containers, ...(spec.initContainers ?? [])].every(
      (container) => (quantityOf(container, "limits", resource) ?? 0) > 0,
    );
  const cpuLimited = qos === "Guaranteed" || (qos === "Burstable" && limited("cpu"));
  const memoryLimited = qos === "Guaranteed" || (qos === "Burstable" && limited("memory"));
  const quota = cpuLimited ? milliCpuToQuota(podTotal(spec, "limits", "cpu"), periodUs) : undefined;
  return {
    cpuShares: qos === "BestEffort" ? MIN_SHARES : milliCpuToShares(podTotal(spec, "requests", "cpu")),
    cpuQuotaUs: settings.cpuCFSQuota ? quota : -1,
    cpuPeriodUs: periodUs,
    memoryLimitBytes: memoryLimited ? podTotal(spec, "limits", "memory") : undefined,
    pidsLimit: settings.podPidsLimit > 0 ? settings.podPidsLimit : undefined,
  };
}

/** `LinuxContainerResources` of the CRI as plain numbers; 0 means not set. */
export interface ContainerResources {
  readonly cpuPeriod: number;
  readonly cpuQuota: number;
  readonly cpuShares: number;
  readonly memoryLimitInBytes: number;
  readonly oomScoreAdj: number;
  readonly cpusetCpus: string;
  readonly cpusetMems: string;
  readonly unified: Readonly<Record<string, string>>;
}

/** kubelet: generateLinuxContainerResources. On cgroup v2 the whole container dies of an OOM, as in the kubelet. */
export function computeContainerResources(
  pod: Pod,
  container: Container,
  settings: ResourceSettings,
  cgroupVersion: 1 | 2,
): ContainerResources {
  const periodUs = settings.cpuCFSQuotaPeriodMs * 1000;
  return {
    cpuShares: milliCpuToShares(quantityOf(container, "requests", "cpu") ?? 0),
    cpuPeriod: settings.cpuCFSQuota ? periodUs : 0,
    cpuQuota: settings.cpuCFSQuota
      ? milliCpuToQuota(quantityOf(container, "limits", "cpu") ?? 0, periodUs)
      : 0,
    memoryLimitInBytes: quantityOf(container, "limits", "memory") ?? 0,
    oomScoreAdj: computeOomScoreAdj(pod, container, settings.memoryBytes),
    cpusetCpus: "",
    cpusetMems: "",
    unified: cgroupVersion === 2 ? { "memory.oom.group": "1" } : {},
  };
}

const CRITICAL_PRIORITY = 2_000_000_000;

/** kubelet: qos.GetContainerOOMScoreAdjust. */
export function computeOomScoreAdj(pod: Pod, container: Container, memoryBytes: number): number {
  const critical = (pod.spec.priority ?? 0) >= CRITICAL_PRIORITY;
  if (critical && pod.spec.priorityClassName === "system-node-critical") return -997;
  const qos = podQosClass(pod.spec);
  if (qos === "Guaranteed") return -997;
  if (qos === "BestEffort") return 1000;
  const ofRequest = (bytes: number): number => 1000 - Math.floor((1000 * bytes) / memoryBytes);
  let score = ofRequest(quantityOf(container, "requests", "memory") ?? 0);
  if (isSidecar(container)) {
    const smallest = Math.min(
      ...pod.spec.containers.map((main) => quantityOf(main, "requests", "memory") ?? 0),
    );
    score = Math.min(score, ofRequest(smallest));
  }
  if (score < 3) return 3;
  return score === 1000 ? 999 : score;
}
