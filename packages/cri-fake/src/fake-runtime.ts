// SPDX-License-Identifier: Apache-2.0
//
// The runtime as an object: a `CriClient` on the outside, and handles for a test on the inside. Everything happens on the given clock and
// from the given random numbers: the same calls at the same virtual times have the same results.

import type { Clock } from "@holdfast/core/clock";
import { seededRandom } from "@holdfast/core/random";
import type { Random } from "@holdfast/core/random";
import { DEFAULT_DEADLINES, TASK_FILTERS } from "@holdfast/cri";
import type {
  ContainerdEventsOptions,
  ContainerdTaskEvent,
  ContainerEventResponse,
  CriCallInFlight,
  CriCallOptions,
  CriClient,
  CriDeadlines,
  CriImageService,
  CriRuntimeService,
  DeepPartial,
  GetEventsRequest,
  RuntimeCondition,
} from "@holdfast/cri";

import { AddressPool } from "./addresses.ts";
import { Caller } from "./caller.ts";
import { createContainerService } from "./container-service.ts";
import { imageFsOf } from "./disk.ts";
import type { ImageFs, ImageFsOptions } from "./disk.ts";
import { createExecService } from "./exec-service.ts";
import { FaultScript } from "./faults.ts";
import type { Fault, FaultHandle } from "./faults.ts";
import { createFigureService } from "./figure-service.ts";
import { createImageService } from "./image-service.ts";
import type { Registry } from "./image-service.ts";
import { ImageStore, LOCAL_IMAGES } from "./images.ts";
import type { FakeImage } from "./images.ts";
import { ContainerLogs } from "./logs.ts";
import type { LogSink } from "./logs.ts";
import { createMethodFactory, openStream } from "./method.ts";
import type { Loopback } from "./process.ts";
import type { Programs, ServedPort } from "./program.ts";
import { createSandboxService } from "./sandbox-service.ts";
import { createSelfService } from "./status-service.ts";
import type { Streaming } from "./streaming.ts";
import { createStreamingService } from "./streaming-service.ts";
import { EventHub } from "./stream.ts";
import { containerView, sandboxView } from "./views.ts";
import type { FakeContainer, FakeSandbox } from "./views.ts";
import { portStateAt } from "./usage.ts";
import type { PortState } from "./usage.ts";
import type { Violation } from "./violations.ts";
import { World } from "./world.ts";

/** How a fake is made. Only `clock` is required. */
export interface FakeRuntimeOptions {
  readonly clock: Clock;
  /** For ids and for faults with a probability. Default: seeded with 1. */
  readonly random?: Random | undefined;
  /** What each container does. Default: every one runs until it is stopped. */
  readonly programs?: Programs | undefined;
  /** Which containerd it is like. Default 2.1. */
  readonly containerd?: "1.6" | "1.7" | "2.1" | undefined;
  /** RPCs that it does not have, besides those of that containerd: CRI names, or `containerdEvents`. */
  readonly missing?: readonly string[] | undefined;
  /** What it calls itself. Default `containerd`; `holdfast-cri-fake` without containerd's events, since no containerd is without. */
  readonly runtimeName?: string | undefined;
  /** Whether it has the streamed lists of CRI 1.36. Default false. */
  readonly streamedLists?: boolean | undefined;
  /** What is on disk. Default {@link LOCAL_IMAGES}. */
  readonly images?: readonly FakeImage[] | undefined;
  /** What can be pulled. Default nothing. */
  readonly registry?: Registry | undefined;
  /** Where images and writable layers lie. Default: unbounded. */
  readonly imageFs?: ImageFsOptions | undefined;
  /** Makes ports of programs real: `loopback()`, in real time. Default: nothing listens. */
  readonly loopback?: Loopback | undefined;
  /** Serves what Exec, Attach and PortForward give: `streamingServer()`, in real time. Default: they are unimplemented. */
  readonly streaming?: Streaming | undefined;
  /** Milliseconds that calls take, by CRI name; `default` for all others. Default 0. */
  readonly latencyMs?: Readonly<Record<string, number>> | undefined;
  /** Milliseconds between containerd's exit event and the CRI showing the exit. Default 0; a real one has about 20. */
  readonly criLagMs?: number | undefined;
  readonly faults?: readonly Fault[] | undefined;
  /** Deadlines of calls, as a client's. Default: as the real client's. */
  readonly deadlines?: Partial<CriDeadlines> | undefined;
  /** First two octets of the sandboxes' addresses. Default `10.88`. */
  readonly addressPrefix?: string | undefined;
  /** How many addresses there are. Default 65,533. */
  readonly addresses?: number | undefined;
  /** Runtime classes. Default `runc`. */
  readonly runtimeHandlers?: readonly string[] | undefined;
  /** Default systemd. */
  readonly cgroupDriver?: "systemd" | "cgroupfs" | undefined;
  /** Gets what containers write, beside the fake's memory. */
  readonly logSink?: LogSink | undefined;
  /** What errors name. Default `unix:///run/holdfast-fake.sock`. */
  readonly endpoint?: string | undefined;
}

