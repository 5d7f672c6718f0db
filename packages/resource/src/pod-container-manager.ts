// SPDX-License-Identifier: Apache-2.0

/**
 * Cgroups of pods: made before the first sandbox, removed after the last.
 *
 * Owns: `kubepods`, the two QoS classes below it and the pods' cgroups; the runtime makes the containers' cgroups inside. Reads: the
 * cgroup tree, nothing else. Invariants: making what is there only writes its values again; only cgroups of pods named by the caller are
 * removed. Lost on a crash: nothing, the tree itself is the state.
 */
import type { Clock } from "@holdfast/core/clock";
import { errorText, HoldfastError } from "@holdfast/core/errors";
import { silentLogger } from "@holdfast/core/log";
import type { Logger } from "@holdfast/core/log";
import { podQosClass } from "@holdfast/core/pod";
import type { Container, Pod, QosClass } from "@holdfast/core/pod-types";
import { podCgroupPath, podUidOfCgroup, qosCgroupPath } from "./cgroup-names.ts";
import type { CgroupDriver } from "./cgroup-names.ts";
import {
  computeContainerResources,
  computePodCgroup,
  milliCpuToShares,
  podTotal,
  sharesToWeight,
} from "./compute-resources.ts";
import type { ContainerResources, PodCgroupValues, ResourceSettings } from "./compute-resources.ts";
import type { CgroupTree, SliceProperty, SystemdSlices } from "./ports.ts";

/** How a {@link PodContainerManager} is made. */
export interface PodContainerManagerOptions {
  readonly tree: CgroupTree;
  readonly clock: Clock;
  readonly driver: CgroupDriver;
  /** Required with the systemd driver. */
  readonly systemd?: SystemdSlices;
  /** kubelet: cgroupRoot. Default "/". */
  readonly cgroupRoot?: string;
  /** kubelet: cgroupsPerQOS. Off: no cgroups are made and the runtime places containers itself. Default true. */
  readonly cgroupsPerQOS?: boolean;
  readonly settings: ResourceSettings;
  readonly logger?: Logger;
}

/** How often what is left in a pod's cgroup is killed before removal is given up for now. kubelet: tryKillingCgroupProcesses. */
const KILL_ROUNDS = 5;
const KILL_ROUND_MS = 100;
const QOS_CLASSES: readonly QosClass[] = ["Guaranteed", "Burstable", "BestEffort"];

/** kubelet: podContainerManagerImpl and qosContainerManagerImpl. */
export class PodContainerManager {
  readonly #options: PodContainerManagerOptions;
  readonly #logger: Logger;
  /** CPU requests of the burstable pods that have a cgroup, for the class's shares. */
  readonly #burstableMilli = new Map<string, number>();
  #classesReady = false;

  constructor(options: PodContainerManagerOptions) {
    if (options.driver === "systemd" && options.systemd === undefined)
      throw new TypeError("the systemd cgroup driver needs a SystemdSlices port");
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
  }

