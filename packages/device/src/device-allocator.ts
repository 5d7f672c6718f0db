// SPDX-License-Identifier: Apache-2.0

/**
 * Gives devices to containers. kubelet: allocateContainerResources, GetTopologyHints, deviceRunContainerOptions.
 *
 * Owns: what of a pod being admitted may be taken over by its next container. Reads and writes the records; reads the pools.
 * Invariants: an id is marked before its plugin is asked; what a failed admission took is free again; a pod that is released while its plugin is asked
 * gets nothing. Lost on a crash: admissions under way, of which nothing was started.
 */
import type { Publisher, Subject } from "@holdfast/bus";
import type { Clock } from "@holdfast/core/clock";
import { errorText, HoldfastError } from "@holdfast/core/errors";
import type { Logger } from "@holdfast/core/log";
import { DEVICES_ANNOTATION, MOVE_DEVICES_ANNOTATION } from "@holdfast/core/names";
import type { Histogram } from "@holdfast/core/metrics";
import { isSidecar } from "@holdfast/core/pod";
import type { Container, Pod } from "@holdfast/core/pod-types";
import { wholeValue } from "@holdfast/core/quantity";
import { chooseDevices } from "./choose-devices.ts";
import { computeAdmission, lostDevicesText } from "./compute-admission.ts";
import { writeDevicesAnnotation } from "./devices-annotation.ts";
import { DevicesAllocated, DevicesAllocating } from "./events.ts";
import type { DeviceRecord, PodDevices } from "./pod-devices.ts";
import type { ContainerAnswer, DevicePods } from "./ports.ts";
import { isExtendedResourceName } from "@holdfast/core/resource-name";
import type { ResourcePool } from "./resource-pool.ts";
import { mergeAnswers, NO_DEVICES } from "./run-options.ts";
import type { ContainerDevices } from "./run-options.ts";
import type { TopologyHint } from "./topology-hints.ts";

/** Why a pod may not begin (yet). kubelet: a rejection with reason UnexpectedAdmissionError. */
export class DeviceAdmissionError extends HoldfastError {
  /** The kubelet's reason for a rejection, or that of a wait; the message is its text. */
  readonly admissionReason: string;
  /** A plugin is expected: a time-limited wait, no refusal. */
  readonly waits: boolean;

  constructor(text: string, waits: boolean, cause?: unknown) {
    const message = waits ? text : `Allocate failed due to ${text}, which is unexpected`;
    super("DEVICE_ADMISSION", "retryable", message, cause === undefined ? {} : { cause });
    this.waits = waits;
    this.admissionReason = waits ? WAITING_FOR_PLUGIN : "UnexpectedAdmissionError";
  }
}

/** Reason of a pod that waits for a plugin. */
export const WAITING_FOR_PLUGIN = "DevicePluginNotReady";

/** By resource: ids that earlier init containers of the pod leave to the next one. */
export type ReuseTable = Map<string, Set<string>>;

/** What an allocator is made of. */
export interface DeviceAllocatorOptions {
  readonly clock: Clock;
  readonly pools: ReadonlyMap<string, ResourcePool>;
  readonly records: PodDevices;
  readonly pods: DevicePods;
  readonly bootId: string;
  readonly graceMs: number;
  readonly pluginWaitMs: number;
  readonly publish: Publisher;
  readonly logger: Logger;
  readonly duration: Histogram;
  readonly cdiProblem?: (() => string | undefined) | undefined;
}

/** A record that was made, and the one in whose place it came. */
export interface Allocation {
  readonly record: DeviceRecord;
  readonly before: DeviceRecord | undefined;
}

/** One resource that a container asks for. */
interface Wish {
  readonly pod: Pod;
  readonly container: Container;
  readonly resource: string;
  readonly requested: number;
  readonly hint: TopologyHint | undefined;
  readonly signal: AbortSignal;
}

/** See the top of the file. */
export class DeviceAllocator {
  readonly #options: DeviceAllocatorOptions;

  constructor(options: DeviceAllocatorOptions) {
    this.#options = options;
  }

