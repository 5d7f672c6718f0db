// SPDX-License-Identifier: Apache-2.0

/** A random walk of a node, from a seed: hands, crashes and faults, and the invariants after every step; then peace, and what must come of it. */
import { seededRandom } from "@holdfast/core/random";
import type { Random } from "@holdfast/core/random";
import type { Fault, FaultEffects, FaultHandle } from "@holdfast/cri-fake";
import { Folder, KINDS, PULLED } from "./folder.ts";
import { Invariants } from "./invariants.ts";
import { SimulatedNode } from "./simulated-node.ts";

/** How a {@link Walk} goes. */
export interface WalkOptions {
  readonly steps?: number;
  /** Faults of the runtime. Default: all but lists that lie. */
  readonly faults?: "none" | "calls" | "lists";
}

const METHODS = [
  "RunPodSandbox",
  "StopPodSandbox",
  "RemovePodSandbox",
  "PodSandboxStatus",
  "ListPodSandbox",
  "CreateContainer",
  "StartContainer",
  "StopContainer",
  "RemoveContainer",
  "ContainerStatus",
  "ListContainers",
  "ImageStatus",
  "PullImage",
  "ExecSync",
  "Status",
] as const;

const CALL_EFFECTS: readonly FaultEffects[] = [
  { error: { code: "CRI_INTERNAL" } },
  { error: { code: "CRI_UNKNOWN" } },
  { error: { code: "CRI_UNAVAILABLE" } },
  { hang: true },
  { hang: true, ignoreCancel: true },
  { latencyMs: 2500 },
  { latencyMs: 15_000, ignoreCancel: true },
  { after: { error: { code: "CRI_INTERNAL" } } },
  { after: { hang: true } },
  { after: { latencyMs: 20_000 } },
];
const EVENT_EFFECTS: readonly FaultEffects[] = [
  { lose: true },
  { duplicate: true },
  { delayMs: 400 },
  { duplicate: true, delayMs: 3000 },
];
const LIST_EFFECTS: readonly FaultEffects[] = [
  { stale: true },
  { truncateTo: 1 },
  { truncateTo: 2 },
  { truncateTo: 0 },
  // Running, or ready's opposite: what is up looks down and what is down looks up.
  { wrongState: 1 },
  { wrongState: 2 },
];

const SLICE_MS = 250;
const PEACE_MS = 1_500_000;
const IDLE_MS = 120_000;
/** Relist, readiness, housekeeping, the folder: not one for each pod. */
const MAX_IDLE_TIMERS = 20;
const IDLE_CALLS: ReadonlySet<string> = new Set([
  "ListPodSandbox",
  "ListContainers",
  "Status",
  "containerdEvents",
  // Where containerd's events are missing, others are looked for now and then.
  "Version",
  "GetContainerEvents",
]);
const HOUR_MS = 3_600_000;

/** See the top of the file. */
export class Walk {
  readonly node: SimulatedNode;
  readonly #folder: Folder;
  readonly #invariants: Invariants;
  readonly #random: Random;
  readonly #options: WalkOptions;
  readonly #faults: FaultHandle[] = [];
  readonly #story: string[] = [];
  #version = 0;
  #folderIsThere = true;
  #runtimeIsUp = true;

  constructor(seed: number, options: WalkOptions = {}) {
    this.#options = options;
    this.#random = seededRandom(seed * 7919);
    this.node = new SimulatedNode({
      seed,
      driver: this.#random() < 0.5 ? "cgroupfs" : "systemd",
      fake: {
        criLagMs: this.#pick([0, 20, 300]),
        containerd: this.#pick(["1.6", "1.7", "2.1"] as const),
        missing: this.#random() < 0.2 ? ["containerdEvents"] : [],
        registry: (reference) => (reference === PULLED ? { reference } : undefined),
        latencyMs: this.#pick([{}, { default: 3, RunPodSandbox: 90, StartContainer: 40 }]),
      },
    });
    this.#folder = new Folder(this.node);
    this.#invariants = new Invariants(this.node, this.#folder);
  }

