// SPDX-License-Identifier: Apache-2.0

/**
 * Fills the ports of admission and of what containers have for themselves: CPUs, memory, devices. kubelet: the container manager's part.
 *
 * Owns nothing. Reads: the pods' workers, the pod cache. Invariants: a pod that was refused holds nothing; with all policies `none` no topology is read,
 * nothing is timed and no container is ever updated. Lost on a crash: nothing; assignments come back from the state folder.
 */
import type { Bus } from "@holdfast/bus";
import type { Clock } from "@holdfast/core/clock";
import type { Component } from "@holdfast/core/lifecycle";
import type { Logger } from "@holdfast/core/log";
import type { Metrics } from "@holdfast/core/metrics";
import { newestByName } from "@holdfast/core/runtime-status";
import type { ContainerRecord, RuntimePodStatus } from "@holdfast/core/runtime-status";
import type { CriClient } from "@holdfast/cri";
import type { DedicatedResources as PodResources } from "@holdfast/device";
import { thresholdAmount } from "@holdfast/eviction";
import type { MachineFacts } from "@holdfast/node";
import type { PodAdmission, PodManager } from "@holdfast/pod";
import {
  CpuManager,
  CpuTopology,
  hugePageResource,
  MemoryManager,
  NodeAdmission,
  nodeAllocatable,
  podsCgroupLimits,
  readMachineHugePages,
  readMachineTopology,
  resolveReservedMemory,
  TopologyManager,
  totalReservation,
} from "@holdfast/resource";
import type {
  DedicatedResources,
  HintProvider,
  MachineTopology,
  MemoryBlock,
  NodeInfo,
  PodsLimits,
  ResourceAmounts,
  ResourceContainer,
  ResourcePods,
  StateCheckpoint,
  SystemTree,
} from "@holdfast/resource";
import type { AgentConfig } from "../config/agent-config.ts";
import { cpuStartRelay } from "./cpu-start-relay.ts";
import { TurnstileAdmission } from "./turnstile-admission.ts";

/** Devices, as they take part in admission. */
export interface DeviceShare {
  /** Asked where there is no provider: refuses what nobody gives. */
  readonly admission: PodAdmission;
  /** Gives devices under a hint. `undo`: the pod was refused after all, and nobody is woken by what is free again. */
  readonly provider?: (HintProvider & { undo(podUid: string): void }) | undefined;
}

/** What it is made from. */
export interface ResourceSideOptions {
  readonly config: AgentConfig;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly bus: Bus;
  readonly runtime: Pick<CriClient, "updateContainerResources">;
  readonly metrics: Metrics;
  readonly machine: MachineFacts;
  readonly checkpoint: StateCheckpoint;
  /** Needed by the policies only. */
  readonly system?: SystemTree | undefined;
  readonly devices: DeviceShare;
  readonly pods: () => Pick<PodManager, "pods" | "killPodNow" | "wake">;
  readonly sourcesReady: () => boolean;
  readonly statusOf: (podUid: string) => RuntimePodStatus;
}

/** What the rest of the agent needs of it. */
export interface ResourceSide {
  readonly components: readonly Component[];
  readonly admission: PodAdmission;
  /** Undefined where no policy gives anything. */
  readonly dedicated: DedicatedResources | undefined;
  /** What pods may have: CPUs, and memory in bytes. */
  readonly nodeAllocatable: { readonly cpu: number; readonly memory: number };
  /** What all pods together are held to. Undefined: it is left as it is. */
  readonly podsLimits: PodsLimits | undefined;
  /** For podresources; undefined with policy none. */
  readonly cpu: CpuManager | undefined;
  readonly memory: MemoryManager | undefined;
}

const STATE: Readonly<Record<ContainerRecord["state"], ResourceContainer["state"]>> = {
  created: "waiting",
  unknown: "waiting",
  running: "running",
  exited: "terminated",
};

