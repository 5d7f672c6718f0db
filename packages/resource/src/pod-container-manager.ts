// SPDX-License-Identifier: Apache-2.0

/**
 * Cgroups of pods: made before the first sandbox, removed after the last.
 *
 * Owns: `kubepods`, the two QoS classes below it and the pods' cgroups; the runtime makes the containers' cgroups inside. Reads: the
 * cgroup tree, nothing else. Invariants: making what is there only writes its values, and only when they differ from what was last written; the classes
 * are written by one at a time; only cgroups of pods named by the caller are removed. Lost on a crash: nothing, the tree itself is the state.
 */
import type { Clock } from "@holdfast/core/clock";
import { errorText, HoldfastError } from "@holdfast/core/errors";
import { silentLogger } from "@holdfast/core/log";
import type { Logger } from "@holdfast/core/log";
import { allContainers, podQosClass } from "@holdfast/core/pod";
import type { Container, Pod, QosClass } from "@holdfast/core/pod-types";
import { podCgroupPath, podUidOfCgroup, qosCgroupPath } from "./cgroup-names.ts";
import type { CgroupDriver } from "./cgroup-names.ts";
import { cgroupFiles, sliceProperties } from "./compute-cgroup-writes.ts";
import {
  computeContainerResources,
  computePodCgroup,
  milliCpuToShares,
  podTotal,
} from "./compute-resources.ts";
import type { ContainerResources, PodCgroupValues, ResourceSettings } from "./compute-resources.ts";
import type { PodsLimits } from "./admission/node-allocatable.ts";
import type { CgroupTree, SystemdSlices } from "./ports.ts";

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
  /** Of `kubepods`, all pods together. Absent: nothing is written there. kubelet: enforceNodeAllocatable has `pods`. */
  readonly podsLimits?: PodsLimits;
  /** CPUs and NUMA nodes of containers. Leave out where no policy gives any. */
  readonly dedicated?: DedicatedResources;
  readonly logger?: Logger;
}

/** What the CPU and memory managers say of a container, in the kernel's list format. */
export interface DedicatedResources {
  /** Its own CPUs or the shared pool; "" for no restriction. */
  cpusForCreate(podUid: string, container: string): string;
  /** NUMA nodes of its memory; "" for no restriction. */
  memsForCreate(podUid: string, container: string): string;
  hasExclusiveCpus(podUid: string, container: string): boolean;
}

/** How often what is left in a pod's cgroup is killed before removal is given up for now. kubelet: tryKillingCgroupProcesses. */
const KILL_ROUNDS = 5;
const KILL_ROUND_MS = 100;
/** How long systemd may take to make a slice. kubelet: its cgroup library waits 30 s for the job. */
const SLICE_WAIT_MS = 30_000;
/** After this a slice's cgroup is taken for removed behind systemd's back: it does not make it again by itself. */
const SLICE_LOST_MS = 2000;
const QOS_CLASSES: readonly QosClass[] = ["Guaranteed", "Burstable", "BestEffort"];

/** kubelet: podContainerManagerImpl and qosContainerManagerImpl. */
export class PodContainerManager {
  readonly #options: PodContainerManagerOptions;
  readonly #logger: Logger;
  /** Only with the systemd driver. */
  readonly #systemd: SystemdSlices | undefined;
  /** CPU requests of the burstable pods that have a cgroup, for the class's shares. */
  readonly #burstableMilli = new Map<string, number>();
  /** What was last written into each cgroup that we made. */
  readonly #written = new Map<string, string>();
  /** Why the limits of all pods could not be written the last time. */
  #limitsProblem: string | undefined;
  /** The last work on the classes: one at a time, or an older sum could be written after a newer one. */
  #classWork: Promise<void> = Promise.resolve();

  constructor(options: PodContainerManagerOptions) {
    if (options.driver === "systemd" && options.systemd === undefined)
      throw new TypeError("the systemd cgroup driver needs a SystemdSlices port");
    this.#options = options;
    this.#systemd = options.driver === "systemd" ? options.systemd : undefined;
    this.#logger = options.logger ?? silentLogger;
  }

