// SPDX-License-Identifier: Apache-2.0

/**
 * Device plugins and what they give. kubelet: cm/devicemanager ManagerImpl.
 *
 *   Register ──> endpoint ──lists──> pool of the resource ──> capacity, health, hints
 *   admission, container start ──> allocator ──Allocate──> records ──> checkpoint
 *
 * Owns: the pools, the records, the checkpoint. Reads: plugins, the pods' list. Invariants: no device is two pods'; a plugin that hangs, lies or goes
 * harms no other and no container that runs; nothing of a pod is given back before every source has listed. Lost on a crash: histories of health;
 * what was given and not written yet, of which no container was started.
 */
import { nullPublisher } from "@holdfast/bus";
import type { Publisher } from "@holdfast/bus";
import type { Timer } from "@holdfast/core/clock";
import { errorText, HoldfastError } from "@holdfast/core/errors";
import { linkSignal, withDeadline } from "@holdfast/core/lifecycle";
import type { Component, Health, LinkedSignal } from "@holdfast/core/lifecycle";
import { silentLogger } from "@holdfast/core/log";
import type { Logger } from "@holdfast/core/log";
import { noMetrics } from "@holdfast/core/metrics";
import { allContainers } from "@holdfast/core/pod";
import type { Container, Pod } from "@holdfast/core/pod-types";
import { readCheckpoint, writeCheckpoint } from "./checkpoint.ts";
import { CheckpointWriter } from "./checkpoint-writer.ts";
import { DeviceAdmissionError, DeviceAllocator } from "./device-allocator.ts";
import type { Allocation, ReuseTable } from "./device-allocator.ts";
import { DEFAULT_HYSTERESIS } from "./device-health.ts";
import { DEFAULT_MAX_DEVICES } from "./device-list.ts";
import { allocatedResourcesStatus, deviceSnapshot, nodeResources } from "./device-views.ts";
import type { AllocatedResourceStatus, NodeResource, ResourceView } from "./device-views.ts";
import { readDevicesAnnotation } from "./devices-annotation.ts";
import { DevicesReleased } from "./events.ts";
import { DEFAULT_GRACE_MS, DEFAULT_PLUGIN_WAIT_MS } from "./options.ts";
import type { DeviceManagerOptions } from "./options.ts";
import { PodDevices } from "./pod-devices.ts";
import type { DeviceRecord } from "./pod-devices.ts";
import { PluginRegistry } from "./plugin-registry.ts";
import type { RegisterRequest } from "./plugin-registry.ts";
import type { Refusal } from "./refusals.ts";
import { ResourcePool } from "./resource-pool.ts";
import type { ContainerDevices } from "./run-options.ts";
import { computeContainerHints, computePodHints } from "./compute-hints.ts";
import type { TopologyHint } from "./topology-hints.ts";

/** What became of an admission. `waiting`: a plugin is expected, and only for a time. */
export type DeviceAdmission =
  | { readonly kind: "admitted" }
  | { readonly kind: "waiting" | "refused"; readonly reason: string; readonly message: string };

const WRITTEN_MS = 5000;

/** See the top of the file. */
export class DeviceManager implements Component {
  readonly name = "device";
  readonly records: PodDevices = new PodDevices();
  readonly #options: DeviceManagerOptions;
  readonly #logger: Logger;
  readonly #publish: Publisher;
  readonly #pools = new Map<string, ResourcePool>();
  readonly #registry: PluginRegistry;
  readonly #allocator: DeviceAllocator;
  readonly #writer: CheckpointWriter;
  /** Pods being admitted: aborted when they are released. */
  readonly #admitting = new Map<string, LinkedSignal>();
  /** Of the pod that the topology manager is asking about. */
  #reuse: { readonly podUid: string; readonly table: ReuseTable } | undefined;
  /** What each pod got in its last admission, by UID: all of it goes if the pod is refused for another reason. */
  readonly #made = new Map<string, Allocation[]>();
  #waitOver: Timer | undefined;
  #life: LinkedSignal | undefined;
  #problem: string | undefined;
  /** Why nothing may be done at all. */
  #refusal: string | undefined;

