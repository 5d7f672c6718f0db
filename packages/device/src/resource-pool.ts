// SPDX-License-Identifier: Apache-2.0

/**
 * One extended resource: its plugin, its devices, which of them can be given out.
 *
 *   unseen ──register──> connected ──list──> listing ──(stream ends)──> stopped ──(5 min)──> removed
 *      ^ from the checkpoint    └──────────────────────────────────────────^  └──register──> connected
 *
 * Owns: the current endpoint, the last list, the devices' health. Invariants: without a plugin nothing is healthy; a list replaces the one before;
 * an endpoint that was replaced changes nothing any more. Lost on a crash: all but the name and the plugin's options.
 */
import type { Clock, Timer } from "@holdfast/core/clock";
import { checkDeviceList, HEALTHY } from "./device-list.ts";
import type { Device } from "./device-list.ts";
import { DeviceHealth } from "./device-health.ts";
import type { Hysteresis } from "./device-health.ts";
import type { PluginEndpoint } from "./plugin-endpoint.ts";
import type { KnownPlugin, KnownSocket } from "./checkpoint.ts";
import type { ListedDevice, PluginOptions } from "./ports.ts";

/** See the top of the file. */
export type PoolPhase = "unseen" | "connected" | "listing" | "stopped" | "removed";

/** A device whose word changed with a list. */
export interface DeviceChange {
  readonly id: string;
  readonly healthy: boolean;
  readonly reason: string;
  /** No list had it before, since the agent started. */
  readonly isNew: boolean;
}

/** What a pool is made of. */
export interface ResourcePoolOptions {
  readonly name: string;
  readonly clock: Clock;
  readonly maxDevices: number;
  readonly hysteresis: Hysteresis;
  /** Devices became free to be given out without a list: a hold ended. */
  readonly onReleased: () => void;
}