/** Makes it; starts nothing. Throws `bad-input` where configuration and machine do not fit. */
export function makeResourceSide(options: ResourceSideOptions): ResourceSide {
  const { config, clock, machine, metrics, devices } = options;
  const reservations = {
    systemReserved: config.resources.systemReserved,
    kubeReserved: config.resources.kubeReserved,
    reservedSystemCpus: config.resources.reservedSystemCPUs.size,
  };
  const reserved = totalReservation({
    ...reservations,
    evictionHard: new Map([["memory", evictionBytes(config, machine.memoryBytes)]]),
  });
  const found = readTopology(options);
  const capacity = new Map([
    // A process may see fewer CPUs than there are, when its own cpuset is smaller.
    ["cpu", (found?.cpus.length ?? machine.cpus) * 1000],
    ["memory", machine.memoryBytes],
    ["pods", config.maxPods],
    // Not measured here: what fills the disk is dealt with when it is full.
    ["ephemeral-storage", Number.POSITIVE_INFINITY],
    ...[...readMachineHugePages(options.system ?? NOTHING_TOLD)].map(
      ([size, count]) => [hugePageResource(size), size * count] as const,
    ),
  ]);
  const allocatable = nodeAllocatable(capacity, reserved);
  const { cpu, memory, topology } = makeManagers(options, found, reserved);
  const admission: NodeAdmission = new NodeAdmission({
    clock,
    metrics,
    publish: options.bus,
    logger: options.logger.child({ component: "admission" }),
    node: () => nodeInfo(config.nodeName, machine, allocatable),
    fit: { staticPodsAnywhere: true },
    critical: { staticPodsMayGo: config.eviction.evictStaticPods },
    topology,
    release: (uid) => {
      cpu?.removePod(uid);
      memory?.removePod(uid);
      devices.provider?.undo(uid);
    },
    preempt: (victim, failed) =>
      options.pods().killPodNow(victim.metadata.uid, {
        reason: "Evicted",
        message: failed.message,
        deleted: false,
        failed,
      }),
  });
  return {
    components: cpu === undefined ? [] : [cpu, cpuStartRelay(options.bus, cpu)],
    admission: new TurnstileAdmission(
      {
        devices: devices.admission,
        devicesFirst: devices.provider === undefined || !isAligned(config),
        pods: options.pods,
        statusOf: options.statusOf,
      },
      admission,
    ),
    dedicated: cpu === undefined && memory === undefined ? undefined : dedicatedOf(cpu, memory),
    nodeAllocatable: {
      cpu: (allocatable.get("cpu") ?? 0) / 1000,
      memory: allocatable.get("memory") ?? 0,
    },
    podsLimits: limitsOfPods(config, new Map([...capacity, ...processIds(options.system)]), reservations),
    cpu,
    memory,
  };
}

/** Without enforceNodeAllocatable all that is there, as the kubelet does it; but where a kubelet's pods live, too, the limits are the kubelet's. */
function limitsOfPods(
  { resources, share }: AgentConfig,
  capacity: ResourceAmounts,
  reservations: Parameters<typeof podsCgroupLimits>[1],
): PodsLimits | undefined {
  if (resources.limitPods) return podsCgroupLimits(capacity, reservations);
  return share ? undefined : podsCgroupLimits(capacity, {});
}

interface Managers {
  readonly cpu: CpuManager | undefined;
  readonly memory: MemoryManager | undefined;
  readonly topology: TopologyManager;
}

/** Below so much free memory pods go at once: it is not for them. */
function evictionBytes({ eviction }: AgentConfig, memoryBytes: number): number {
  const hard = eviction.thresholds.filter(
    ({ signal, gracePeriodMs }) => signal === "memory.available" && gracePeriodMs === 0,
  );
  return Math.max(0, ...hard.map(({ value }) => thresholdAmount(value, memoryBytes)));
}

/** How many there can be; none where no system is told. kubelet: pidlimit.Stats. */
function processIds(system: SystemTree | undefined): readonly (readonly [string, number])[] {
  const limits = ["pid_max", "threads-max"].flatMap((file) => {
    const text = system?.read(`/proc/sys/kernel/${file}`)?.trim();
    return text !== undefined && /^\d+$/.test(text) ? [Number(text)] : [];
  });
  return limits.length === 0 ? [] : [["pid", Math.min(...limits)]];
}

/** Undefined where no policy asks for it: it is not read for nothing. */
function readTopology({ config, system }: ResourceSideOptions): MachineTopology | undefined {
  const { cpuManagerPolicy, memoryManagerPolicy, topologyManagerPolicy } = config.resources;
  const unused =
    cpuManagerPolicy === "none" && memoryManagerPolicy === "None" && topologyManagerPolicy === "none";
  return unused ? undefined : readMachineTopology(system ?? NOTHING_TOLD);
}

/** Somebody wants devices, CPUs and memory in one place. */
function isAligned({ resources }: AgentConfig): boolean {
  return resources.topologyManagerPolicy !== "none";
}

