// SPDX-License-Identifier: Apache-2.0

/**
 * A device plugin for any agent that speaks the kubelet's device plugin API: serves, registers, registers again. kubelet: v1beta1 plugin helper.
 *
 *   kubelet.sock appears or is made anew ──> own socket served ──> Register ──> the agent reads the list
 *                        └── the agent let go of the list, or swept the socket away ──┘
 *
 * Owns: its server and socket, the watch of the folder. Invariants: it serves before it registers; an agent that is not there is waited for, not asked
 * again and again; a slow reader of the list gets the newest one, not every one. Lost on a crash: nothing that the next start does not make anew.
 */
import { randomBytes } from "node:crypto";
import { lstat, mkdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { Client, credentials, Metadata, status } from "@grpc/grpc-js";
import type { ServerWritableStream } from "@grpc/grpc-js";
import { watch } from "chokidar";
import type { FSWatcher } from "chokidar";
import type { Clock, Timer } from "@holdfast/core/clock";
import { errorText } from "@holdfast/core/errors";
import type { Component, Health } from "@holdfast/core/lifecycle";
import { silentLogger } from "@holdfast/core/log";
import type { Logger } from "@holdfast/core/log";
import { systemClock } from "@holdfast/core/node";
import { DevicePluginService, RegistrationService } from "../../gen/deviceplugin/v1beta1/deviceplugin.ts";
import type {
  ContainerAllocateResponse,
  DeepPartial,
  DevicePluginServer,
  Empty,
  ListAndWatchResponse,
} from "../../gen/deviceplugin/v1beta1/deviceplugin.ts";
import { ContainerAllocateResponse as AllocateAnswer } from "../../gen/deviceplugin/v1beta1/deviceplugin.ts";
import { DEVICE_PLUGIN_FOLDER, KUBELET_SOCKET } from "../registration-server.ts";
import { UnixServer } from "../unix-server.ts";

/** One device of a plugin. */
export interface PluginDevice {
  readonly id: string;
  /** Default true. A text says why it is not: agents of Holdfast show it. */
  readonly healthy?: boolean | string;
  /** Where it is. Default: nowhere in particular. */
  readonly numaNodes?: readonly number[];
}

/** What a container gets for its devices. */
export interface PluginAnswer {
  readonly envs?: Readonly<Record<string, string>>;
  readonly mounts?: readonly {
    readonly containerPath: string;
    readonly hostPath: string;
    readonly readOnly?: boolean;
  }[];
  /** `permissions`: letters of r, w and m. Default rw. */
  readonly devices?: readonly {
    readonly containerPath: string;
    readonly hostPath: string;
    readonly permissions?: string;
  }[];
  readonly annotations?: Readonly<Record<string, string>>;
  /** VENDOR/CLASS=NAME */
  readonly cdiDevices?: readonly string[];
}

/** How a plugin is made. */
export interface DevicePluginOptions {
  /** `vendor.example/thing`: what pods write in their limits. */
  readonly resource: string;
  readonly devices: readonly PluginDevice[];
  /** What one container gets for these ids. What it throws is shown in the pod's status. */
  readonly allocate: (ids: readonly string[]) => PluginAnswer | Promise<PluginAnswer>;
  /** Which of the available ones are best together; `size` of them, those of `mustInclude` among them. */
  readonly prefer?: (
    available: readonly string[],
    mustInclude: readonly string[],
    size: number,
  ) => readonly string[] | Promise<readonly string[]>;
  /** Before each start of a container. What it throws keeps the container from starting. */
  readonly preStart?: (ids: readonly string[]) => void | Promise<void>;
  /** Where kubelet.sock is. Default /var/lib/kubelet/device-plugins. */
  readonly folder?: string;
  readonly logger?: Logger;
  readonly clock?: Clock;
}

const FIRST_RETRY_MS = 500;
const MAX_RETRY_MS = 10_000;
const SETTLE_MS = 50;
/** The agent let go of the list and is still there: it may only be busy replacing us. */
const AGAIN_MS = 1000;
const REGISTER_DEADLINE_MS = 30_000;

type ListCall = ServerWritableStream<Empty, ListAndWatchResponse>;

/** See the top of the file. */
export class DevicePlugin implements Component {
  readonly name = "device-plugin";
  readonly #options: DevicePluginOptions;
  readonly #folder: string;
  readonly #logger: Logger;
  readonly #clock: Clock;
  /** Who watches, and whether something newer than what was sent waits for it. */
  readonly #lists = new Map<ListCall, { isBehind: boolean }>();
  #devices: readonly PluginDevice[];
  #server: UnixServer | undefined;
  #watcher: FSWatcher | undefined;
  #timer: Timer | undefined;
  #due = Number.POSITIVE_INFINITY;
  #working: Promise<void> = Promise.resolve();
  #isRunning = false;
  /** The agent's socket that we registered on. */
  #registeredOn: string | undefined;
  #registrations = 0;
  #failures = 0;
  #problem: string | undefined = "has not registered yet";

  constructor(options: DevicePluginOptions) {
    this.#options = options;
    this.#folder = options.folder ?? DEVICE_PLUGIN_FOLDER;
    this.#logger = options.logger ?? silentLogger;
    this.#clock = options.clock ?? systemClock;
    this.#devices = options.devices;
  }

  /** Name of its socket in the folder; undefined before it serves. */
  get socket(): string | undefined {
    return this.#server === undefined ? undefined : basename(this.#server.path);
  }

  /** How often an agent took it. */
  get registrations(): number {
    return this.#registrations;
  }

  /** Resolves when it serves and has tried to register once; an agent that is not there yet is waited for. */
  async start(): Promise<void> {
    if (this.#isRunning) return;
    this.#isRunning = true;
    await mkdir(this.#folder, { recursive: true, mode: 0o750 });
    this.#watcher = watch(this.#folder, { depth: 0, ignoreInitial: true, atomic: false });
    const watcher = this.#watcher;
    watcher.on("raw", () => this.#lookIn(SETTLE_MS));
    watcher.on("all", () => this.#lookIn(SETTLE_MS));
    watcher.on("error", (error) =>
      this.#logger.warn("the plugin folder is not watched", { err: errorText(error) }),
    );
    await new Promise<void>((resolve) => {
      watcher.once("ready", () => resolve());
      watcher.once("error", () => resolve());
    });
    await this.#look();
  }

  /** Its socket goes, and every list ends. Idempotent. */
  async stop(): Promise<void> {
    if (!this.#isRunning) return;
    this.#isRunning = false;
    this.#timer?.cancel();
    await this.#watcher?.close();
    await this.#working;
    await this.#server?.stop();
    this.#lists.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Healthy while an agent has it. */
  health(): Health {
    return { failures: this.#problem === undefined ? [] : [this.#problem] };
  }

  /** The whole list, in place of the one before: sent to whoever watches. */
  update(devices: readonly PluginDevice[]): void {
    this.#devices = devices;
    for (const call of this.#lists.keys()) this.#send(call);
  }

  #lookIn(ms: number): void {
    if (!this.#isRunning) return;
    const due = this.#clock.monotonic() + ms;
    if (due >= this.#due) return;
    this.#timer?.cancel();
    this.#due = due;
    this.#timer = this.#clock.timer(ms, () => void this.#look());
  }

  #look(): Promise<void> {
    this.#timer?.cancel();
    this.#due = Number.POSITIVE_INFINITY;
    this.#working = this.#working.then(() => this.#tryOnce());
    return this.#working;
  }

  async #tryOnce(): Promise<void> {
    if (!this.#isRunning) return;
    try {
      await this.#makeSure();
      this.#failures = 0;
    } catch (error) {
      this.#problem = `not registered: ${errorText(error)}`;
      this.#logger.warn("the plugin could not register", {
        resource: this.#options.resource,
        err: errorText(error),
      });
      this.#lookIn(Math.min(FIRST_RETRY_MS * 2 ** this.#failures++, MAX_RETRY_MS));
    }
  }

  /** Served, and registered on the agent's socket that is there now. */
  async #makeSure(): Promise<void> {
    // The kubelet removes every socket in the folder when it starts.
    if (this.#server === undefined || !(await this.#server.isInPlace())) await this.#serve();
    const agent = await versionOf(join(this.#folder, KUBELET_SOCKET));
    if (agent === undefined) {
      this.#registeredOn = undefined;
      this.#problem = `waits for ${join(this.#folder, KUBELET_SOCKET)}`;
      return;
    }
    if (agent === this.#registeredOn) return;
    await this.#register();
    this.#registeredOn = agent;
    this.#registrations++;
    this.#problem = undefined;
    this.#logger.info("registered", { resource: this.#options.resource, socket: this.socket });
  }

  async #serve(): Promise<void> {
    const before = this.#server;
    const name = `${this.#options.resource.replaceAll(/[^A-Za-z0-9.-]/g, "-").slice(0, 40)}-${randomBytes(3).toString("hex")}.sock`;
    const server = new UnixServer({
      path: join(this.#folder, name),
      maxRequestBytes: 4 * 1024 * 1024,
      services: (grpc) => grpc.addService(DevicePluginService, this.#handlers()),
    });
    await server.start();
    this.#server = server;
    this.#registeredOn = undefined;
    await before?.stop();
  }

  async #register(): Promise<void> {
    const client = new Client(`unix://${join(this.#folder, KUBELET_SOCKET)}`, credentials.createInsecure(), {
      "grpc.default_authority": "localhost",
      "grpc.enable_http_proxy": 0,
      "grpc.service_config_disable_resolution": 1,
    });
    const { path, requestSerialize, responseDeserialize } = RegistrationService.register;
    const { resource, prefer, preStart } = this.#options;
    const request = {
      version: "v1beta1",
      endpoint: this.socket ?? "",
      resourceName: resource,
      options: this.#offers(prefer, preStart),
    };
    const deadline = Date.now() + REGISTER_DEADLINE_MS;
    try {
      await new Promise<void>((resolve, reject) => {
        const settle = (error: unknown): void => (error === null ? resolve() : reject(error as Error));
        const metadata = new Metadata();
        client.makeUnaryRequest(
          path,
          requestSerialize,
          responseDeserialize,
          request,
          metadata,
          { deadline },
          settle,
        );
      });
    } finally {
      client.close();
    }
  }

  #offers(prefer: unknown, preStart: unknown) {
    return {
      preStartRequired: preStart !== undefined,
      getPreferredAllocationAvailable: prefer !== undefined,
    };
  }

  #handlers(): DevicePluginServer {
    const { allocate, prefer, preStart } = this.#options;
    const answer = <T>(
      reply: (error: { code: status; details: string } | null, value?: T) => void,
      work: Promise<T>,
    ) =>
      void work.then(
        (value) => reply(null, value),
        (error: unknown) => reply({ code: status.UNKNOWN, details: errorText(error) }),
      );
    return {
      getDevicePluginOptions: (_call, reply) => reply(null, this.#offers(prefer, preStart)),
      listAndWatch: (call) => this.#watched(call),
      getPreferredAllocation: (call, reply) =>
        answer(
          reply,
          this.#each(call.request.containerRequests, async (one) => {
            const { availableDeviceIDs, mustIncludeDeviceIDs, allocationSize } = one;
            return {
              deviceIDs: [
                ...((await prefer?.(availableDeviceIDs, mustIncludeDeviceIDs, allocationSize)) ?? []),
              ],
            };
          }),
        ),
      allocate: (call, reply) =>
        answer(
          reply,
          this.#each(call.request.containerRequests, async ({ devicesIds }) =>
            toMessage(await allocate(devicesIds)),
          ),
        ),
      preStartContainer: (call, reply) =>
        answer(
          reply,
          (async () => {
            await preStart?.(call.request.devicesIds);
            return {};
          })(),
        ),
    };
  }

  async #each<T, U>(
    requests: readonly T[],
    work: (request: T) => Promise<U>,
  ): Promise<{ containerResponses: U[] }> {
    const containerResponses: U[] = [];
    for (const request of requests) containerResponses.push(await work(request));
    return { containerResponses };
  }

  #watched(call: ListCall): void {
    this.#lists.set(call, { isBehind: false });
    const end = (): void => {
      if (!this.#lists.delete(call) || this.#lists.size > 0) return;
      // An agent never asks for a list again: it has to be told of us anew.
      this.#registeredOn = undefined;
      this.#lookIn(AGAIN_MS);
    };
    call.on("cancelled", end);
    call.on("close", end);
    call.on("error", end);
    call.on("drain", () => {
      if (this.#lists.get(call)?.isBehind === true) this.#send(call);
    });
    this.#send(call);
  }

  /** While the reader is behind, nothing is queued: the newest list goes when it has caught up. */
  #send(call: ListCall): void {
    const state = this.#lists.get(call);
    if (state === undefined || call.destroyed) return;
    state.isBehind = call.writableNeedDrain;
    if (state.isBehind) return;
    call.write({
      devices: this.#devices.map(({ id, healthy = true, numaNodes = [] }) => ({
        ID: id,
        health: healthy === true ? "Healthy" : healthy === false ? "Unhealthy" : `Unhealthy: ${healthy}`,
        topology: numaNodes.length === 0 ? undefined : { nodes: numaNodes.map((ID) => ({ ID })) },
      })),
    });
  }
}

/** Makes a plugin and starts it. */
export async function serveDevicePlugin(options: DevicePluginOptions): Promise<DevicePlugin> {
  const plugin = new DevicePlugin(options);
  await plugin.start();
  return plugin;
}

function toMessage(answer: PluginAnswer): ContainerAllocateResponse {
  const { envs, mounts, devices, annotations, cdiDevices } = answer;
  const message: DeepPartial<ContainerAllocateResponse> = {
    envs: { ...envs },
    mounts: [...(mounts ?? [])],
    devices: (devices ?? []).map((device) => ({ permissions: "rw", ...device })),
    annotations: { ...annotations },
    cdiDevices: (cdiDevices ?? []).map((name) => ({ name })),
  };
  return AllocateAnswer.fromPartial(message);
}

async function versionOf(path: string): Promise<string | undefined> {
  try {
    const { dev, ino, birthtimeNs } = await lstat(path, { bigint: true });
    return `${dev}:${ino}:${birthtimeNs}`;
  } catch {
    return undefined;
  }
}