/** The CRI's methods are there as on every client. */
// oxlint-disable-next-line typescript/no-unsafe-declaration-merging -- the constructor puts every method in place
export interface FakeRuntime extends CriRuntimeService, CriImageService {}

const RUNTIME_VERSIONS = { "1.6": "1.6.20", "1.7": "1.7.24", "2.1": "2.1.4" } as const;
const MISSING = {
  "1.6": ["GetContainerEvents", "RuntimeConfig"],
  "1.7": ["RuntimeConfig"],
  "2.1": [],
} as const;
const DEFAULT_SEED = 1;
const CONTAINERD_EVENTS = "containerdEvents";

/** See the top of the file. */
export class FakeRuntime implements CriClient {
  readonly endpoint: string;
  readonly #world: World;
  readonly #caller: Caller;
  readonly #faults: FaultScript;
  readonly #images: ImageStore;
  readonly #imageFs: ImageFsOptions;
  readonly #addresses: AddressPool;
  readonly #logs: ContainerLogs;
  readonly #taskEvents: EventHub<ContainerdTaskEvent>;
  readonly #criEvents: EventHub<ContainerEventResponse>;
  readonly #missing: ReadonlySet<string>;
  readonly #halfOpenListeners = new Set<() => void>();
  readonly #conditions = new Map<string, RuntimeCondition>(
    ["RuntimeReady", "NetworkReady"].map((type) => [type, { type, status: true, reason: "", message: "" }]),
  );

  constructor(options: FakeRuntimeOptions) {
    const { clock, random = seededRandom(DEFAULT_SEED), containerd = "2.1", latencyMs = {} } = options;
    this.endpoint = options.endpoint ?? "unix:///run/holdfast-fake.sock";
    this.#missing = new Set([...MISSING[containerd], ...(options.missing ?? [])]);
    this.#faults = new FaultScript(options.faults ?? [], random);
    this.#images = new ImageStore(options.images ?? LOCAL_IMAGES, containerd !== "1.6");
    this.#imageFs = options.imageFs ?? {};
    this.#addresses = new AddressPool(options.addressPrefix, options.addresses);
    this.#logs = new ContainerLogs(options.logSink);
    this.#taskEvents = new EventHub(clock, false);
    this.#criEvents = new EventHub(clock, containerd === "1.7");
    this.#caller = new Caller({
      clock,
      endpoint: this.endpoint,
      faults: this.#faults,
      latencyMs: (method) => latencyMs[method] ?? latencyMs["default"] ?? 0,
      onHalfOpen: () => this.goHalfOpen(),
    });
    this.#world = new World({
      clock,
      random,
      addresses: this.#addresses,
      logs: this.#logs,
      faults: this.#faults,
      taskEvents: this.#taskEvents,
      criEvents: this.#criEvents,
      criLagMs: options.criLagMs ?? 0,
      loopback: options.loopback,
      isDown: () => this.#caller.down,
    });
    if (containerd !== "1.6") this.setCondition("ContainerdHasNoDeprecationWarnings", true);
    Object.assign(this, this.#services(options));
  }

  #services(options: FakeRuntimeOptions): Omit<CriRuntimeService & CriImageService, "getContainerEvents"> {
    const world = this.#world;
    const { runtimeHandlers = ["", "runc"], containerd = "2.1" } = options;
    const methods = createMethodFactory({
      caller: this.#caller,
      deadlines: { ...DEFAULT_DEADLINES, ...options.deadlines },
      subjectOf: (target) => (target === "" ? {} : world.subjectOf(target)),
      isMissing: (name) =>
        this.#missing.has(name) || (/^Stream[A-Z]/.test(name) && options.streamedLists !== true),
    });
    const imageFs = (): ImageFs => this.imageFs();
    const self = {
      runtimeName:
        options.runtimeName ?? (this.#missing.has(CONTAINERD_EVENTS) ? "holdfast-cri-fake" : "containerd"),
      runtimeVersion: RUNTIME_VERSIONS[containerd],
      shownHandlers: containerd === "2.1" ? runtimeHandlers : undefined,
      conditions: () => [...this.#conditions.values()],
      cgroupDriver: options.cgroupDriver ?? "systemd",
      checkpoints: containerd === "2.1",
    } as const;
    return {
      ...createSelfService(self, methods),
      ...createFigureService({ world, imageFs, statsNeedReady: containerd !== "1.6" }, methods),
      ...createSandboxService(
        {
          world,
          runtimeHandlers,
          networkReady: () => this.#conditions.get("NetworkReady")?.status === true,
          stopMissingFails: containerd === "1.6",
        },
        methods,
      ),
      ...createContainerService(
        {
          world,
          images: this.#images,
          programs: options.programs ?? (() => ({})),
          stopMissingFails: containerd === "1.6",
          createsInStopped: containerd === "2.1",
          recursiveReadOnly: containerd === "2.1",
          showsUser: containerd === "2.1",
        },
        methods,
      ),
      ...createExecService(world, methods),
      ...createStreamingService({ world, streaming: options.streaming }, methods),
      ...createImageService(
        {
          images: this.#images,
          registry: options.registry ?? (() => undefined),
          stamp: () => world.stamp(),
          imageFs,
        },
        methods,
      ),
    };
  }

  getContainerEvents = (
    _request: DeepPartial<GetEventsRequest>,
    { signal }: CriCallOptions = {},
  ): AsyncIterableIterator<ContainerEventResponse> =>
    openStream(this.#caller, "GetContainerEvents", this.#missing.has("GetContainerEvents"), signal, (lost) =>
      this.#criEvents.subscribe(signal, lost),
    );

  containerdEvents({
    signal,
    filters = TASK_FILTERS,
  }: ContainerdEventsOptions = {}): AsyncIterableIterator<ContainerdTaskEvent> {
    return openStream(this.#caller, CONTAINERD_EVENTS, this.#missing.has(CONTAINERD_EVENTS), signal, (lost) =>
      this.#taskEvents.subscribe(
        signal,
        lost,
        ({ topic }) => filters.length === 0 || filters.some((filter) => filter.includes(`"${topic}"`)),
      ),
    );
  }

  inFlight(): CriCallInFlight[] {
    return this.#caller.inFlight();
  }

  close(): Promise<void> {
    this.#caller.close();
    this.#breakStreams();
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Sandboxes as they are, also while the runtime is down. */
  sandboxes(): FakeSandbox[] {
    return Array.from(this.#world.sandboxes.values(), sandboxView);
  }

  /** Containers as they are, also while the runtime is down. */
  containers(): FakeContainer[] {
    return Array.from(this.#world.containers.values(), containerView);
  }

  /** Addresses in use, each with the id of the sandbox that holds it. */
  leases(): ReadonlyMap<string, string> {
    return this.#addresses.leases;
  }

  /** The image file system as it is. */
  imageFs(): ImageFs {
    const layers = new Map([...this.#world.containers].map(([id, one]) => [id, this.#world.diskOf(one)]));
    return imageFsOf(this.#imageFs, { images: this.#images.diskBytes, layers });
  }

  /** The ports of a running container, as they are now; nothing listens but with `loopback`. */
  serving(containerId: string): { readonly port: ServedPort; readonly state: PortState }[] {
    const main = this.#world.findContainer(containerId)?.process;
    if (main?.alive !== true) return [];
    return main.ports.map((port) => ({ port, state: portStateAt(port, main.ageMs) }));
  }

  /** What a container wrote, in the CRI's log format. Empty when it is gone. */
  logs(containerId: string): string {
    return this.#logs.read(containerId);
  }

  /** How often each method was called, by CRI name; `containerdEvents` for subscriptions. */
  get calls(): Readonly<Record<string, number>> {
    return this.#caller.counts;
  }

  /** What was done that an agent must never do, oldest first, at most 1000. */
  get violations(): readonly Violation[] {
    return this.#world.violations;
  }

  /** How many read events now, of either kind. */
  get subscribers(): number {
    return this.#taskEvents.subscribers + this.#criEvents.subscribers;
  }

  /** Puts a fault in force. */
  addFault(fault: Fault): FaultHandle {
    return this.#faults.add(fault);
  }

  /** Puts an image on the disk. */
  addImage(image: FakeImage): void {
    this.#images.add(image);
  }

  /** Sets `RuntimeReady`, `NetworkReady` or another condition. Without NetworkReady, sandboxes off the host's network fail. */
  setCondition(type: string, status: boolean, reason = "", message = ""): void {
    this.#conditions.set(type, { type, status, reason, message });
  }

  /** The main process of a container ends, of itself or by somebody's hand. False when it does not run. Default: killed, 137. */
  kill(containerId: string, { exitCode = 137, oomKilled = false }: KillOptions = {}): boolean {
    const main = this.#world.findContainer(containerId)?.process;
    if (main?.alive !== true) return false;
    main.exit({ exitCode, reason: oomKilled ? "OOMKilled" : "" });
    return true;
  }

  /** The pause process of a sandbox ends; its containers go on. False when it was not ready. */
  killSandbox(podSandboxId: string): boolean {
    const sandbox = this.#world.findSandbox(podSandboxId);
    if (sandbox?.ready !== true) return false;
    this.#world.endSandbox(sandbox);
    return true;
  }

  /** The runtime dies: calls fail with `CRI_UNAVAILABLE`, streams break. Containers go on, and may end meanwhile. */
  crash(): void {
    this.#caller.crash();
    this.#breakStreams();
  }

  /** It is back, with everything that it had. */
  restart(): void {
    if (!this.#caller.down) this.crash();
    this.#caller.revive();
  }

  /** The machine goes down and comes back: no process is left, containers have exit code 255, sandboxes are not ready. */
  reboot(): void {
    this.crash();
    this.#world.reboot();
    this.#caller.revive();
  }

  /** Connections of event streams break; the runtime goes on. */
  breakStreams(): void {
    this.#breakStreams();
  }

  /** Every connection that there is falls silent without being closed; later ones work. What {@link FaultEffects.halfOpen} does. */
  goHalfOpen(): void {
    this.#caller.mute();
    this.#taskEvents.mute();
    this.#criEvents.mute();
    for (const listener of this.#halfOpenListeners) listener();
  }

  /** Tells who holds connections of its own. Returns how to stop. */
  onHalfOpen(listener: () => void): () => void {
    this.#halfOpenListeners.add(listener);
    return () => this.#halfOpenListeners.delete(listener);
  }

  /** The machine is switched off: no process, timer or port of a program is left. */
  async end(): Promise<void> {
    await this.close();
    this.#world.reboot();
  }

  #breakStreams(): void {
    this.#taskEvents.break();
    this.#criEvents.break();
  }
}

/** How a container is killed. */
export interface KillOptions {
  readonly exitCode?: number;
  readonly oomKilled?: boolean;
}
