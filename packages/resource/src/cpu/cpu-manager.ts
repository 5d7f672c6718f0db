// SPDX-License-Identifier: Apache-2.0
/*
 * Which CPUs each container may run on. kubelet: cm/cpumanager.
 *
 *   admission ──> allocate ──> state ──> cpuset at create
 *                                └─────> reconcile: cpuset of containers that run (pool changed, container started, period)
 *
 * Owns: the static policy's state, and what was last applied to each container. Reads: active pods and their containers, through a port. Invariants: with
 * policy none nothing is kept, watched or timed; one reconcile at a time; an assignment ends only with its pod.
 * Lost on a crash: nothing; the checkpoint brings back assignments, pool and what was applied.
 */
import { nullPublisher } from "@holdfast/bus";
import type { Publisher } from "@holdfast/bus";
import type { Clock, Timer } from "@holdfast/core/clock";
import { errorText, isNotFound } from "@holdfast/core/errors";
import type { Component, Health } from "@holdfast/core/lifecycle";
import { silentLogger } from "@holdfast/core/log";
import type { Logger } from "@holdfast/core/log";
import { noMetrics } from "@holdfast/core/metrics";
import type { Metrics } from "@holdfast/core/metrics";
import { allContainers } from "@holdfast/core/pod";
import type { Container, Pod } from "@holdfast/core/pod-types";
import { CpusAssigned } from "../events.ts";
import { CpuSet } from "../machine/cpu-set.ts";
import type { CpuTopology } from "../machine/machine-topology.ts";
import { openState } from "../open-state.ts";
import type { ResourcePods, StateCheckpoint } from "../ports.ts";
import type { HintProvider, TopologyHint, TopologyHints } from "../topology/hint.ts";
import type { TopologyPolicyName } from "../topology/topology-policy.ts";
import { CpuMetrics } from "./cpu-metrics.ts";
import type { CpuPolicyName, CpuPolicyOptions } from "./cpu-policy-options.ts";
import { CpuState } from "./cpu-state.ts";
import { guaranteedCpus } from "./guaranteed-cpus.ts";
import { StaticCpuPolicy } from "./static-cpu-policy.ts";

/** How a {@link CpuManager} is made. */
export interface CpuManagerOptions {
  readonly policy: CpuPolicyName;
  readonly policyOptions?: CpuPolicyOptions;
  readonly topology: CpuTopology;
  /** See {@link StaticCpuPolicy}. */
  readonly reservedMilliCpu: number;
  readonly reservedCpus?: CpuSet;
  readonly topologyPolicy?: TopologyPolicyName;
  readonly checkpoint: StateCheckpoint;
  readonly pods: ResourcePods;
  /** CRI UpdateContainerResources with nothing but cpuset_cpus. Must have a deadline of its own. */
  readonly updateCpuset: (containerId: string, cpus: string) => Promise<void>;
  readonly clock: Clock;
  /** Default 10 s. kubelet: cpuManagerReconcilePeriod. */
  readonly reconcilePeriodMs?: number;
  /** What to do with a kept state that does not fit: start without it (default), or refuse to start, as the kubelet does. */
  readonly onInvalidState?: "reset" | "fail";
  readonly publish?: Publisher;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

/** What one pass of {@link CpuManager.reconcile} did: `pod/container`. kubelet: reconcileState. */
export interface ReconcileReport {
  readonly applied: readonly string[];
  readonly failed: readonly string[];
}

const DEFAULT_PERIOD_MS = 10_000;
/** Changes that come together are applied together. */
const GATHER_MS = 50;
const STATE_KEY = "cpu_manager_state";
const APPLIED = "applied/";

/** See the top of the file. */
export class CpuManager implements HintProvider, Component {
  readonly name = "cpu";
  readonly #options: CpuManagerOptions;
  readonly #logger: Logger;
  readonly #metrics: CpuMetrics;
  readonly #policy: StaticCpuPolicy | undefined;
  readonly #state: CpuState | undefined;
  /** What a running container was last given, by id. */
  readonly #applied = new Map<string, string>();
  /** What a container that is about to be created is given, by `pod/container`. */
  readonly #created = new Map<string, string>();
  #timer: Timer | undefined;
  #running: Promise<ReconcileReport> | undefined;
  #again = false;
  #started = false;
  #failing: readonly string[] = [];

