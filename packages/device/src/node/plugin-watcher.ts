// SPDX-License-Identifier: Apache-2.0

/**
 * Plugins that are found by their sockets in `plugins_registry`. kubelet: pluginmanager.
 *
 *   chokidar's hints ──> list of the folder ──> desired sockets ──> one task at a time for each: GetInfo, register, tell
 *
 * Owns: the watch, what is registered by which socket. Invariants: the list of the folder is the truth, an event only says "look"; a socket made anew
 * registers anew; a plugin that fails is asked again ever more rarely, and the others do not wait for it; at most 256 sockets are looked at.
 * Lost on a crash: everything; the sockets are still there.
 */
import { lstat, mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Client } from "@grpc/grpc-js";
import { watch } from "chokidar";
import type { FSWatcher } from "chokidar";
import type { Clock, Timer } from "@holdfast/core/clock";
import { errorText, HoldfastError } from "@holdfast/core/errors";
import { linkSignal } from "@holdfast/core/lifecycle";
import type { Component, Health, LinkedSignal } from "@holdfast/core/lifecycle";
import { silentLogger } from "@holdfast/core/log";
import type { Logger } from "@holdfast/core/log";
import { noMetrics } from "@holdfast/core/metrics";
import type { Gauge, Labels, Metrics } from "@holdfast/core/metrics";
import { RegistrationService } from "../gen/pluginregistration/v1/pluginregistration.ts";
import type { PluginInfo } from "../gen/pluginregistration/v1/pluginregistration.ts";
import { callWithin } from "../plugin-endpoint.ts";
import { checkSocket, connectTo, unary } from "./plugin-dialer.ts";

/** What becomes of plugins of one type. `DeviceManager` fits, through its three methods. */
export interface PluginHandler {
  /** Throws what the plugin is told. */
  validate(name: string, versions: readonly string[]): void;
  register(name: string, endpoint: string): Promise<void>;
  deregister(name: string, endpoint: string): void;
}

/** How a watcher is made. Times in milliseconds. */
export interface PluginWatcherOptions {
  /** `ROOT/plugins_registry`. */
  readonly folder: string;
  readonly clock: Clock;
  /** By type: DevicePlugin, CSIPlugin, DRAPlugin. */
  readonly handlers: ReadonlyMap<string, PluginHandler>;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
  /** Deadline of GetInfo. Default 1000, connecting apart (10 000). */
  readonly infoMs?: number;
  /** Deadline of NotifyRegistrationStatus. Default 5000. */
  readonly notifyMs?: number;
}

const INFO_MS = 1000;
const NOTIFY_MS = 5000;
const DIAL_MS = 10_000;
const SETTLE_MS = 50;
const FIRST_RETRY_MS = 500;
const MAX_RETRY_MS = 122_000;
/** While the folder cannot be watched. */
const RELIST_MS = 10_000;
const MAX_SOCKETS = 256;

interface Found {
  readonly path: string;
  /** Another one when the socket was made anew. */
  readonly version: string;
  failures: number;
  /** What was told last of a failure. */
  told: string;
  retry: Timer | undefined;
  task: Promise<void> | undefined;
  registered:
    | { readonly handler: PluginHandler; readonly name: string; readonly endpoint: string }
    | undefined;
}

/** See the top of the file. */
export class PluginWatcher implements Component {
  readonly name = "plugin-watcher";
  readonly #options: PluginWatcherOptions;
  readonly #logger: Logger;
  readonly #total: Gauge;
  readonly #found = new Map<string, Found>();
  #life: LinkedSignal | undefined;
  #watcher: FSWatcher | undefined;
  #timer: Timer | undefined;
  #looking: Promise<void> = Promise.resolve();
  #problem: string | undefined;