  /** Extended resources in the container's limits, by name, whole numbers rounded up. */
  requestsOf(container: Container): readonly { readonly resource: string; readonly requested: number }[] {
    return Object.entries(container.resources?.limits ?? {})
      .filter(([name]) => isExtendedResourceName(name))
      .map(([resource, quantity]) => ({ resource, requested: wholeValue(quantity) }))
      .sort((a, b) => (a.resource < b.resource ? -1 : 1));
  }

  /**
   * Gives one container of a pod what it asks for. Throws {@link DeviceAdmissionError}; what other containers got before stays: see `undo`.
   * Returns the records that it made.
   */
  async allocateContainer(
    pod: Pod,
    container: Container,
    { hint, reuse, signal }: { hint?: TopologyHint; reuse: ReuseTable; signal: AbortSignal },
  ): Promise<readonly Allocation[]> {
    const made: Allocation[] = [];
    try {
      for (const { resource, requested } of this.requestsOf(container)) {
        const wish = { pod, container, resource, requested, hint, signal };
        const before = this.#recorded(wish);
        const record = await this.#admit(wish, reuse.get(resource) ?? NOTHING);
        if (record !== undefined) made.push({ record, before });
      }
    } catch (error) {
      this.undo(made);
      throw error;
    }
    this.#passOn(pod, container, reuse);
    return made;
  }

  /** Takes back what was given and not yet used. */
  undo(made: readonly Allocation[]): void {
    const { records } = this.#options;
    for (const { record, before } of made) {
      const { podUid, container, resource } = record;
      if (records.get(podUid, container, resource) !== record) continue;
      const owners = records.owners(resource);
      // What the pod had before the reboot stays its own, unless somebody has it by now.
      const isFree = before?.ids.every((id) => [podUid, undefined].includes(owners.get(id))) === true;
      if (before !== undefined && isFree) records.put(before);
      else records.remove(record);
    }
  }