/** See the top of the file. */
export class ResourcePool {
  readonly name: string;
  readonly health: DeviceHealth;
  readonly #options: ResourcePoolOptions;
  #plugin: PluginOptions | undefined;
  #knownSocket: KnownSocket | undefined;
  #absence: string | undefined;
  #endpoint: PluginEndpoint | undefined;
  #phase: PoolPhase = "unseen";
  #since: number;
  #stopReason: string | undefined;
  #listProblem: string | undefined;
  #devices: ReadonlyMap<string, Device> = new Map();
  #listedOnce = false;
  #healthy: ReadonlyMap<string, readonly number[]> | undefined;
  #release: Timer | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: ResourcePoolOptions) {
    this.name = options.name;
    this.#options = options;
    this.#since = options.clock.monotonic();
    this.health = new DeviceHealth(options.clock, options.hysteresis);
  }

  get phase(): PoolPhase {
    return this.#phase;
  }

  /** Monotonic: since when it is in its phase. */
  get since(): number {
    return this.#since;
  }

  /** The plugin that can be called; undefined while there is none. */
  get endpoint(): PluginEndpoint | undefined {
    return this.#phase === "connected" || this.#phase === "listing" ? this.#endpoint : undefined;
  }

  /** What the plugin offers, also from before a restart; undefined when that was never known. */
  get plugin(): PluginOptions | undefined {
    return this.#plugin;
  }

  /** What is wrong with it, in words. */
  get problem(): string | undefined {
    const hang = this.endpoint?.hang;
    if (hang !== undefined) return hang;
    if (this.#phase === "unseen") return this.#absence;
    return this.#phase === "stopped" ? this.#stopReason : this.#listProblem;
  }

  /** Socket of the last plugin. */
  get socket(): string | undefined {
    return this.#endpoint?.socket;
  }

  /** By the last list; empty after five minutes without a plugin. */
  get devices(): ReadonlyMap<string, Device> {
    return this.#devices;
  }

  /** Whether a plugin has listed since the agent started. */
  get listedOnce(): boolean {
    return this.#listedOnce;
  }

  /** Devices that can be given out, with their NUMA nodes. */
  healthy(): ReadonlyMap<string, readonly number[]> {
    if (!this.#isUsable()) return NONE;
    this.#healthy ??= new Map(
      [...this.#devices.values()]
        .filter(({ id, health }) => health === HEALTHY && !this.health.isHeld(id))
        .map(({ id, numaNodes }) => [id, numaNodes]),
    );
    return this.#healthy;
  }

  /** Every device's NUMA nodes, in whatever state it is. */
  places(): ReadonlyMap<string, readonly number[]> {
    return new Map([...this.#devices.values()].map(({ id, numaNodes }) => [id, numaNodes]));
  }

  /** kubelet: GetCapacity. */
  counts(): { readonly capacity: number; readonly allocatable: number } {
    return { capacity: this.#devices.size, allocatable: this.healthy().size };
  }

  /** The very socket of the last plugin that registered by itself, also from before a restart. */
  get knownSocket(): KnownSocket | undefined {
    return this.#knownSocket;
  }

  /** From the checkpoint: what its plugin offered, and where it was. */
  remember({ options, socket }: KnownPlugin): void {
    this.#plugin = options;
    this.#knownSocket = socket;
  }

  /** Why the plugin from before the restart could not be found again: told until one registers. */
  isAbsent(why: string): void {
    this.#absence = why;
  }

  /** A plugin registered, in place of the one before. What was listed stays until it lists. */
  register(endpoint: PluginEndpoint, bootId: string): void {
    const before = this.#endpoint;
    const { socket: name, identity } = endpoint;
    // Those of the watcher are found by it.
    this.#knownSocket =
      identity === undefined || name.startsWith("/") ? undefined : { name, identity, bootId };
    const wasListing = this.#phase === "listing";
    this.#endpoint = endpoint;
    this.#plugin = endpoint.plugin;
    this.#enter(wasListing ? "listing" : "connected");
    this.#stopReason = undefined;
    this.#listProblem = undefined;
    before?.stop();
  }

  /** A list of the current plugin. Throws when it cannot be used; then nothing has changed. */
  list(listed: readonly ListedDevice[]): readonly DeviceChange[] {
    const { devices, problem } = checkDeviceList(listed, this.#options.maxDevices);
    const changes: DeviceChange[] = [];
    for (const [id, { health }] of devices) {
      const before = this.#devices.get(id)?.health;
      if (before === health) continue;
      this.health.changed(id, before, health);
      changes.push({
        id,
        healthy: health === HEALTHY,
        reason: `the plugin says ${health}`,
        isNew: before === undefined,
      });
    }
    for (const [id, { health }] of this.#devices) {
      if (devices.has(id)) continue;
      this.health.vanished(id, health);
      changes.push({ id, healthy: false, reason: "the plugin no longer lists it", isNew: false });
    }
    this.#devices = devices;
    this.#listProblem = problem;
    this.#listedOnce = true;
    if (this.#phase !== "listing") this.#enter("listing");
    this.#healthy = undefined;
    this.#armRelease();
    return changes;
  }

  /** The plugin is gone, or no longer to be believed. Does nothing for one that was replaced. Returns whether it was the current one. */
  stop(endpoint: PluginEndpoint, reason: string): boolean {
    endpoint.stop();
    if (this.#endpoint !== endpoint || this.#phase === "stopped" || this.#phase === "removed") return false;
    this.#stopReason = reason;
    this.#enter("stopped");
    return true;
  }

  /** The grace is over: its devices are forgotten, who holds them is not. */
  remove(): void {
    this.#devices = new Map();
    this.#enter("removed");
  }

  /** One at a time: what is chosen must be marked before another one chooses. */
  exclusive<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  /** The agent stops. */
  close(): void {
    this.#release?.cancel();
    this.#endpoint?.stop();
  }

  #isUsable(): boolean {
    return this.#phase === "listing";
  }

  #enter(phase: PoolPhase): void {
    this.#phase = phase;
    this.#since = this.#options.clock.monotonic();
    this.#healthy = undefined;
  }

  #armRelease(): void {
    this.#release?.cancel();
    const next = this.health.nextRelease();
    if (next === undefined) return;
    this.#release = this.#options.clock.timer(next - this.#options.clock.monotonic(), () => {
      this.#healthy = undefined;
      this.#options.onReleased();
      this.#armRelease();
    });
  }
}

const NONE: ReadonlyMap<string, readonly number[]> = new Map();