  /** Returns what was wrong; nothing as a rule. */
  async run(): Promise<readonly string[]> {
    const { problems } = this.#invariants;
    for (const kind of Object.keys(KINDS)) if (this.#random() < 0.4) this.#folder.write(kind, 0);
    await this.node.start();
    for (let step = 0; step < (this.#options.steps ?? 40) && problems.length === 0; step++) {
      await this.#step();
      await this.#pass(this.#random() * 4000);
      if (this.#options.faults === "lists") this.#liftFaults();
    }
    if (problems.length === 0) await this.#peace();
    return problems;
  }

  /** What was done, with virtual times, and the end of the agents' logs. */
  story(): string {
    return [...this.#story, "--- log ---", ...this.node.log.slice(-80)].join("\n");
  }

  async #step(): Promise<void> {
    const actions = [
      ...Array.from({ length: 5 }, () => () => this.#edit()),
      ...Array.from({ length: 4 }, () => () => this.#killContainer()),
      ...(this.#options.faults === "none" ? [] : Array.from({ length: 6 }, () => () => this.#addFault())),
      () => this.#killSandbox(),
      () => this.#liftFaults(),
      () => this.#spoil(),
      () => this.#restartAgent(),
      () => this.#restartAgent(),
      () => this.#killAgent(),
      () => this.#killAgent(),
      () => this.#toggleRuntime(),
      () => this.#toggleRuntime(),
      () => this.#toggleFolder(),
      () => this.#reboot(),
      () => this.#stepClock(),
      () => this.#toggleDisk(),
      () => this.#tell("streams break", () => this.node.runtime.breakStreams()),
    ];
    await this.#pick(actions)();
  }

  /** Time passes, and is looked at on the way. */
  async #pass(ms: number): Promise<void> {
    for (let left = ms; left > 0 && this.#invariants.problems.length === 0; left -= SLICE_MS) {
      await this.node.advance(Math.min(left, SLICE_MS));
      await this.#invariants.check();
    }
  }

  #edit(): void {
    this.#lieNow();
    const kind = this.#pick(Object.keys(KINDS));
    if (this.#random() < 0.35) {
      this.#tell(`remove ${kind}`, () => this.#folder.remove(kind));
      return;
    }
    // Now and then what was there before comes back as it was.
    const version = this.#random() < 0.8 ? ++this.#version : Math.max(this.#version - 1, 0);
    this.#tell(`write ${kind} ${version}`, () => this.#folder.write(kind, version));
  }

  /** Only what the agent has taken up has a last good version. */
  async #spoil(): Promise<void> {
    const shown = await this.node.pods();
    const taken = this.#folder
      .wanted()
      .filter(({ uid }) =>
        shown.some(({ metadata, holdfast }) => metadata.uid === uid && holdfast.worker !== "waiting"),
      );
    if (taken.length === 0) return;
    const { kindName } = this.#pick(taken);
    this.#tell(`spoil ${kindName}`, () => this.#folder.spoil(kindName));
  }

  #killContainer(): void {
    const running = this.node.running();
    if (running.length === 0) return;
    const { id, podName, podUid, name } = this.#pick(running);
    this.#invariants.excuse(id);
    // A pod that ends with success would have ended.
    const mustFail = this.#folder.known.get(podUid)?.kind.onceOnly !== undefined;
    const exitCode = this.#pick(mustFail ? [137, 1] : [137, 0, 1]);
    this.#tell(`kill ${podName}/${name} ${id.slice(0, 8)} ${exitCode}`, () =>
      this.node.runtime.kill(id, { exitCode }),
    );
  }

  #killSandbox(): void {
    const ready = this.node.runtime.sandboxes().filter((sandbox) => sandbox.ready);
    if (ready.length === 0) return;
    const { id, podUid, podName } = this.#pick(ready);
    this.#invariants.excuse(...this.#containersOf(podUid));
    this.#tell(`kill the sandbox of ${podName}`, () => this.node.runtime.killSandbox(id));
  }

  #addFault(): void {
    const lists = this.#options.faults === "lists";
    const draw = this.#random();
    const times = 1 + Math.floor(this.#random() * 3);
    const fault: Fault =
      draw < 0.25
        ? {
            match: { method: ["containerdEvents", "GetContainerEvents"], times: times * 5 },
            ...this.#pick(EVENT_EFFECTS),
          }
        : lists
          ? this.#lie(times)
          : { match: { method: this.#pick(METHODS), times }, ...this.#pick(CALL_EFFECTS) };
    this.#tell(`fault ${JSON.stringify(fault)}`, () => this.#faults.push(this.node.runtime.addFault(fault)));
  }

  #lie(times: number): Fault {
    const method = this.#pick([["ListPodSandbox"], ["ListContainers"], ["ListPodSandbox", "ListContainers"]]);
    return { match: { method, times }, ...this.#pick(LIST_EFFECTS) };
  }

  /** The moments at which an agent has seen no true list yet: its own start, and a pod's first containers. */
  #lieNow(): void {
    if (this.#options.faults !== "lists" || this.#random() < 0.3) return;
    const fault = this.#lie(1 + Math.floor(this.#random() * 5));
    this.#tell(`fault ${JSON.stringify(fault)}`, () => this.#faults.push(this.node.runtime.addFault(fault)));
  }

  #liftFaults(): void {
    this.#tell("faults are lifted", () => {
      for (const fault of this.#faults.splice(0)) fault.lift();
    });
  }

