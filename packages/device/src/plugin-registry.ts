// SPDX-License-Identifier: Apache-2.0

/**
 * Plugins as they register, list and go. kubelet: plugin/v1beta1 handler and client.
 *
 * Owns: one reading loop for each endpoint, the timers of endpoints that are gone. Invariants: a plugin is only believed after it answered
 * GetDevicePluginOptions; a loop that ends stops its own endpoint and no other; registrations are bounded. Lost on a crash: everything; plugins
 * register anew when they see the socket made anew, and who does not look at it is called on its own socket.
 */
import type { Publisher, Subject } from "@holdfast/bus";
import type { Timer } from "@holdfast/core/clock";
import { errorText, HoldfastError } from "@holdfast/core/errors";
import type { Logger } from "@holdfast/core/log";
import type { Counter, Metrics } from "@holdfast/core/metrics";
import {
  DeviceHealthChanged,
  PluginRefused,
  PluginRegistered,
  PluginStopped,
  ResourceChanged,
} from "./events.ts";
import { DEFAULT_GRACE_MS, DEFAULT_MAX_RESOURCES, DEFAULT_RECONNECT_MS } from "./options.ts";
import type { DeviceManagerOptions } from "./options.ts";
import type { KnownSocket } from "./checkpoint.ts";
import { callWithin, DEFAULT_DEADLINES, PluginEndpoint } from "./plugin-endpoint.ts";
import type { PluginDeadlines } from "./plugin-endpoint.ts";
import type { PodDevices } from "./pod-devices.ts";
import type { ListedDevice, PluginConnection } from "./ports.ts";
import { resourceNameProblem } from "@holdfast/core/resource-name";
import { Refusals } from "./refusals.ts";
import type { DeviceChange, ResourcePool } from "./resource-pool.ts";

/** The only version. kubelet: SupportedVersions. */
export const DEVICE_PLUGIN_VERSION = "v1beta1";
/** Registrations under way at once; more are refused. */
const MAX_REGISTERING = 64;

/** So many lists of one plugin are read in so many milliseconds; the others wait. */
const MAX_LISTS = 100;
const LISTS_WINDOW_MS = 10_000;

/** What a plugin says of itself. Options that come with it are not read. */
export interface RegisterRequest {
  readonly version: string;
  /** Name of its socket in the plugin folder. */
  readonly endpoint: string;
  readonly resourceName: string;
}

/** What a registry is made of. */
export interface PluginRegistryOptions extends Omit<DeviceManagerOptions, "checkpoint" | "pods"> {
  readonly logger: Logger;
  readonly publish: Publisher;
  readonly metrics: Metrics;
  readonly pools: Map<string, ResourcePool>;
  readonly records: PodDevices;
  readonly makePool: (name: string) => ResourcePool;
  /** Which resources there are changed. */
  readonly onResourcesChanged: () => void;
  readonly onChanged: () => void;
  readonly onPodChanged: (podUid: string) => void;
}

/** See the top of the file. */
export class PluginRegistry {
  readonly refusals: Refusals;
  readonly #options: PluginRegistryOptions;
  readonly #deadlines: PluginDeadlines;
  readonly #registrations: Counter;
  readonly #loops = new Set<Promise<void>>();
  readonly #grace = new Map<string, Timer>();
  #registering = 0;
  #reconnect: Timer | undefined;
  #stopped = false;

