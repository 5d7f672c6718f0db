// SPDX-License-Identifier: Apache-2.0

/**
 * Lets pods in: whether they fit, and what is theirs alone (CPUs, memory, devices). kubelet: the allocation manager, and the container manager's part.
 *
 * Owns: which pods have been let in and have not ended, and the order in which pods are asked about: one at a time. Reads: the pods' workers, the pod cache.
 * Invariants: what runs already is never refused; a pod that was refused holds nothing; with all policies `none` no topology is read, nothing is timed
 * and no container is ever updated. Lost on a crash: nothing; every pod is asked about again, and assignments come back from the state folder.
 */
import type { Bus, EnvelopeOf, Subscription } from "@holdfast/bus";
import type { Clock } from "@holdfast/core/clock";
import { linkSignal } from "@holdfast/core/lifecycle";
import type { Component, Health } from "@holdfast/core/lifecycle";
import type { Logger } from "@holdfast/core/log";
import type { Metrics } from "@holdfast/core/metrics";
import type { Pod } from "@holdfast/core/pod-types";
import { newestByName } from "@holdfast/core/runtime-status";
import type { ContainerRecord, RuntimePodStatus } from "@holdfast/core/runtime-status";
import type { CriClient } from "@holdfast/cri";
import type { DedicatedResources as PodResources } from "@holdfast/device";
import type { MachineFacts } from "@holdfast/node";
import { ContainerStarted } from "@holdfast/pleg";
import type { PodAdmission, PodManager, WaitingReason } from "@holdfast/pod";
import {
  CpuManager,
  CpuTopology,
  hugePageResource,
  MemoryManager,
  NodeAdmission,
  nodeAllocatable,
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
  ResourceAmounts,
  ResourceContainer,
  ResourcePods,
  StateCheckpoint,
  SystemTree,
} from "@holdfast/resource";
import type { AgentConfig } from "../config/agent-config.ts";

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
  readonly pods: () => Pick<PodManager, "pods" | "killPodNow" | "readinessChanged">;
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
  /** For podresources; undefined with policy none. */
  readonly cpu: CpuManager | undefined;
  readonly memory: MemoryManager | undefined;
}

/** What the kubelet's default evictionHard keeps of the memory. */
const EVICTION_BYTES = 100 * 2 ** 20;
const STATE: Readonly<Record<ContainerRecord["state"], ResourceContainer["state"]>> = {
  created: "waiting",
  unknown: "waiting",
  running: "running",
  exited: "terminated",
};