  constructor(options: DeviceManagerOptions) {
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
    this.#publish = options.publish ?? nullPublisher;
    const metrics = options.metrics ?? noMetrics;
    this.#writer = new CheckpointWriter(options.checkpoint, () => this.#text());
    this.#registry = new PluginRegistry({
      ...options,
      logger: this.#logger,
      publish: this.#publish,
      metrics,
      pools: this.#pools,
      records: this.records,
      makePool: (name) => this.#makePool(name),
      onResourcesChanged: () => this.#saveSoon(),
      onChanged: () => options.onChanged?.(),
      onPodChanged: (podUid) => options.onPodChanged?.(podUid),
    });
    this.#allocator = new DeviceAllocator({
      clock: options.clock,
      pools: this.#pools,
      records: this.records,
      pods: options.pods,
      bootId: options.bootId,
      graceMs: options.graceMs ?? DEFAULT_GRACE_MS,
      pluginWaitMs: options.pluginWaitMs ?? DEFAULT_PLUGIN_WAIT_MS,
      publish: this.#publish,
      logger: this.#logger,
      cdiProblem: options.cdiProblem,
      duration: metrics.histogram(
        "kubelet_device_plugin_alloc_duration_seconds",
        "Duration of Allocate of device plugins, failures included.",
      ),
    });
  }

  /** Reads the checkpoint. A damaged one is told and set aside by the next write: nothing is known then. */
  async start(signal?: AbortSignal): Promise<void> {
    if (this.#life !== undefined) return;
    this.#life = linkSignal();
    try {
      await this.#options.claim?.();
    } catch (error) {
      this.#refusal = `no devices are given: ${errorText(error)}`;
      this.#logger.error("no devices are given", { err: errorText(error) });
      return;
    }
    try {
      const text = await this.#options.checkpoint.read();
      if (text === undefined) await this.#findRunning();
      else this.#restore(text);
    } catch (error) {
      this.#problem = `devices given before the restart are only known of containers that run: ${errorText(error)}`;
      this.#logger.error("devices given before the restart are only known of containers that run", {
        err: errorText(error),
      });
      await this.#findRunning();
    }
    signal?.throwIfAborted();
    if (this.#pools.size === 0) return;
    // Who waits for a plugin has to be told when the time is over.
    const waitMs = this.#options.pluginWaitMs ?? DEFAULT_PLUGIN_WAIT_MS;
    this.#waitOver = this.#options.clock.timer(waitMs, () => {
      for (const pool of this.#pools.values())
        if (pool.phase === "unseen" && this.records.owners(pool.name).size === 0) pool.remove();
      this.#saveSoon();
      this.#options.onChanged?.();
    });
    this.#registry.reconnectSoon();
  }

  /** Lets go of every plugin. Allocations stay. Idempotent. */
  async stop(): Promise<void> {
    const life = this.#life;
    this.#life = undefined;
    if (life === undefined) return;
    const reason = new HoldfastError("DEVICE_STOPPED", "cancelled", "the device manager stops");
    life.abort(reason);
    this.#waitOver?.cancel();
    for (const admission of this.#admitting.values()) admission.abort(reason);
    await this.#registry.stop();
    for (const pool of this.#pools.values()) pool.close();
    await this.#writer.settled();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Names what hangs, what cannot be kept, what was lost. */
  health(): Health {
    const hanging = [...this.#pools.values()].flatMap((pool) => pool.endpoint?.hang ?? []);
    const own = [this.#refusal, this.#problem].filter((text) => text !== undefined);
    return { failures: [...own, ...hanging] };
  }

  // --- plugins ---

  /** A plugin registers by itself. Rejects with the text that it is told. kubelet: Register. */
  async register(request: RegisterRequest): Promise<void> {
    this.#mayAct();
    await this.#registry.register(request);
    // One that registers only once is found by the next agent through what is written: it hears of its success when that is. A disk that hangs is told elsewhere.
    const written = withDeadline(this.#options.clock, WRITTEN_MS, "writing", this.#writer.settled());
    await written.catch(() => undefined);
  }

  /** A plugin was found by its socket. Throws what it is told. kubelet: ValidatePlugin. */
  validatePlugin(resource: string, versions: readonly string[]): void {
    this.#mayAct();
    this.#registry.validate(resource, versions);
  }

  /** For the plugin watcher, type DevicePlugin. Endpoints are absolute paths. kubelet: GetWatcherHandler. */
  get pluginHandler(): {
    validate(resource: string, versions: readonly string[]): void;
    register(resource: string, endpoint: string): Promise<void>;
    deregister(resource: string, endpoint: string): void;
  } {
    return {
      validate: (resource, versions) => this.validatePlugin(resource, versions),
      register: (resource, endpoint) => this.#registry.connect(resource, endpoint),
      deregister: (resource, endpoint) => this.#registry.deregister(resource, endpoint),
    };
  }

  // --- pods ---

  /** Whether the pod asks for any extended resource: the others need not be asked about. */
  wants(pod: Pod): boolean {
    return allContainers(pod.spec).some((one) => this.#allocator.requestsOf(one).length > 0);
  }

  /** Gives all containers of a pod what they ask for, or none of them. Rejects only when `signal` aborts or the pod is released meanwhile. */
  async admit(pod: Pod, signal?: AbortSignal): Promise<DeviceAdmission> {
    if (!this.wants(pod)) return { kind: "admitted" };
    const { uid } = pod.metadata;
    this.collectGarbage();
    this.#admitting.get(uid)?.abort(new Error("the pod is admitted anew"));
    const link = linkSignal(signal);
    this.#admitting.set(uid, link);
    const made: Allocation[] = [];
    const reuse: ReuseTable = new Map();
    try {
      for (const container of allContainers(pod.spec))
        made.push(
          ...(await this.#allocator.allocateContainer(pod, container, { reuse, signal: link.signal })),
        );
      if (made.length > 0) await this.#save();
      link.signal.throwIfAborted();
      if (made.length > 0) this.#made.set(uid, made);
      return { kind: "admitted" };
    } catch (error) {
      // Nobody is told of what is free again: who waits for it would wake itself, and take it, and fail, without end.
      this.#allocator.undo(made);
      link.signal.throwIfAborted();
      return refusal(error);
    } finally {
      link[Symbol.dispose]();
      if (this.#admitting.get(uid) === link) this.#admitting.delete(uid);
    }
  }

  /** As {@link admit}, for one container under a topology hint. Throws {@link DeviceAdmissionError}. See `HintProvider` in @holdfast/resource. */
  async allocate(pod: Pod, container: Container, hint: TopologyHint): Promise<void> {
    const { uid } = pod.metadata;
    if (this.#reuse?.podUid !== uid) this.#reuse = { podUid: uid, table: new Map() };
    this.collectGarbage();
    const { table } = this.#reuse;
    const link = this.#admitting.get(uid) ?? linkSignal(this.#life?.signal);
    this.#admitting.set(uid, link);
    try {
      const { signal } = link;
      const made = await this.#allocator.allocateContainer(pod, container, { hint, reuse: table, signal });
      if (made.length > 0) this.#made.set(uid, [...(this.#made.get(uid) ?? []), ...made]);
      if (made.length > 0) await this.#save();
    } finally {
      if (this.#admitting.get(uid) === link) this.#admitting.delete(uid);
      link[Symbol.dispose]();
    }
  }

  /** After {@link admit} or {@link allocate}, when the pod is refused all the same and has not begun: what it got is free again. Wakes nobody. */
  undo(podUid: string): void {
    const made = this.#made.get(podUid);
    if (this.#reuse?.podUid === podUid) this.#reuse = undefined;
    if (made === undefined) return;
    this.#made.delete(podUid);
    this.#allocator.undo(made);
    this.#saveSoon();
  }

  /** kubelet: GetTopologyHints. */
  topologyHints(pod: Pod, container: Container): ReadonlyMap<string, readonly TopologyHint[] | undefined> {
    this.collectGarbage();
    const reuse = this.#reuse?.podUid === pod.metadata.uid ? this.#reuse.table : undefined;
    return computeContainerHints(
      this.#hintFacts(),
      pod,
      container,
      this.#allocator.requestsOf(container),
      reuse,
    );
  }

  /** kubelet: GetPodTopologyHints. */
  podTopologyHints(pod: Pod): ReadonlyMap<string, readonly TopologyHint[] | undefined> {
    this.collectGarbage();
    return computePodHints(this.#hintFacts(), pod, (container) => this.#allocator.requestsOf(container));
  }

  /** What a container is created with, asked at each of its starts. Rejects when it must not start yet. */
  async containerDevices(pod: Pod, container: Container, signal?: AbortSignal): Promise<ContainerDevices> {
    const link = linkSignal(signal);
    try {
      const { options, changed } = await this.#allocator.containerDevices(pod, container, link.signal);
      if (changed) {
        await this.#save();
        this.#freed();
      }
      return options;
    } finally {
      link[Symbol.dispose]();
    }
  }

  /** Nothing of the pod runs any more, or will: its devices are free. */
  release(podUid: string): void {
    this.#admitting
      .get(podUid)
      ?.abort(new HoldfastError("DEVICE_POD_GONE", "cancelled", "the pod has ended"));
    this.#made.delete(podUid);
    this.#tellReleased(this.records.removePod(podUid));
  }

  /** Frees what pods hold that are no longer active. Nothing happens before every source has listed. kubelet: UpdateAllocatedDevices. */
  collectGarbage(): void {
    const active = this.#options.pods.activePods();
    if (active === undefined) return;
    for (const uid of this.records.pods())
      if (!active.has(uid) && !this.#admitting.has(uid)) {
        this.#made.delete(uid);
        this.#tellReleased(this.records.removePod(uid));
      }
  }

  // --- views ---

  /** Capacity and allocatable by resource, removed ones with 0. kubelet: GetCapacity. */
  resources(): readonly NodeResource[] {
    return nodeResources(this.#pools);
  }

  /** Everything about every resource and device: for people. */
  snapshot(): readonly ResourceView[] {
    return deviceSnapshot(this.#pools, this.records, this.#options.clock);
  }

  /** Plugins that were told no lately, and have not been taken since. */
  refusals(): readonly Refusal[] {
    return this.#registry.refusals.all();
  }

  /** All pools, for views. */
  pools(): Iterable<ResourcePool> {
    return this.#pools.values();
  }

  /** What a container's status says of its devices. kubelet: UpdateAllocatedResourcesStatus. */
  allocatedResourcesStatus(podUid: string, container: string): readonly AllocatedResourceStatus[] {
    return allocatedResourcesStatus(this.#pools, this.records, podUid, container);
  }

  /** The pool of a resource, for views. */
  pool(resource: string): ResourcePool | undefined {
    return this.#pools.get(resource);
  }

  #mayAct(): void {
    if (this.#refusal !== undefined) throw new DeviceAdmissionError(this.#refusal, false);
  }

  #hintFacts(): Parameters<typeof computeContainerHints>[0] {
    return { pools: this.#pools, records: this.records, machineNodes: this.#options.machineNodes ?? [0] };
  }

  #makePool(name: string): ResourcePool {
    const { clock, maxDevices = DEFAULT_MAX_DEVICES } = this.#options;
    const pool = new ResourcePool({
      name,
      clock,
      maxDevices,
      hysteresis: { ...DEFAULT_HYSTERESIS, ...this.#options.hysteresis },
      onReleased: () => this.#registry.countsChanged(pool),
    });
    this.#pools.set(name, pool);
    return pool;
  }

  #restore(text: string): void {
    const { records, resources } = readCheckpoint(text);
    for (const [name, known] of resources) this.#makePool(name).remember(known);
    for (const record of records) this.records.put(record);
  }

  /** Without a checkpoint: what runs says itself what it has. */
  async #findRunning(): Promise<void> {
    try {
      const found = (await this.#options.findRunning?.()) ?? [];
      for (const record of found.flatMap(readDevicesAnnotation)) {
        const owners = this.records.owners(record.resource);
        // Somebody lies, or two agents have the same folder: the first one keeps it.
        if (record.ids.some((id) => (owners.get(id) ?? record.podUid) !== record.podUid)) continue;
        if (!this.#pools.has(record.resource)) this.#makePool(record.resource);
        this.records.put(record);
      }
    } catch (error) {
      this.#problem = `devices given before the restart are not known: ${errorText(error)}`;
      this.#logger.error("devices given before the restart are not known", { err: errorText(error) });
    }
  }

  #text(): string {
    const known = [...this.#pools.values()].filter(({ phase }) => phase !== "removed");
    return writeCheckpoint(
      {
        records: this.records.all(),
        resources: new Map(
          known.map(({ name, plugin, knownSocket }) => [name, { options: plugin, socket: knownSocket }]),
        ),
      },
      (name) => [...(this.#pools.get(name)?.healthy().keys() ?? [])],
    );
  }

  async #save(): Promise<void> {
    this.#mayAct();
    try {
      await this.#writer.save();
      this.#problem = undefined;
    } catch (error) {
      this.#problem = `what is given cannot be written down: ${errorText(error)}`;
      throw new DeviceAdmissionError(this.#problem, false, error);
    }
  }

  /** Where nobody has to wait for it: health says when it failed. */
  #saveSoon(): void {
    if (this.#life === undefined || this.#refusal !== undefined) return;
    void this.#save().catch((error: unknown) =>
      this.#logger.warn("the device checkpoint was not written", { err: errorText(error) }),
    );
  }

  #tellReleased(held: readonly DeviceRecord[]): void {
    if (held.length === 0) return;
    for (const { podUid, container, resource, ids } of held)
      this.#publish.publish(DevicesReleased, { resource, ids }, { subject: { podUid, container } });
    this.#saveSoon();
    this.#freed();
  }

  #freed(): void {
    this.#options.onChanged?.();
  }
}

function refusal(error: unknown): DeviceAdmission {
  if (!(error instanceof DeviceAdmissionError)) throw error;
  const { waits, admissionReason: reason, message } = error;
  return { kind: waits ? "waiting" : "refused", reason, message };
}