  constructor(options: PluginRegistryOptions) {
    this.#options = options;
    this.refusals = new Refusals(options.clock);
    this.#deadlines = { ...DEFAULT_DEADLINES, ...options.deadlines };
    this.#registrations = options.metrics.counter(
      "kubelet_device_plugin_registration_total",
      "Registrations of device plugins, refused ones included.",
    );
  }

  async register({ version, endpoint, resourceName }: RegisterRequest): Promise<void> {
    const isValid = resourceNameProblem(resourceName) === undefined;
    this.#registrations.inc({ resource_name: isValid ? resourceName : "invalid" });
    try {
      if (version !== DEVICE_PLUGIN_VERSION)
        throw refused(
          `requested API version "${version.slice(0, 64)}" is not supported by kubelet. Supported version is ["${DEVICE_PLUGIN_VERSION}"]`,
        );
      this.#checkName(resourceName);
      await this.connect(resourceName, endpoint);
    } catch (error) {
      this.#tellRefused(resourceName, endpoint, error);
      throw error;
    }
  }

  /** What a plugin of the watcher is told. */
  validate(resource: string, versions: readonly string[]): void {
    if (!versions.includes(DEVICE_PLUGIN_VERSION)) {
      const theirs = versions.slice(0, 8).join(", ").slice(0, 128);
      throw refused(
        `manager version, ${DEVICE_PLUGIN_VERSION}, is not among plugin supported versions [${theirs}]`,
      );
    }
    this.#checkName(resource);
  }

  /**
   * Plugins that registered with the agent before this one, and have not come by themselves: many only look at their own socket, which a kubelet would
   * have removed. Only the very socket is taken, and only once: a plugin that made another one registers.
   */
  reconnectSoon(): void {
    const { clock, pools, reconnectMs = DEFAULT_RECONNECT_MS } = this.#options;
    this.#reconnect = clock.timer(reconnectMs, () => {
      for (const pool of pools.values()) if (pool.phase === "unseen") void this.#reconnectTo(pool);
    });
  }

  async #reconnectTo(pool: ResourcePool): Promise<void> {
    const { bootId, logger } = this.#options;
    const known = pool.knownSocket;
    if (known === undefined || known.bootId !== bootId) return;
    try {
      await this.connect(pool.name, known.name, known);
    } catch (error) {
      pool.isAbsent(`its plugin was not found again: ${errorText(error)}`);
      logger.info("device plugin was not found again; it has to register", {
        resource: pool.name,
        socket: known.name,
        err: errorText(error),
      });
    }
  }

  /** Connects, asks what the plugin offers, and begins to read its lists. `known`: only to that one, and not when another one has registered. */
  async connect(resource: string, socket: string, known?: KnownSocket): Promise<void> {
    const { pools, clock, dialer, maxResources = DEFAULT_MAX_RESOURCES } = this.#options;
    if (this.#stopped) throw new HoldfastError("DEVICE_STOPPED", "retryable", "the agent stops");
    if (!pools.has(resource) && pools.size >= maxResources)
      throw refused(`the node has plugins for ${pools.size} resources, and that is the most`);
    if (this.#registering >= MAX_REGISTERING)
      throw new HoldfastError("DEVICE_BUSY", "retryable", "too many plugins register at once: come again");
    this.#registering++;
    try {
      const what = `device plugin of ${resource} (socket ${socket}): GetDevicePluginOptions`;
      let connection: PluginConnection | undefined;
      const plugin = await callWithin(clock, this.#deadlines.registerMs, what, [], async (signal) => {
        connection = await dialer.dial(socket, signal);
        // It came after its time: nobody else will close it.
        if (signal.aborted) connection.close();
        if (known !== undefined && connection.identity !== known.identity)
          throw new HoldfastError("DEVICE_SOCKET", "not-found", `socket ${socket} was made anew`);
        return await connection.options(signal);
      }).catch((error: unknown) => {
        connection?.close();
        throw error;
      });
      if (connection === undefined) return;
      const isLate = known !== undefined && pools.get(resource)?.phase !== "unseen";
      if (this.#stopped || isLate) connection.close();
      else {
        const deadlines = this.#deadlines;
        this.#install(new PluginEndpoint({ resource, socket, connection, plugin, clock, deadlines }));
      }
    } finally {
      this.#registering--;
    }
  }

  deregister(resource: string, socket: string): void {
    const endpoint = this.#options.pools.get(resource)?.endpoint;
    if (endpoint?.socket === socket) this.#ended(endpoint, "its socket was removed");
  }

  /** What can be given out of a resource changed. */
  countsChanged(pool: ResourcePool): void {
    const { publish, onChanged } = this.#options;
    publish.publish(ResourceChanged, { resource: pool.name, ...pool.counts() });
    onChanged();
  }

  /** Ends every loop. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#reconnect?.cancel();
    for (const timer of this.#grace.values()) timer.cancel();
    this.#grace.clear();
    for (const pool of this.#options.pools.values()) pool.close();
    await Promise.all(this.#loops);
  }

  #checkName(resource: string): void {
    const problem = resourceNameProblem(resource);
    if (problem !== undefined)
      throw refused(`the ResourceName "${resource.slice(0, 256)}" is invalid: ${problem}`);
  }

  #install(endpoint: PluginEndpoint): void {
    const { pools, makePool, logger, publish, onResourcesChanged, clock, bootId } = this.#options;
    const { resource, socket } = endpoint;
    const known = pools.get(resource);
    const pool = known ?? makePool(resource);
    const isNew = known === undefined || known.phase === "removed";
    this.#grace.get(resource)?.cancel();
    this.#grace.delete(resource);
    const before = JSON.stringify([pool.plugin, pool.knownSocket]);
    pool.register(endpoint, bootId);
    if (isNew || before !== JSON.stringify([pool.plugin, pool.knownSocket])) onResourcesChanged();
    this.refusals.forget(resource);
    logger.info("device plugin registered", { resource, socket });
    publish.publish(PluginRegistered, { resource, socket, message: "registered" }, about(resource));
    const late = clock.timer(this.#deadlines.firstListMs, () =>
      logger.warn("device plugin has registered and lists no devices", { resource, socket }),
    );
    const loop = this.#read(endpoint, pool, late).finally(() => {
      late.cancel();
      this.#loops.delete(loop);
    });
    this.#loops.add(loop);
  }

  async #read(endpoint: PluginEndpoint, pool: ResourcePool, late: Timer): Promise<void> {
    const { clock, logger } = this.#options;
    let reason = "it ended its list of devices";
    let window = { since: clock.monotonic(), lists: 0 };
    try {
      for await (const list of endpoint.lists()) {
        if (endpoint.stopped) break;
        late.cancel();
        this.#listed(pool, list);
        const age = clock.monotonic() - window.since;
        if (age >= LISTS_WINDOW_MS) window = { since: clock.monotonic(), lists: 0 };
        if (++window.lists < MAX_LISTS) continue;
        const { resource, socket } = endpoint;
        logger.warn("device plugin lists without end, and is read more slowly", { resource, socket });
        await clock.sleep(LISTS_WINDOW_MS - Math.min(age, LISTS_WINDOW_MS), { signal: endpoint.signal });
      }
    } catch (error) {
      reason = `its list of devices ended: ${errorText(error)}`;
    }
    if (!this.#stopped) this.#ended(endpoint, reason);
  }

  #listed(pool: ResourcePool, list: readonly ListedDevice[]): void {
    const before = pool.counts();
    const phase = pool.phase;
    const problem = pool.problem;
    const changes = pool.list(list);
    if (pool.problem !== undefined && pool.problem !== problem)
      this.#options.logger.warn("device plugin lists nonsense", {
        resource: pool.name,
        problem: pool.problem,
      });
    for (const change of changes) this.#tellHealth(pool, change);
    // What was unknown while no plugin told is known again.
    if (phase !== pool.phase) this.#tellHolders(pool);
    const after = pool.counts();
    const isSame = before.capacity === after.capacity && before.allocatable === after.allocatable;
    if (!isSame || phase !== pool.phase || changes.length > 0) this.countsChanged(pool);
  }

  /** Only devices that a pod holds are told of one by one: a plugin may have ten thousand. */
  #tellHealth(pool: ResourcePool, { id, healthy, reason, isNew }: DeviceChange): void {
    const { records, publish, onPodChanged } = this.#options;
    const holder = records.holderOf(pool.name, id);
    if (holder === undefined) return;
    onPodChanged(holder.podUid);
    // Good as it was when the agent stopped: nothing has happened to it.
    if (isNew && healthy) return;
    const subject: Subject = {
      podUid: holder.podUid,
      container: holder.container,
      device: `${pool.name}/${id}`,
    };
    publish.publish(
      DeviceHealthChanged,
      {
        eventType: healthy ? "Normal" : "Warning",
        reason: healthy ? "DeviceHealthy" : "DeviceUnhealthy",
        message: `device ${id} of ${pool.name} is ${healthy ? "healthy again" : "unhealthy"}: ${reason}`,
        resource: pool.name,
        deviceId: id,
        healthy,
      },
      { subject },
    );
  }

  /** The health of all that pods hold of it is known, or not known any more. */
  #tellHolders(pool: ResourcePool): void {
    for (const podUid of new Set(this.#options.records.owners(pool.name).values()))
      this.#options.onPodChanged(podUid);
  }

  #ended(endpoint: PluginEndpoint, reason: string): void {
    const { pools, logger, publish, clock, graceMs = DEFAULT_GRACE_MS } = this.#options;
    const { resource, socket } = endpoint;
    const pool = pools.get(resource);
    if (pool?.stop(endpoint, reason) !== true) return;
    logger.warn("device plugin is gone", { resource, socket, reason });
    publish.publish(PluginStopped, { resource, socket, message: reason }, about(resource));
    this.#tellHolders(pool);
    this.countsChanged(pool);
    this.#grace.set(
      resource,
      clock.timer(graceMs, () => {
        this.#grace.delete(resource);
        pool.remove();
        this.countsChanged(pool);
        this.#options.onResourcesChanged();
      }),
    );
  }

  #tellRefused(resourceName: string, endpoint: string, error: unknown): void {
    const { logger, publish } = this.#options;
    const resource = resourceName.slice(0, 256);
    const socket = endpoint.slice(0, 256);
    const message = errorText(error);
    logger.warn("device plugin was refused", { resource, socket, err: message });
    publish.publish(PluginRefused, { resource, socket, message });
    this.refusals.note(resource, socket, message);
  }
}

function about(device: string): { readonly subject: Subject } {
  return { subject: { device } };
}

function refused(message: string): HoldfastError {
  return new HoldfastError("DEVICE_REGISTRATION", "bad-input", message);
}