/** Makes it; starts nothing. Throws `bad-input` where configuration and machine do not fit. */
export function makeResourceSide(options: ResourceSideOptions): ResourceSide {
  const { config, clock, machine, metrics, devices } = options;
  const reserved = totalReservation({
    systemReserved: config.resources.systemReserved,
    kubeReserved: config.resources.kubeReserved,
    evictionHard: new Map([["memory", EVICTION_BYTES]]),
    reservedSystemCpus: config.resources.reservedSystemCPUs.size,
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
    ...(topology === undefined ? {} : { topology }),
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
    components: cpu === undefined ? [] : [cpu, new StartRelay(options.bus, cpu)],
    admission: new TurnstileAdmission(options, admission),
    dedicated: cpu === undefined && memory === undefined ? undefined : dedicatedOf(cpu, memory),
    nodeAllocatable: {
      cpu: (allocatable.get("cpu") ?? 0) / 1000,
      memory: allocatable.get("memory") ?? 0,
    },
    cpu,
    memory,
  };
}

interface Managers {
  readonly cpu: CpuManager | undefined;
  readonly memory: MemoryManager | undefined;
  readonly topology: TopologyManager | undefined;
}

/** Undefined where no policy asks for it: it is not read for nothing. */
function readTopology({ config, system }: ResourceSideOptions): MachineTopology | undefined {
  const { cpuManagerPolicy, memoryManagerPolicy, topologyManagerPolicy } = config.resources;
  const unused =
    cpuManagerPolicy === "none" && memoryManagerPolicy === "None" && topologyManagerPolicy === "none";
  return unused ? undefined : readMachineTopology(system ?? NOTHING_TOLD);
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
  const aligned = resources.topologyManagerPolicy !== "none";
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
  const providers = [aligned ? devices.provider : undefined, cpu, memory].filter(
    (provider) => provider !== undefined,
  );
  const topology =
    providers.length === 0
      ? undefined
      : new TopologyManager({
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

/** One pod at a time goes through, and is counted until it has ended. */
class TurnstileAdmission implements PodAdmission {
  readonly #options: ResourceSideOptions;
  readonly #node: NodeAdmission;
  /** Pods that were let in and have not ended, by UID. */
  readonly #inside = new Map<string, Pod>();
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: ResourceSideOptions, node: NodeAdmission) {
    this.#options = options;
    this.#node = node;
  }

  async admit(pod: Pod, signal: AbortSignal): Promise<WaitingReason | undefined> {
    const { config, devices } = this.#options;
    const beforeTurn = devices.provider === undefined || config.resources.topologyManagerPolicy === "none";
    if (beforeTurn && !this.#runs(pod.metadata.uid)) {
      const lacks = await devices.admission.admit(pod, signal);
      if (lacks !== undefined) return lacks;
    }
    const turn = this.#turn.then(() => this.#admit(pod, signal));
    this.#turn = turn.catch(() => {});
    using link = linkSignal(signal);
    const given = new Promise<never>((_resolve, reject) => {
      link.signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
    });
    // Whoever waits behind a pod that takes its time can be told to stop.
    return await Promise.race([turn, given]);
  }

  /** What it held may be what others wait for. */
  release(podUid: string): void {
    this.#options.devices.admission.release(podUid);
    this.#node.release(podUid);
    if (this.#inside.delete(podUid)) this.#options.pods().readinessChanged();
  }

  async #admit(pod: Pod, signal: AbortSignal): Promise<WaitingReason | undefined> {
    signal.throwIfAborted();
    const { uid } = pod.metadata;
    if (this.#runs(uid)) {
      await this.#node.adopt(pod);
      this.#inside.set(uid, pod);
      return undefined;
    }
    const answer = await this.#node.admit(pod, this.#others(uid));
    if (!answer.admit) return { reason: answer.reason, message: answer.message };
    if (signal.aborted) {
      this.#node.release(uid);
      throw signal.reason as Error;
    }
    this.#inside.set(uid, pod);
    return undefined;
  }

  /** Pods inside, and those that run and have not come by yet since the agent's start. */
  #others(uid: string): readonly Pod[] {
    return this.#options
      .pods()
      .pods()
      .filter(({ pod: { metadata }, state }) => {
        if (metadata.uid === uid || state === "terminated") return false;
        return this.#inside.has(metadata.uid) || this.#runs(metadata.uid);
      })
      .map(({ pod }) => pod);
  }

  #runs(uid: string): boolean {
    return this.#options.statusOf(uid).sandboxes.some(({ state }) => state === "ready");
  }
}

/** A container that started may have been created with a pool that has changed since. */
class StartRelay implements Component {
  readonly name = "cpu-start-relay";
  readonly #bus: Bus;
  readonly #cpu: CpuManager;
  #subscription: Subscription<EnvelopeOf<typeof ContainerStarted>> | undefined;
  #reading: Promise<void> = Promise.resolve();

  constructor(bus: Bus, cpu: CpuManager) {
    this.#bus = bus;
    this.#cpu = cpu;
  }

  start(): Promise<void> {
    this.#subscription = this.#bus.subscribe([ContainerStarted], {
      name: this.name,
      capacity: 16,
      overflow: "drop-oldest",
    });
    this.#reading = this.#read(this.#subscription[Symbol.asyncIterator]());
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    this.#subscription?.[Symbol.dispose]();
    await this.#reading;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  health(): Health {
    return { failures: [] };
  }

  async #read(started: AsyncIterator<unknown>): Promise<void> {
    while ((await started.next()).done !== true) this.#cpu.requestReconcile();
  }
}