  /** Makes the pod's cgroup with its values; returns the `cgroup_parent` for its sandbox. kubelet: EnsureExists. */
  async ensureExists(pod: Pod): Promise<string> {
    if (this.#options.cgroupsPerQOS === false) return "";
    const qos = podQosClass(pod.spec);
    const path = podCgroupPath(this.#options.driver, this.#options.cgroupRoot ?? "/", qos, pod.metadata.uid);
    if (qos === "Burstable")
      this.#burstableMilli.set(pod.metadata.uid, podTotal(pod.spec, "requests", "cpu"));
    await this.#ensureClasses();
    const values = computePodCgroup(pod.spec, this.#options.settings);
    // A quota would only throttle CPUs that nobody else may use. kubelet: DisableCPUQuotaWithExclusiveCPUs.
    const exclusive = allContainers(pod.spec).some(({ name }) => this.#isExclusive(pod, name));
    await this.#make(
      path,
      exclusive && values.cpuQuotaUs !== undefined ? { ...values, cpuQuotaUs: -1 } : values,
    );
    return path;
  }

  /** Ends what still runs in the pod's cgroup and removes it, whatever its class was. kubelet: Destroy. */
  async destroy(uid: string): Promise<void> {
    if (this.#options.cgroupsPerQOS === false) return;
    for (const qos of QOS_CLASSES) {
      const path = podCgroupPath(this.#options.driver, this.#options.cgroupRoot ?? "/", qos, uid);
      this.#written.delete(path);
      if (await this.#options.tree.exists(path)) await this.#destroyPath(path);
    }
    if (!this.#burstableMilli.delete(uid)) return;
    await this.#ensureClasses().catch((error: unknown) =>
      this.#logger.warn("lowering the burstable class's shares failed; the next pod tries again", {
        error: errorText(error),
      }),
    );
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
    const resources = computeContainerResources(
      pod,
      container,
      this.#options.settings,
      this.#options.tree.version,
    );
    const { dedicated } = this.#options;
    if (dedicated === undefined) return resources;
    const { uid } = pod.metadata;
    return {
      ...resources,
      cpuQuota: resources.cpuQuota > 0 && this.#isExclusive(pod, container.name) ? -1 : resources.cpuQuota,
      cpusetCpus: dedicated.cpusForCreate(uid, container.name),
      cpusetMems: dedicated.memsForCreate(uid, container.name),
    };
  }

  #isExclusive({ metadata }: Pod, container: string): boolean {
    return this.#options.dedicated?.hasExclusiveCpus(metadata.uid, container) === true;
  }

  #ensureClasses(): Promise<void> {
    const work = this.#classWork.then(() => this.#writeClasses());
    this.#classWork = work.catch(() => {}); // told to the caller that started it
    return work;
  }

  async #writeClasses(): Promise<void> {
    const { driver, cgroupRoot = "/" } = this.#options;
    const burstable = [...this.#burstableMilli.values()].reduce((sum, milli) => sum + milli, 0);
    await this.#writeTop(qosCgroupPath(driver, cgroupRoot, "Guaranteed"));
    await this.#make(qosCgroupPath(driver, cgroupRoot, "BestEffort"), classValues(2));
    await this.#make(
      qosCgroupPath(driver, cgroupRoot, "Burstable"),
      classValues(milliCpuToShares(burstable)),
    );
  }

  /** The kernel refuses a limit below what is in use (v1): no reason to keep a pod from running, it is tried again with the next one. */
  async #writeTop(path: string): Promise<void> {
    const { podsLimits, tree } = this.#options;
    if (podsLimits === undefined) return await this.#make(path, undefined);
    const { cpuMilli, memoryBytes, pids } = podsLimits;
    try {
      const shares = classValues(milliCpuToShares(cpuMilli));
      await this.#make(path, { ...shares, memoryLimitBytes: memoryBytes, pidsLimit: pids });
      this.#limitsProblem = undefined;
    } catch (error) {
      if (!(await tree.exists(path))) throw error;
      const problem = errorText(error);
      if (problem !== this.#limitsProblem)
        this.#logger.warn(
          "FailedNodeAllocatableEnforcement: the limits of all pods; the next pod tries again",
          {
            error: problem,
          },
        );
      this.#limitsProblem = problem;
    }
  }

