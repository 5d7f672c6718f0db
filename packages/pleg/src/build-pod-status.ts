// SPDX-License-Identifier: Apache-2.0

/** Pure: the runtime's messages become records. kubelet: kuberuntime's toKubeContainerStatus and getPodSandboxIPs. */
import {
  CONTAINER_HASH_ANNOTATION,
  CONTAINER_NAME_LABEL,
  RESTART_COUNT_ANNOTATION,
} from "@holdfast/core/names";
import type {
  AppliedResources,
  ContainerRecord,
  ContainerState,
  RuntimePodStatus,
  SandboxRecord,
} from "@holdfast/core/runtime-status";
import type {
  ContainerState as CriContainerState,
  ContainerStatus,
  NamespaceMode,
  PodSandboxStatus,
} from "@holdfast/cri";
import { SANDBOX_READY } from "./cri-states.ts";
import type { ListedItem } from "./pod-records.ts";

const NODE_NAMESPACE: typeof NamespaceMode.NODE = 2;
const STATES: Readonly<Record<CriContainerState, ContainerState>> = {
  0: "created",
  1: "running",
  2: "exited",
  3: "unknown",
};
const NS_PER_MS = 1_000_000n;
const SHARES_PER_CPU = 1024;

/** Nanoseconds since the epoch to milliseconds; 0 stays 0. */
function toMs(ns: bigint): number {
  return Number(ns / NS_PER_MS);
}

/** A sandbox as the cache keeps it, with all its addresses beside it. */
export interface InspectedSandbox {
  readonly record: SandboxRecord;
  /** Primary first; empty with hostNetwork or when one of them is no address. */
  readonly ips: readonly string[];
}

/** Reads a sandbox status. */
export function buildSandbox(status: PodSandboxStatus): InspectedSandbox {
  const hostNetwork = status.linux?.namespaces?.options?.network === NODE_NAMESPACE;
  const primary = status.network?.ip;
  const all =
    primary === undefined ? [] : [primary, ...(status.network?.additionalIps ?? []).map(({ ip }) => ip)];
  return {
    record: {
      id: status.id,
      attempt: status.metadata?.attempt ?? 0,
      state: status.state === SANDBOX_READY ? "ready" : "notready",
      createdAt: toMs(status.createdAt),
      ip: hostNetwork ? undefined : primary,
      hostNetwork,
    },
    ips: !hostNetwork && all.every(isAddress) ? all : [],
  };
}

/** Reads a container status. The sandbox is known from the list only. */
export function buildContainer(status: ContainerStatus, item: ListedItem): ContainerRecord {
  const { annotations, labels, metadata } = status;
  return {
    id: status.id,
    name: metadata?.name || labels[CONTAINER_NAME_LABEL] || item.name,
    sandboxId: item.sandboxId,
    state: STATES[status.state] ?? "unknown",
    attempt: metadata?.attempt ?? item.attempt,
    createdAt: toMs(status.createdAt),
    startedAt: toMs(status.startedAt),
    finishedAt: toMs(status.finishedAt),
    exitCode: status.exitCode,
    reason: status.reason,
    message: status.message,
    image: status.image?.image ?? "",
    imageRef: status.imageRef,
    hash: annotations[CONTAINER_HASH_ANNOTATION] ?? "",
    restartCount: toCount(annotations[RESTART_COUNT_ANNOTATION]),
    ...userOf(status),
    ...resourcesOf(status),
  };
}

/** Not every runtime says who it is. */
function userOf({ user }: ContainerStatus): Pick<ContainerRecord, "user"> {
  if (user?.linux === undefined) return {};
  const { uid, gid, supplementalGroups } = user.linux;
  const groups = supplementalGroups.map(Number);
  return {
    user: {
      uid: Number(uid),
      gid: Number(gid),
      ...(groups.length === 0 ? {} : { supplementalGroups: groups }),
    },
  };
}

/** Shares and quota in thousandths of a CPU. kubelet: toKubeContainerResources, sharesToMilliCPU, quotaToMilliCPU. */
function resourcesOf({ resources }: ContainerStatus): Pick<ContainerRecord, "resources"> {
  if (resources?.linux === undefined) return {};
  const { cpuShares, cpuQuota, cpuPeriod, memoryLimitInBytes } = resources.linux;
  const request = Math.ceil((Number(cpuShares) * 1000) / SHARES_PER_CPU);
  const limit = cpuPeriod > 0n ? Number((cpuQuota * 1000n) / cpuPeriod) : 0;
  const memory = Number(memoryLimitInBytes);
  const told: AppliedResources = {
    ...(request > 0 ? { cpuRequestMilli: request } : {}),
    ...(limit > 0 ? { cpuLimitMilli: limit } : {}),
    ...(memory > 0 ? { memoryLimitBytes: memory } : {}),
  };
  return Object.keys(told).length === 0 ? {} : { resources: told };
}

/** What {@link buildPodStatus} puts together. */
export interface PodStatusParts {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  /** In the list's order: the newest attempt first. */
  readonly sandboxes: readonly InspectedSandbox[];
  readonly containers: readonly ContainerRecord[];
  /** What the cache had: its addresses stay while no sandbox is ready. */
  readonly cached: RuntimePodStatus | undefined;
}

/** Puts a pod's status together. Addresses come from the newest sandbox, if it is ready. */
export function buildPodStatus({
  uid,
  name,
  namespace,
  sandboxes,
  containers,
  cached,
}: PodStatusParts): RuntimePodStatus {
  const newest = sandboxes[0];
  const current = newest?.record.state === "ready" ? newest.ips : [];
  const anyReady = sandboxes.some(({ record }) => record.state === "ready");
  return {
    uid,
    name,
    namespace,
    ips: current.length === 0 && !anyReady ? (cached?.ips ?? []) : current,
    sandboxes: sandboxes.map(({ record }) => record),
    // As the list's order: attempts first, since the wall clock may have been set back between two of them.
    containers: containers.toSorted(
      (a, b) => b.attempt - a.attempt || b.createdAt - a.createdAt || (a.id < b.id ? -1 : 1),
    ),
  };
}

function toCount(text: string | undefined): number {
  const count = Number(text ?? 0);
  return Number.isSafeInteger(count) && count >= 0 ? count : 0;
}

const V4 = /^(?:\d{1,3}\.){3}\d{1,3}$/;
const V6 = /^[0-9a-fA-F:]*:[0-9a-fA-F:.]*$/;

/** Good enough to tell an address from garbage; `node:net` is not for packages like this one. */
function isAddress(text: string): boolean {
  return V4.test(text)
    ? text.split(".").every((part) => Number(part) <= 255)
    : V6.test(text) && text.length > 1;
}