  /** Makes the pod's cgroup with its values; returns the `cgroup_parent` for its sandbox. kubelet: EnsureExists. */
  async ensureExists(pod: Pod): Promise<string> {
    if (this.#options.cgroupsPerQOS === false) return "";
    const qos = podQosClass(pod.spec);
    const path = podCgroupPath(this.#options.driver, this.#options.cgroupRoot ?? "/", qos, pod.metadata.uid);
    if (qos === "Burstable")
      this.#burstableMilli.set(pod.metadata.uid, podTotal(pod.spec, "requests", "cpu"));
    await this.#ensureClasses(qos === "Burstable");
    await this.#make(path, computePodCgroup(pod.spec, this.#options.settings));
    return path;
  }

  /** Ends what still runs in the pod's cgroup and removes it, whatever its class was. kubelet: Destroy. */
  async destroy(uid: string): Promise<void> {
    if (this.#options.cgroupsPerQOS === false) return;
    this.#burstableMilli.delete(uid);
    for (const qos of QOS_CLASSES) {
      const path = podCgroupPath(this.#options.driver, this.#options.cgroupRoot ?? "/", qos, uid);
      if (await this.#options.tree.exists(path)) await this.#destroyPath(path);
    }
  }

  /** UIDs of all pods that have a cgroup, ours or not: the caller knows which are its own. kubelet: GetAllPodsFromCgroups. */
  async listPodUids(): Promise<readonly string[]> {
    if (this.#options.cgroupsPerQOS === false) return [];
    const { driver, cgroupRoot = "/", tree } = this.#options;
    const uids = new Set<string>();
    for (const qos of QOS_CLASSES) {
      for (const name of await tree.children(qosCgroupPath(driver, cgroupRoot, qos))) {
        const uid = podUidOfCgroup(driver, name);
        if (uid !== undefined) uids.add(uid);
      }
    }
    return [...uids];
  }

  /** What the runtime is told about one container. */
  containerResources(pod: Pod, container: Container): ContainerResources {
    return computeContainerResources(pod, container, this.#options.settings, this.#options.tree.version);
  }

  async #ensureClasses(burstableChanged: boolean): Promise<void> {
    if (this.#classesReady && !burstableChanged) return;
    const { driver, cgroupRoot = "/" } = this.#options;
    const burstable = [...this.#burstableMilli.values()].reduce((sum, milli) => sum + milli, 0);
    const values = (shares: number): PodCgroupValues => ({
      cpuShares: shares,
      cpuQuotaUs: undefined,
      cpuPeriodUs: 0,
      memoryLimitBytes: undefined,
      pidsLimit: undefined,
    });
    if (!this.#classesReady) {
      await this.#make(qosCgroupPath(driver, cgroupRoot, "Guaranteed"), undefined);
      await this.#make(qosCgroupPath(driver, cgroupRoot, "BestEffort"), values(2));
    }
    await this.#make(qosCgroupPath(driver, cgroupRoot, "Burstable"), values(milliCpuToShares(burstable)));
    this.#classesReady = true;
  }

  async #make(path: string, values: PodCgroupValues | undefined): Promise<void> {
    const { tree, systemd } = this.#options;
    if (systemd !== undefined && this.#options.driver === "systemd") {
      await systemd.ensure(
        path.slice(path.lastIndexOf("/") + 1),
        values === undefined ? [] : sliceProperties(values),
      );
      return;
    }
    await tree.create(path);
    for (const [controller, file, value] of values === undefined ? [] : cgroupFiles(values, tree.version)) {
      await tree.write(path, controller, file, value);
    }
  }

  async #destroyPath(path: string): Promise<void> {
    const { tree, clock, systemd } = this.#options;
    for (let round = 0; round < KILL_ROUNDS; round++) {
      const pids = await tree.pids(path);
      if (pids.length === 0) break;
      this.#logger.warn("killing what is left in a pod's cgroup", { cgroup: path, pids: pids.length });
      for (const pid of pids) tree.kill(pid);
      await clock.sleep(KILL_ROUND_MS);
    }
    try {
      if (systemd !== undefined && this.#options.driver === "systemd")
        await systemd.stop(path.slice(path.lastIndexOf("/") + 1));
      await tree.remove(path);
    } catch (cause) {
      throw new HoldfastError(
        "RESOURCE_CGROUP_BUSY",
        "retryable",
        `removing cgroup ${path}: ${errorText(cause)}`,
        { cause },
      );
    }
  }
}

/** The files to write, in an order the kernel accepts. */
export function cgroupFiles(
  values: PodCgroupValues,
  version: 1 | 2,
): (readonly [controller: string, file: string, value: string])[] {
  const files: (readonly [string, string, string])[] = [];
  const { cpuShares, cpuQuotaUs, cpuPeriodUs, memoryLimitBytes, pidsLimit } = values;
  if (version === 1) {
    files.push(["cpu", "cpu.shares", String(cpuShares)]);
    if (cpuQuotaUs !== undefined)
      files.push(
        ["cpu", "cpu.cfs_period_us", String(cpuPeriodUs)],
        ["cpu", "cpu.cfs_quota_us", String(cpuQuotaUs)],
      );
    if (memoryLimitBytes !== undefined)
      files.push(["memory", "memory.limit_in_bytes", String(memoryLimitBytes)]);
  } else {
    files.push(["cpu", "cpu.weight", String(sharesToWeight(cpuShares))]);
    if (cpuQuotaUs !== undefined)
      files.push(["cpu", "cpu.max", `${cpuQuotaUs < 0 ? "max" : cpuQuotaUs} ${cpuPeriodUs}`]);
    if (memoryLimitBytes !== undefined) files.push(["memory", "memory.max", String(memoryLimitBytes)]);
  }
  if (pidsLimit !== undefined) files.push(["pids", "pids.max", String(pidsLimit)]);
  return files;
}

/** The same as systemd's properties. systemd counts the quota as microseconds of CPU per second. */
export function sliceProperties(values: PodCgroupValues): SliceProperty[] {
  const { cpuShares, cpuQuotaUs, cpuPeriodUs, memoryLimitBytes, pidsLimit } = values;
  const properties: SliceProperty[] = [["CPUWeight", "t", String(sharesToWeight(cpuShares))]];
  if (cpuQuotaUs !== undefined && cpuQuotaUs > 0)
    properties.push(["CPUQuotaPerSecUSec", "t", String(Math.round((cpuQuotaUs * 1_000_000) / cpuPeriodUs))]);
  if (memoryLimitBytes !== undefined) properties.push(["MemoryMax", "t", String(memoryLimitBytes)]);
  if (pidsLimit !== undefined) properties.push(["TasksMax", "t", String(pidsLimit)]);
  return properties;
}