/** Only what is configured. */
function makeManagers(
  options: ResourceSideOptions,
  machine: MachineTopology | undefined,
  reserved: ResourceAmounts,
): Managers {
  const { config, clock, logger, metrics, checkpoint, runtime, devices } = options;
  const { resources } = config;
  const staticCpu = resources.cpuManagerPolicy === "static";
  const staticMemory = resources.memoryManagerPolicy === "Static";
  const pods = resourcePods(options);
  const numaNodes = machine?.numaNodes ?? [];
  const cpu = staticCpu
    ? new CpuManager({
        policy: "static",
        policyOptions: resources.cpuManagerPolicyOptions,
        topology: new CpuTopology(machine?.cpus ?? []),
        reservedMilliCpu: reserved.get("cpu") ?? 0,
        reservedCpus: resources.reservedSystemCPUs,
        topologyPolicy: resources.topologyManagerPolicy,
        checkpoint,
        pods,
        updateCpuset: async (containerId, cpusetCpus) => {
          await runtime.updateContainerResources({ containerId, linux: { cpusetCpus } });
        },
        clock,
        publish: options.bus,
        reconcilePeriodMs: resources.cpuManagerReconcilePeriodMs,
        logger: logger.child({ component: "cpu-manager" }),
        metrics,
      })
    : undefined;
  const memory = staticMemory
    ? new MemoryManager({
        policy: "Static",
        numaNodes,
        reserved: resolveReservedMemory(resources.reservedMemory, reserved, numaNodes),
        checkpoint,
        pods,
        logger: logger.child({ component: "memory-manager" }),
        metrics,
      })
    : undefined;
  // Without a policy devices need no place beside CPUs, and are given before the turn: a plugin that hangs holds up its own pods only.
  const providers = [isAligned(config) ? devices.provider : undefined, cpu, memory].filter(
    (provider) => provider !== undefined,
  );
  // Also where nobody takes part: every pod's admission counts in its metrics.
  const topology = new TopologyManager({
    providers,
    numaNodes,
    clock,
    policy: resources.topologyManagerPolicy,
    scope: resources.topologyManagerScope,
    policyOptions: resources.topologyManagerPolicyOptions,
    metrics,
  });
  return { cpu, memory, topology };
}

/** Where no system is told, a policy that needs one is refused by name. */
const NOTHING_TOLD: SystemTree = { read: () => undefined, list: () => [] };

function resourcePods({ pods, sourcesReady, statusOf }: ResourceSideOptions): ResourcePods {
  return {
    activePods: () =>
      pods()
        .pods()
        .filter(({ state }) => state !== "terminated")
        .map(({ pod }) => pod),
    containers: (uid) =>
      new Map(
        [...newestByName(statusOf(uid))].map(([name, { id, state }]) => [name, { id, state: STATE[state] }]),
      ),
    sourcesReady,
  };
}

function nodeInfo(name: string, machine: MachineFacts, allocatable: ResourceAmounts): NodeInfo {
  const labels = {
    "kubernetes.io/hostname": machine.hostName,
    "kubernetes.io/os": "linux",
    "kubernetes.io/arch": machine.architecture,
  };
  return { name, labels, allocatable };
}

function dedicatedOf(cpu: CpuManager | undefined, memory: MemoryManager | undefined): DedicatedResources {
  return {
    cpusForCreate: (uid, container) => String(cpu?.cpusForCreate(uid, container) ?? ""),
    memsForCreate: (uid, container) => (memory?.numaNodes(uid, container) ?? []).join(","),
    hasExclusiveCpus: (uid, container) => (cpu?.exclusiveCpus(uid, container).size ?? 0) > 0,
  };
}

/** What podresources tells of CPUs and memory. `side` is asked when somebody asks: it is made after the devices. */
export function podResourcesOf(side: () => Pick<ResourceSide, "cpu" | "memory">): PodResources {
  const told = (blocks: readonly MemoryBlock[] = []): ReturnType<PodResources["memory"]> =>
    blocks.map(({ type, size, numaAffinity }) => ({ type, bytes: size, numaNodes: numaAffinity }));
  return {
    exclusiveCpus: (uid, container) => side().cpu?.exclusiveCpus(uid, container).ids ?? [],
    memory: (uid, container) => told(side().memory?.blocks(uid, container)),
    allocatableCpus: () => side().cpu?.allocatableCpus().ids ?? [],
    allocatableMemory: () => told(side().memory?.allocatable()),
  };
}