  /** Throws `bad-input` (RESOURCE_CPU_CONFIG), and `permanent` (RESOURCE_STATE) with `onInvalidState: "fail"`. */
  constructor(options: CpuManagerOptions) {
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
    this.#metrics = new CpuMetrics(options.metrics ?? noMetrics, options.topology);
    if (options.policy === "none") return;
    [this.#state, this.#policy] = this.#open();
    for (const [key, cpus] of options.checkpoint.entries(APPLIED))
      this.#applied.set(key.slice(APPLIED.length), cpus);
    this.#metrics.changed(this.#state, this.#policy.reserved);
  }

  /** Begins to look after containers that run. With policy none nothing happens, ever. */
  start(_signal?: AbortSignal): Promise<void> {
    this.#started = true;
    this.requestReconcile();
    return Promise.resolve();
  }

  /** Waits for the pass that is under way. Touches no container. */
  async stop(): Promise<void> {
    this.#started = false;
    this.#timer?.cancel();
    await this.#running;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Fails while containers cannot be given their CPUs. */
  health(): Health {
    return { failures: this.#failing.map((name) => `the CPUs of ${name} cannot be set`) };
  }

  topologyHints(pod: Pod, container: Container): TopologyHints {
    this.#removeStale(pod.metadata.uid);
    return this.#policy?.topologyHints(pod, container) ?? new Map();
  }

  podTopologyHints(pod: Pod): TopologyHints {
    this.#removeStale(pod.metadata.uid);
    return this.#policy?.podTopologyHints(pod) ?? new Map();
  }

  allocate(pod: Pod, container: Container, hint: TopologyHint): void {
    if (this.#policy === undefined || this.#state === undefined) return;
    this.#removeStale(pod.metadata.uid);
    const { uid } = pod.metadata;
    const asked = guaranteedCpus(pod, container) > 0 && this.#state.get(uid, container.name) === undefined;
    if (asked) this.#metrics.requested();
    let changed: boolean;
    try {
      changed = this.#policy.allocate(pod, container, hint);
    } catch (error) {
      this.#metrics.failed(this.#options.policyOptions ?? {});
      throw error;
    }
    if (!changed) return;
    const cpus = this.#state.get(uid, container.name) ?? CpuSet.empty;
    this.#logger.info("a container gets CPUs of its own", {
      podUid: uid,
      container: container.name,
      cpus: String(cpus),
    });
    const subject = {
      podUid: uid,
      pod: `${pod.metadata.namespace}/${pod.metadata.name}`,
      container: container.name,
    };
    (this.#options.publish ?? nullPublisher).publish(CpusAssigned, { cpus: String(cpus) }, { subject });
    this.#metrics.allocated(this.#policy, cpus, this.#options.policyOptions ?? {});
    this.#poolChanged();
  }

  /** The pod has ended, or was refused: its CPUs go back. Unknown is fine. */
  removePod(podUid: string): void {
    for (const key of this.#created.keys()) if (key.startsWith(`${podUid}/`)) this.#created.delete(key);
    const containers = [...(this.#state?.assignments.get(podUid)?.keys() ?? [])];
    for (const container of containers) this.#policy?.release(podUid, container);
    if (containers.length > 0) this.#poolChanged();
  }

  /**
   * What a container that is about to be created gets: its own CPUs, or the shared pool; undefined with policy none. kubelet: GetCPUAffinity.
   */
  cpusForCreate(podUid: string, container: string): CpuSet | undefined {
    const cpus = this.#wanted(podUid, container);
    if (cpus !== undefined) this.#created.set(`${podUid}/${container}`, String(cpus));
    return cpus;
  }

  /** CPUs that only this container has; empty on the shared pool. kubelet: GetExclusiveCPUs. */
  exclusiveCpus(podUid: string, container: string): CpuSet {
    return this.#state?.get(podUid, container) ?? CpuSet.empty;
  }

  /** For podresources: what may be assigned; empty with policy none. kubelet: GetAllocatableCPUs. */
  allocatableCpus(): CpuSet {
    return this.#policy?.allocatable ?? CpuSet.empty;
  }

  /** The pool that containers without CPUs of their own run on; empty with policy none. */
  sharedCpus(): CpuSet {
    return this.#state?.defaultSet ?? CpuSet.empty;
  }

  /** A container has started, or something else may have to be applied: a pass comes soon. */
  requestReconcile(): void {
    if (this.#policy === undefined || !this.#started) return;
    if (this.#running === undefined) this.#arm(GATHER_MS);
    else this.#again = true;
  }

  /** One pass over all containers. kubelet: reconcileState. */
  async reconcile(): Promise<ReconcileReport> {
    const applied: string[] = [];
    const failed: string[] = [];
    if (this.#policy === undefined) return { applied, failed };
    this.#removeStale();
    const alive = new Set<string>();
    for (const pod of this.#options.pods.activePods()) {
      const states = this.#options.pods.containers(pod.metadata.uid);
      for (const { name } of allContainers(pod.spec)) {
        const label = `${pod.metadata.namespace}/${pod.metadata.name}/${name}`;
        const found = states.get(name);
        if (found === undefined || found.state === "waiting") failed.push(label);
        else if (found.state === "running") {
          alive.add(found.id);
          const outcome = await this.#apply(pod.metadata.uid, name, found.id, label);
          if (outcome === "applied") applied.push(label);
          else if (outcome === "failed") failed.push(label);
        }
      }
    }
    for (const id of this.#applied.keys()) if (!alive.has(id)) this.#forget(id);
    // What is gone fails no more.
    this.#failing = this.#failing.filter((label) => failed.includes(label));
    this.#forgetCreated(new Set(this.#options.pods.activePods().map(({ metadata }) => metadata.uid)));
    return { applied, failed };
  }

  async #apply(
    podUid: string,
    container: string,
    id: string,
    label: string,
  ): Promise<"applied" | "failed" | "same"> {
    const cpus = this.#wanted(podUid, container);
    if (cpus === undefined || cpus.size === 0) return "failed";
    const wanted = String(cpus);
    const last = this.#applied.get(id) ?? this.#created.get(`${podUid}/${container}`);
    if (last === wanted) {
      this.#remember(id, wanted);
      return "same";
    }
    try {
      await this.#options.updateCpuset(id, wanted);
    } catch (error) {
      // It ended meanwhile: there is nothing to set any more.
      if (isNotFound(error)) return "same";
      this.#logger.warn("a container's CPUs cannot be set", {
        container: label,
        containerId: id,
        cpus: wanted,
        err: errorText(error),
      });
      this.#failing = [...new Set([...this.#failing, label])].slice(0, 10);
      return "failed";
    }
    this.#failing = this.#failing.filter((name) => name !== label);
    this.#remember(id, wanted);
    return "applied";
  }

  #remember(id: string, cpus: string): void {
    if (this.#applied.get(id) === cpus) return;
    this.#applied.set(id, cpus);
    this.#options.checkpoint.set(`${APPLIED}${id}`, cpus);
  }

  #forget(id: string): void {
    this.#applied.delete(id);
    this.#options.checkpoint.delete(`${APPLIED}${id}`);
  }

  #forgetCreated(active: ReadonlySet<string>): void {
    for (const key of this.#created.keys())
      if (!active.has(key.slice(0, key.indexOf("/")))) this.#created.delete(key);
  }

  #wanted(podUid: string, container: string): CpuSet | undefined {
    const cpus = this.#state?.get(podUid, container) ?? this.#state?.defaultSet;
    // To the runtime an empty set means every CPU, those included that others have for themselves.
    return cpus?.size === 0 ? this.#policy?.reserved : cpus;
  }

  #poolChanged(): void {
    if (this.#state !== undefined && this.#policy !== undefined)
      this.#metrics.changed(this.#state, this.#policy.reserved);
    this.requestReconcile();
  }

  #arm(ms: number): void {
    this.#timer?.cancel();
    this.#timer = this.#options.clock.timer(ms, () => void this.#pass());
  }

  async #pass(): Promise<void> {
    this.#again = false;
    this.#running = this.reconcile();
    try {
      await this.#running;
    } catch (error) {
      this.#logger.error("a pass over the containers' CPUs failed", { err: errorText(error) });
    }
    this.#running = undefined;
    if (this.#started)
      this.#arm(this.#again ? GATHER_MS : (this.#options.reconcilePeriodMs ?? DEFAULT_PERIOD_MS));
  }

  /** Only once every source has listed: until then a pod that is not known may yet come. `except` is being admitted. kubelet: removeStaleState. */
  #removeStale(except?: string): void {
    const { pods } = this.#options;
    if (this.#state === undefined || this.#state.assignments.size === 0 || !pods.sourcesReady()) return;
    const active = new Set(pods.activePods().map(({ metadata }) => metadata.uid));
    for (const uid of this.#state.assignments.keys())
      if (uid !== except && !active.has(uid)) {
        this.#logger.info("CPUs of a pod that is gone go back to the pool", { podUid: uid });
        this.removePod(uid);
      }
  }

  #open(): [CpuState, StaticCpuPolicy] {
    const { checkpoint, policy, policyOptions, onInvalidState, ...rest } = this.#options;
    const open = (): [CpuState, StaticCpuPolicy] => {
      const state = new CpuState(checkpoint, policy);
      const options = { ...rest, state, ...(policyOptions === undefined ? {} : { options: policyOptions }) };
      const made = new StaticCpuPolicy(options);
      made.start();
      return [state, made];
    };
    return openState({
      checkpoint,
      key: STATE_KEY,
      what: "CPUs",
      onInvalidState,
      logger: this.#logger,
      open,
    });
  }
}