  async #restartAgent(): Promise<void> {
    if (!this.node.runs) return;
    this.#story.push(`${this.node.clock.monotonic()}: the agent is stopped`);
    const left = await this.node.stop();
    if (left > 0) this.#invariants.problems.push(`${left} timers were left by an agent that stopped`);
    await this.#awayAndBack();
  }

  async #killAgent(): Promise<void> {
    if (!this.node.runs) return;
    const carriedOut = this.#random() < 0.5;
    this.#tell(`kill -9 of the agent, its calls are ${carriedOut ? "carried out" : "given up"}`, () =>
      this.node.kill({ carriedOut }),
    );
    await this.#awayAndBack();
  }

  async #awayAndBack(): Promise<void> {
    const away = this.#pick([0, 0, 700, 9000]);
    await this.#pass(away);
    this.#lieNow();
    this.#story.push(`${this.node.clock.monotonic()}: an agent is started`);
    await this.node.start();
  }

  #toggleRuntime(): void {
    this.#runtimeIsUp = !this.#runtimeIsUp;
    this.#tell(this.#runtimeIsUp ? "the runtime is back" : "the runtime crashes", () =>
      this.#runtimeIsUp ? this.node.runtime.restart() : this.node.runtime.crash(),
    );
  }

  #toggleFolder(): void {
    this.#folderIsThere = !this.#folderIsThere;
    this.#tell(this.#folderIsThere ? "the folder is back" : "the folder disappears", () =>
      this.#folderIsThere ? this.node.manifests.comeBack() : this.node.manifests.disappear(),
    );
  }

  #toggleDisk(): void {
    const { disk } = this.node;
    this.#tell(disk.full ? "the disk has room again" : "the disk is full", () => (disk.full = !disk.full));
  }

  async #reboot(): Promise<void> {
    if (this.#random() < 0.5) return;
    this.#invariants.excuse(...this.node.running().map(({ id }) => id));
    if (this.node.runs) this.node.kill({ carriedOut: false });
    this.#tell("the machine reboots", () => this.node.runtime.reboot());
    this.#runtimeIsUp = true;
    await this.#awayAndBack();
  }

  #stepClock(): void {
    const ms = this.#pick([-HOUR_MS, HOUR_MS]);
    this.#tell(`the wall clock is stepped by ${ms / 60_000} min`, () => this.node.clock.stepWall(ms));
  }

  /** Nothing disturbs the node any more. */
  async #peace(): Promise<void> {
    const { node } = this;
    const invariants = this.#invariants;
    this.#liftFaults();
    if (!this.#runtimeIsUp) this.#toggleRuntime();
    if (!this.#folderIsThere) this.#toggleFolder();
    if (node.disk.full) this.#toggleDisk();
    this.#story.push(`${node.clock.monotonic()}: peace`);
    for (let left = PEACE_MS; left > 0; left -= PEACE_MS / 50) await node.advance(PEACE_MS / 50);
    await invariants.check();
    await invariants.checkSettled();
    if (invariants.problems.length > 0) return;
    await this.#idle();
    for (const { kindName } of this.#folder.wanted()) this.#folder.remove(kindName);
    await node.advance(IDLE_MS);
    await invariants.check();
    await invariants.checkSettled();
    const left = await node.stop();
    if (left > 0) invariants.problems.push(`${left} timers were left by the last agent`);
    invariants.problems.push(...node.troubles.splice(0));
  }

  /** A node that is as it should be does nothing but look, now and then. */
  async #idle(): Promise<void> {
    const { node } = this;
    const { problems } = this.#invariants;
    const before = { calm: this.#calm(), calls: node.runtime.calls, writes: node.disk.writes };
    await node.advance(IDLE_MS);
    if (this.#calm() !== before.calm) problems.push("something was done although there was nothing to do");
    const pods = this.#folder.wanted();
    if (node.clock.waiting > MAX_IDLE_TIMERS + pods.length)
      problems.push(`${node.clock.waiting} timers are armed on an idle node`);
    if (!pods.every(({ kind }) => kind.ending === "runs" || kind.ending === "ends")) return;
    if (node.disk.writes !== before.writes)
      problems.push("files were written although there was nothing to do");
    for (const [method, count] of Object.entries(node.runtime.calls))
      if (!IDLE_CALLS.has(method) && count !== (before.calls[method] ?? 0))
        problems.push(`${method} was called although there was nothing to do`);
  }

  /** Everything on the runtime that has no reason to change. */
  #calm(): string {
    const crashing = new Set(
      this.#folder
        .wanted()
        .filter(({ kind }) => kind.ending === "crashes")
        .map(({ uid }) => uid),
    );
    return this.node.runtime
      .containers()
      .filter(({ podUid }) => !crashing.has(podUid))
      .map(({ id, phase }) => `${id} ${phase}`)
      .sort()
      .join();
  }

  #containersOf(uid: string): string[] {
    return this.node
      .running()
      .filter(({ podUid }) => podUid === uid)
      .map(({ id }) => id);
  }

  #tell(what: string, act: () => unknown): void {
    this.#story.push(`${this.node.clock.monotonic()}: ${what}`);
    act();
  }

  #pick<T>(of: readonly T[]): T {
    return of[Math.floor(this.#random() * of.length)] as T;
  }
}