  async #make(path: string, values: PodCgroupValues | undefined): Promise<void> {
    const { tree } = this.#options;
    const wanted = JSON.stringify(values ?? null);
    const exists = await tree.exists(path);
    if (exists && this.#written.get(path) === wanted) return;
    // What another process made is started again too: to set values on a unit that systemd does not know would leave a drop-in until the next boot.
    if (this.#systemd !== undefined)
      await this.#makeSlice(this.#systemd, path, values, exists && this.#written.has(path));
    else {
      await tree.create(path);
      for (const [controller, file, value] of values === undefined ? [] : cgroupFiles(values, tree.version)) {
        await tree.write(path, controller, file, value);
      }
    }
    this.#written.set(path, wanted);
  }

  async #makeSlice(
    systemd: SystemdSlices,
    path: string,
    values: PodCgroupValues | undefined,
    known: boolean,
  ): Promise<void> {
    const { tree } = this.#options;
    const slice = sliceName(path);
    const properties = values === undefined ? [] : sliceProperties(values, tree.version);
    if (known) {
      if (properties.length > 0) await systemd.set(slice, properties);
      return;
    }
    await systemd.start(slice, properties);
    // systemd only queues the work: the runtime must find the slice, with its values, before it makes a scope in it.
    if (await this.#appears(path, SLICE_LOST_MS)) return;
    this.#logger.warn("systemd holds a slice for active whose cgroup is gone: it is restarted", { slice });
    // Nothing can run in a cgroup that is not there, so nothing is stopped by this.
    await systemd.restart(slice);
    if (await this.#appears(path, SLICE_WAIT_MS)) return;
    const text = `systemd accepted ${slice}, but ${path} did not appear within ${SLICE_WAIT_MS / 1000} s`;
    throw new HoldfastError("RESOURCE_SYSTEMD", "retryable", text);
  }

  async #appears(path: string, withinMs: number): Promise<boolean> {
    const { tree, clock } = this.#options;
    const end = clock.monotonic() + withinMs;
    for (let wait = 2; !(await tree.exists(path)); wait = Math.min(2 * wait, 200)) {
      if (clock.monotonic() >= end) return false;
      await clock.sleep(wait);
    }
    return true;
  }

  async #destroyPath(path: string): Promise<void> {
    const { tree, clock } = this.#options;
    let problem: unknown = new Error("processes live in it");
    for (let round = 0; round < KILL_ROUNDS; round++) {
      if (round > 0) await clock.sleep(KILL_ROUND_MS);
      const pids = await tree.pids(path);
      if (pids.length > 0) {
        this.#logger.warn("killing what is left in a pod's cgroup", { cgroup: path, pids: pids.length });
        await this.#kill(path, pids);
        continue;
      }
      try {
        await this.#systemd?.stop(sliceName(path));
        await tree.remove(path);
        return;
      } catch (error) {
        problem = error; // a dying process is listed no more but keeps its cgroup busy for some milliseconds
      }
    }
    throw new HoldfastError(
      "RESOURCE_CGROUP_BUSY",
      "retryable",
      `removing cgroup ${path}: ${errorText(problem)}`,
      { cause: problem },
    );
  }

  /** On v2 the kernel kills all at once, faster than anything inside can fork (Linux 5.14). */
  async #kill(path: string, pids: readonly number[]): Promise<void> {
    const { tree } = this.#options;
    if (tree.version === 2) {
      try {
        await tree.write(path, "", "cgroup.kill", "1");
        return;
      } catch {
        // an older kernel, or gone meanwhile: one by one
      }
    }
    for (const pid of pids) tree.kill(pid);
  }
}

function classValues(cpuShares: number): PodCgroupValues {
  return {
    cpuShares,
    cpuQuotaUs: undefined,
    cpuPeriodUs: 0,
    memoryLimitBytes: undefined,
    pidsLimit: undefined,
  };
}

/** The unit's name: the last component, which spells the whole way. */
function sliceName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