  constructor(options: PluginWatcherOptions) {
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
    this.#total = (options.metrics ?? noMetrics).gauge(
      "plugin_manager_total_plugins",
      "Plugins in plugins_registry, by their socket: those that are there, and those that have registered.",
    );
  }

  /** Resolves when what is there was looked at once; registering goes on behind. */
  async start(): Promise<void> {
    if (this.#life !== undefined) return;
    this.#life = linkSignal();
    const { folder } = this.#options;
    try {
      await mkdir(folder, { recursive: true, mode: 0o755 });
      this.#watcher = watch(folder, {
        depth: 4,
        ignoreInitial: true,
        atomic: false,
        ignorePermissionErrors: true,
      });
      this.#watcher.on("raw", () => this.#lookIn(SETTLE_MS));
      this.#watcher.on("all", () => this.#lookIn(SETTLE_MS));
      this.#watcher.on("error", (error) => this.#lost(errorText(error)));
      await new Promise<void>((resolve) => {
        this.#watcher?.once("ready", () => resolve());
        this.#watcher?.once("error", () => resolve());
      });
    } catch (error) {
      this.#lost(errorText(error));
    }
    await this.look();
  }

  async stop(): Promise<void> {
    const life = this.#life;
    this.#life = undefined;
    if (life === undefined) return;
    life.abort(new HoldfastError("DEVICE_STOPPED", "cancelled", "the plugin watcher stops"));
    this.#timer?.cancel();
    await this.#watcher?.close();
    await this.#looking;
    for (const { retry } of this.#found.values()) retry?.cancel();
    await Promise.all([...this.#found.values()].map(({ task }) => task));
    this.#found.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  health(): Health {
    return { failures: this.#problem === undefined ? [] : [this.#problem] };
  }

  /** Sockets, and what each registered. */
  plugins(): readonly {
    readonly path: string;
    readonly name: string | undefined;
    readonly problem: string;
  }[] {
    return [...this.#found.values()].map(({ path, registered, told }) => ({
      path,
      name: registered?.name,
      problem: told,
    }));
  }

  /** Looks at the folder now. Never rejects. */
  look(): Promise<void> {
    this.#looking = this.#looking.then(() => this.#reconcile());
    return this.#looking;
  }

  #lost(reason: string): void {
    this.#problem = `${this.#options.folder} cannot be watched (${reason}): it is looked at every ${RELIST_MS / 1000} s`;
    this.#logger.warn("the folder of plugins cannot be watched", {
      folder: this.#options.folder,
      err: reason,
    });
    this.#lookIn(RELIST_MS);
  }

  #lookIn(ms: number): void {
    if (this.#life === undefined || this.#timer !== undefined) return;
    this.#timer = this.#options.clock.timer(ms, () => {
      this.#timer = undefined;
      void this.look();
      if (this.#problem !== undefined) this.#lookIn(RELIST_MS);
    });
  }

  async #reconcile(): Promise<void> {
    if (this.#life === undefined) return;
    const sockets = await listSockets(this.#options.folder, MAX_SOCKETS);
    // Those that are gone, or were made anew, go first: the new one may have the same name.
    for (const found of this.#found.values())
      if (sockets.get(found.path) !== found.version) this.#drop(found);
    for (const [path, version] of sockets) {
      if (this.#found.has(path)) continue;
      const found: Found = {
        path,
        version,
        failures: 0,
        told: "",
        retry: undefined,
        task: undefined,
        registered: undefined,
      };
      this.#found.set(path, found);
      this.#total.set(1, desired(path));
      this.#run(found);
    }
  }

  #drop(found: Found): void {
    this.#found.delete(found.path);
    this.#total.remove(desired(found.path));
    this.#total.remove(actual(found.path));
    found.retry?.cancel();
    found.registered?.handler.deregister(found.registered.name, found.registered.endpoint);
  }

  #run(found: Found): void {
    found.task = this.#register(found).catch((error: unknown) => this.#failed(found, error));
  }

  #failed(found: Found, error: unknown): void {
    if (this.#life === undefined || this.#found.get(found.path) !== found) return;
    const text = errorText(error);
    if (text !== found.told)
      this.#logger.warn("a plugin was not registered", { socket: found.path, err: text });
    found.told = text;
    const wait = Math.min(FIRST_RETRY_MS * 2 ** found.failures, MAX_RETRY_MS);
    found.failures++;
    found.retry = this.#options.clock.timer(wait, () => this.#run(found));
  }

  async #register(found: Found): Promise<void> {
    const signal = this.#life?.signal;
    if (signal === undefined) return;
    const { clock, folder, handlers, infoMs = INFO_MS, notifyMs = NOTIFY_MS } = this.#options;
    const path = await checkSocket(found.path, folder);
    const client = connectTo(path);
    const call = <T>(what: string, ms: number, work: (inner: AbortSignal) => Promise<T>): Promise<T> =>
      callWithin(clock, ms, `plugin on ${found.path}: ${what}`, [signal], work);
    const notify = (isRegistered: boolean, error: string): Promise<unknown> =>
      call("NotifyRegistrationStatus", notifyMs, (inner) =>
        unary(
          client,
          RegistrationService.notifyRegistrationStatus,
          { pluginRegistered: isRegistered, error },
          inner,
        ),
      );
    try {
      await call("connecting", DIAL_MS, (inner) => connected(client, inner));
      const info = await call("GetInfo", infoMs, (inner) =>
        unary(client, RegistrationService.getInfo, {}, inner),
      );
      const done = await this.#hand(found, info, handlers).catch(async (error: unknown) => {
        // That it cannot be told is the lesser failure.
        await notify(false, errorText(error)).catch(() => undefined);
        throw error;
      });
      try {
        await notify(true, "");
      } catch (error) {
        done.handler.deregister(done.name, done.endpoint);
        throw error;
      }
      if (this.#found.get(found.path) !== found) done.handler.deregister(done.name, done.endpoint);
      else {
        found.registered = done;
        this.#total.set(1, actual(found.path));
        found.failures = 0;
        found.told = "";
      }
    } finally {
      client.close();
    }
  }

  async #hand(
    found: Found,
    info: PluginInfo,
    handlers: PluginWatcherOptions["handlers"],
  ): Promise<NonNullable<Found["registered"]>> {
    const handler = handlers.get(info.type);
    const { name, supportedVersions } = info;
    if (handler === undefined)
      throw new HoldfastError(
        "DEVICE_PLUGIN_TYPE",
        "bad-input",
        `no handler registered for plugin type: ${JSON.stringify(info.type.slice(0, 128))} at socket ${found.path}`,
      );
    const endpoint = info.endpoint === "" ? found.path : info.endpoint;
    handler.validate(name, supportedVersions);
    await handler.register(name, endpoint);
    return { handler, name, endpoint };
  }
}

const desired = (path: string): Labels => ({ socket_path: path, state: "desired_state_of_world" });
const actual = (path: string): Labels => ({ socket_path: path, state: "actual_state_of_world" });

function connected(client: Client, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
    client.waitForReady(Date.now() + DIAL_MS, (error) => (error === undefined ? resolve() : reject(error)));
  });
}

/** Sockets by path, with what tells one from its successor. Names with a dot in front, and links, are left out. */
async function listSockets(root: string, limit: number): Promise<ReadonlyMap<string, string>> {
  const sockets = new Map<string, string>();
  const folders = [root];
  for (let folder = folders.pop(); folder !== undefined && sockets.size < limit; folder = folders.pop()) {
    const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
    for (const entry of entries) {
      if (entry.name.startsWith(".") || sockets.size >= limit) continue;
      const path = join(folder, entry.name);
      if (entry.isDirectory() && folders.length < limit) folders.push(path);
      if (!entry.isSocket()) continue;
      const stats = await lstat(path, { bigint: true }).catch(() => undefined);
      if (stats !== undefined) sockets.set(path, `${stats.dev}:${stats.ino}:${stats.birthtimeNs}`);
    }
  }
  return sockets;
}