  /** What the container is created with. Rejects when it must not start. Returns the records that it made, too. */
  async containerDevices(
    pod: Pod,
    container: Container,
    signal: AbortSignal,
  ): Promise<{ readonly options: ContainerDevices; readonly changed: boolean }> {
    const wanted = this.requestsOf(container).filter(({ requested }) => requested > 0);
    if (wanted.length === 0) return { options: NO_DEVICES, changed: false };
    const records: DeviceRecord[] = [];
    let changed = false;
    for (const { resource, requested } of wanted) {
      const wish: Wish = { pod, container, resource, requested, hint: undefined, signal };
      const before = this.#recorded(wish);
      const record = await this.#atStart(wish, before);
      if (record === undefined) continue;
      changed ||= record !== before;
      await this.#preStart(wish, record);
      records.push(record);
    }
    const { options, conflicts } = mergeAnswers(records.map(({ answer }) => answer));
    for (const { kind, key } of conflicts)
      this.#options.logger.warn("two device plugins want different things; the first is taken", {
        pod: `${pod.metadata.namespace}/${pod.metadata.name}`,
        container: container.name,
        kind,
        key,
      });
    const problem = options.cdiDevices.length === 0 ? undefined : this.#options.cdiProblem?.();
    if (problem !== undefined)
      throw new HoldfastError(
        "DEVICE_CDI",
        "permanent",
        `CDI devices ${options.cdiDevices.join(", ")} cannot be given: ${problem}`,
      );
    if (records.length === 0) return { options, changed };
    const annotations = { ...options.annotations, [DEVICES_ANNOTATION]: writeDevicesAnnotation(records) };
    return { options: { ...options, annotations }, changed };
  }

  #recorded({ pod, container, resource }: Wish): DeviceRecord | undefined {
    return this.#options.records.get(pod.metadata.uid, container.name, resource);
  }

  /** One resource at admission. Undefined: nothing had to be done. */
  async #admit(wish: Wish, reusable: ReadonlySet<string>): Promise<DeviceRecord | undefined> {
    const { pod, container, resource, requested } = wish;
    const { pods, pools, bootId } = this.#options;
    const recorded = this.#recorded(wish);
    const pool = pools.get(resource);
    const step = computeAdmission({
      podUid: pod.metadata.uid,
      container: container.name,
      resource,
      requested,
      recorded: recorded && { ids: recorded.ids, thisBoot: recorded.bootId === bootId },
      running: pods.isRunning(pod.metadata.uid, container.name),
      pool: pool && { phase: pool.phase, mayCome: this.#mayCome(pool), healthy: pool.healthy() },
    });
    if (step.kind === "keep") return undefined;
    if (step.kind === "wait") throw new DeviceAdmissionError(step.message, true);
    if (step.kind === "refuse" || pool === undefined)
      throw new DeviceAdmissionError(step.kind === "refuse" ? step.message : "", false);
    const keep = [...new Set([...step.sticky, ...reusable])];
    try {
      return await this.#allocate(wish, pool, keep);
    } catch (error) {
      if (error instanceof DeviceAdmissionError && recorded !== undefined && error.cause === SHORT)
        throw new DeviceAdmissionError(lostDevicesText(resource), false);
      throw error;
    }
  }

  /** Chooses, marks, asks the plugin, records. Throws {@link DeviceAdmissionError} or the signal's reason. */
  async #allocate(wish: Wish, pool: ResourcePool, keep: readonly string[]): Promise<DeviceRecord> {
    const { pod, container, resource, signal } = wish;
    const { records, publish, bootId } = this.#options;
    const podUid = pod.metadata.uid;
    const chosen = await pool.exclusive(() => this.#choose(wish, pool, keep));
    const about = { subject: subjectOf(pod, container) };
    const { ids } = chosen;
    try {
      signal.throwIfAborted();
      const intent = publish.publish(DevicesAllocating, { resource, ids }, about);
      const answer = await this.#ask(pool, ids, signal);
      // The pod may have gone while its plugin was asked.
      signal.throwIfAborted();
      const record: DeviceRecord = { podUid, container: container.name, resource, ...chosen, answer, bootId };
      records.put(record);
      publish.publish(DevicesAllocated, { resource, ids }, { ...about, causes: [intent] });
      return record;
    } catch (error) {
      records.unreserve(podUid, resource, ids);
      signal.throwIfAborted();
      throw new DeviceAdmissionError(errorText(error), false, error);
    }
  }

  async #choose(
    wish: Wish,
    pool: ResourcePool,
    keep: readonly string[],
  ): Promise<Pick<DeviceRecord, "ids" | "numaNodes">> {
    const { pod, resource, requested, hint, signal } = wish;
    const { records } = this.#options;
    const decide = (preferred?: readonly string[]) =>
      chooseDevices(
        {
          resource,
          requested,
          healthy: pool.healthy(),
          allocated: new Set(records.owners(resource).keys()),
          reusable: keep,
          ...(hint?.numaNodes === undefined ? {} : { hint: hint.numaNodes }),
          asksPreference: pool.endpoint?.plugin.getPreferredAllocationAvailable === true,
        },
        preferred,
      );
    signal.throwIfAborted();
    let decision = decide();
    if (decision.kind === "ask") {
      const preferred = await this.#preferred(pool, decision.question, signal);
      // Devices may have come and gone meanwhile.
      decision = decide(preferred);
    }
    if (decision.kind === "refused") throw new DeviceAdmissionError(decision.message, false, SHORT);
    if (decision.kind === "ask" || decision.ids.length < requested) {
      const got = decision.kind === "ask" ? 0 : decision.ids.length;
      throw new DeviceAdmissionError(
        `unexpectedly allocated less resources than required. Requested: ${requested}, Got: ${got}`,
        false,
      );
    }
    const healthy = pool.healthy();
    records.reserve(pod.metadata.uid, resource, decision.ids);
    return {
      ids: decision.ids,
      numaNodes: new Map(decision.ids.map((id) => [id, healthy.get(id) ?? []])),
    };
  }

  async #preferred(
    pool: ResourcePool,
    question: Parameters<NonNullable<ResourcePool["endpoint"]>["preferred"]>[0],
    signal: AbortSignal,
  ): Promise<readonly string[]> {
    try {
      return (await pool.endpoint?.preferred(question, signal)) ?? [];
    } catch (error) {
      signal.throwIfAborted();
      throw new DeviceAdmissionError(errorText(error), false, error);
    }
  }

  async #ask(pool: ResourcePool, ids: readonly string[], signal: AbortSignal): Promise<ContainerAnswer> {
    const { clock, duration } = this.#options;
    const { endpoint } = pool;
    if (endpoint === undefined) throw new Error(`unknown Device Plugin ${pool.name}`);
    const begun = clock.monotonic();
    try {
      return await endpoint.allocate(ids, signal);
    } finally {
      duration.observe((clock.monotonic() - begun) / 1000, { resource_name: pool.name });
    }
  }

  /** At the container's start: what was recorded, or what the plugin gives now. */
  async #atStart(wish: Wish, recorded: DeviceRecord | undefined): Promise<DeviceRecord | undefined> {
    const { pod, resource } = wish;
    const { pods, pools, bootId } = this.#options;
    const pool = pools.get(resource);
    if (recorded?.bootId === bootId) {
      if (pod.metadata.annotations?.[MOVE_DEVICES_ANNOTATION] !== "true" || pool === undefined)
        return recorded;
      return await this.#move(wish, recorded, pool);
    }
    const isActive = pods.activePods()?.has(pod.metadata.uid) ?? true;
    if (!isActive) return undefined;
    if (pool === undefined)
      throw new DeviceAdmissionError(`cannot allocate unregistered device ${resource}`, false);
    const made = await this.#admit({ ...wish }, NOTHING);
    return made ?? this.#recorded(wish) ?? (await this.#allocate(wish, pool, []));
  }

  /** Off devices that are no longer good, where the pod asked for it and others are free. The container does not run now. */
  async #move(wish: Wish, recorded: DeviceRecord, pool: ResourcePool): Promise<DeviceRecord> {
    const healthy = pool.healthy();
    const good = recorded.ids.filter((id) => healthy.has(id));
    if (pool.phase !== "listing" || good.length === recorded.ids.length) return recorded;
    try {
      return await this.#allocate(wish, pool, good);
    } catch (error) {
      wish.signal.throwIfAborted();
      this.#options.logger.warn("a container stays on a device that is not healthy", {
        pod: `${wish.pod.metadata.namespace}/${wish.pod.metadata.name}`,
        container: wish.container.name,
        resource: pool.name,
        err: errorText(error),
      });
      return recorded;
    }
  }

  async #preStart({ resource, signal }: Wish, record: DeviceRecord): Promise<void> {
    const pool = this.#options.pools.get(resource);
    if (pool?.plugin?.preStartRequired !== true) return;
    const { endpoint } = pool;
    // kubelet: after a restart it does not know that the plugin wants this, and starts the container without.
    if (endpoint === undefined)
      throw new HoldfastError(
        "DEVICE_PLUGIN_GONE",
        "retryable",
        `the device plugin of ${resource} is not there, and wants PreStartContainer before the container starts`,
      );
    await endpoint.preStart(record.ids, signal);
  }

  #mayCome(pool: ResourcePool): boolean {
    const { clock, graceMs, pluginWaitMs } = this.#options;
    const limit = pool.phase === "stopped" ? graceMs : pluginWaitMs;
    return clock.monotonic() - pool.since < limit;
  }

  /** kubelet: devicesToReuse. */
  #passOn(pod: Pod, container: Container, reuse: ReuseTable): void {
    const isInit = pod.spec.initContainers?.includes(container) === true && !isSidecar(container);
    for (const { resource, ids } of this.#options.records.ofContainer(pod.metadata.uid, container.name)) {
      const table = reuse.get(resource) ?? new Set<string>();
      reuse.set(resource, table);
      for (const id of ids) {
        if (isInit) table.add(id);
        else table.delete(id);
      }
    }
  }
}

const NOTHING: ReadonlySet<string> = new Set();
/** Tells a lack of devices from other failures. */
const SHORT = "short";

function subjectOf({ metadata }: Pod, container: Container): Subject {
  return {
    podUid: metadata.uid,
    pod: `${metadata.namespace}/${metadata.name}`,
    container: container.name,
  };
}
