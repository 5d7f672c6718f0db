// SPDX-License-Identifier: Apache-2.0

/**
 * A node in virtual time, in one process and without a socket or a disk: the whole agent as `holdfast run` makes it, on the fake runtime. The
 * machine (runtime, disk, cgroups, manifests, state) outlives the agent, which can be stopped, killed and started again.
 */
import type { Component } from "@holdfast/core/lifecycle";
import type { LogFields, Logger } from "@holdfast/core/log";
import { ManualClock } from "@holdfast/core/manual-clock";
import { seededRandom } from "@holdfast/core/random";
import { FakeRuntime } from "@holdfast/cri-fake";
import type { FakeContainer, FakeRuntimeOptions, Program } from "@holdfast/cri-fake";
import type { CgroupDriver } from "@holdfast/resource";
import type { ApiRouter } from "../../src/api/server.ts";
import type { NodeObject, PodList, PodObject } from "../../src/api/types.ts";
import type { AgentConfig } from "../../src/config/agent-config.ts";
import { parseConfig } from "../../src/config/parse-config.ts";
import { Agent } from "../../src/run/agent.ts";
import type { Machine, MachinePorts } from "../../src/run/machine.ts";
import { MemoryCgroups } from "./memory-cgroups.ts";
import { MemoryDisk } from "./memory-disk.ts";
import { MemoryLastGood, MemoryManifests } from "./memory-manifests.ts";
import { MemoryProbes } from "./memory-probes.ts";
import { MemoryState, STATE_DIR } from "./memory-state.ts";
import { Life, mortal, mortalClient, MortalClock } from "./mortal.ts";

export const NODE_NAME = "node-1";
export const MANIFESTS = "/manifests";
export const POD_LOGS = "/var/log/pods";
export const LOG_LINKS = "/var/log/containers";

/** How a {@link SimulatedNode} is made. */
export interface SimulatedNodeOptions {
  /** Of everything random: the runtime's ids, the agent's jitter. Default 1. */
  readonly seed?: number;
  readonly driver?: CgroupDriver;
  readonly fake?: Partial<FakeRuntimeOptions>;
  readonly config?: Partial<AgentConfig>;
  /** Further ports of the machine. */
  readonly ports?: Partial<MachinePorts>;
}

/** One run of the agent. */
interface Run {
  readonly agent: Agent;
  readonly life: Life;
  readonly clock: MortalClock;
  router: ApiRouter | undefined;
}

const LOG_LINES = 300;
const FACTS = {
  hostName: NODE_NAME,
  machineId: "simulated",
  bootId: "simulated",
  kernelVersion: "6.12",
  osImage: "none",
  architecture: "amd64",
  cpus: 2,
  memoryBytes: 8 * 2 ** 30,
  swapBytes: 0,
  cgroupVersion: 2,
  hostIP: "192.0.2.7",
} as const;

/** See the top of the file. */
export class SimulatedNode {
  readonly clock: ManualClock = new ManualClock();
  readonly runtime: FakeRuntime;
  readonly disk: MemoryDisk = new MemoryDisk();
  readonly manifests: MemoryManifests = new MemoryManifests(this.clock, MANIFESTS);
  readonly lastGood: MemoryLastGood = new MemoryLastGood();
  readonly state: MemoryState = new MemoryState();
  readonly cgroups: MemoryCgroups;
  readonly probes: MemoryProbes = new MemoryProbes();
  /** What must never be: programming errors, an agent that gave up. */
  readonly troubles: string[] = [];
  /** The last lines of all agents' logs. */
  readonly log: string[] = [];
  readonly #options: SimulatedNodeOptions;
  readonly #config: AgentConfig;
  #runs = 0;
  #run: Run | undefined;

  constructor(options: SimulatedNodeOptions = {}) {
    const { seed = 1, driver = "cgroupfs", fake, config } = options;
    this.#options = options;
    this.runtime = new FakeRuntime({
      clock: this.clock,
      random: seededRandom(seed),
      programs: ({ command }) => programOf(command),
      cgroupDriver: driver,
      logSink: this.disk.logs,
      ...fake,
    });
    this.cgroups = new MemoryCgroups(driver, this.runtime);
    this.#config = {
      ...parseConfig("", "defaults", NODE_NAME).config,
      stateDir: STATE_DIR,
      share: true,
      staticPodPath: MANIFESTS,
      podLogsDir: POD_LOGS,
      resolvConf: "",
      ...config,
    };
  }

  get runs(): boolean {
    return this.#run !== undefined;
  }

  /** Begins to run an agent, without waiting for it. */
  async start(): Promise<void> {
    if (this.#run !== undefined) throw new Error("an agent runs already");
    const life = new Life();
    const clock = new MortalClock(this.clock, life);
    const logger = this.#logger(`${++this.#runs}`, life);
    const machine = this.#machine(life, (router) => {
      run.router = router;
    });
    const agent = new Agent({ config: this.#config, configWarnings: [], clock, logger, machine });
    const run: Run = { agent, life, clock, router: undefined };
    this.#run = run;
    const failed = (error: unknown): void => {
      if (!life.dead) this.troubles.push(`the agent gave up: ${String(error)}`);
    };
    agent.done.catch(failed);
    agent.start().catch(failed);
    await this.clock.settle();
  }

  /** Ends the agent politely. Returns how many of its timers were left armed. */
  async stop(): Promise<number> {
    const run = this.#take();
    const stopping = run.agent.stop().then(() => true);
    const isStopped = (): Promise<boolean> => Promise.race([stopping, this.clock.settle().then(() => false)]);
    let stopped = await isStopped();
    for (let seconds = 0; !stopped && seconds < 100; seconds++) {
      await this.clock.advance(1000);
      stopped = await isStopped();
    }
    if (!stopped) this.troubles.push("the agent did not stop within 100 s");
    const left = run.clock.waiting;
    run.life.end();
    return left;
  }

  /** Ends the agent as kill -9 does. `carriedOut`: the runtime goes on with what was asked of it, else it gives that up. */
  kill({ carriedOut }: { readonly carriedOut: boolean }): void {
    const run = this.#take();
    this.#carriedOut = carriedOut;
    run.life.end();
  }

  #carriedOut = false;

  #take(): Run {
    const run = this.#run;
    if (run === undefined) throw new Error("no agent runs");
    this.#run = undefined;
    this.manifests.forgetWatchers();
    this.state.unlock();
    return run;
  }

  /** Lets virtual time pass. */
  advance(ms: number): Promise<void> {
    return this.clock.advance(ms);
  }

  /** Until a condition holds, in steps. Throws after `limitMs` of virtual time. Returns how long it took. */
  async until(what: string, holds: () => boolean, limitMs = 60_000, stepMs = 50): Promise<number> {
    const begun = this.clock.monotonic();
    while (!holds()) {
      const waited = this.clock.monotonic() - begun;
      if (waited >= limitMs)
        throw new Error(`not within ${limitMs} ms: ${what}\n${this.log.slice(-40).join("\n")}`);
      await this.clock.advance(stepMs);
    }
    return this.clock.monotonic() - begun;
  }

  /** What runs, oldest first. */
  running(): FakeContainer[] {
    return this.runtime.containers().filter(({ alive }) => alive);
  }

  /** What `holdfast get pods` is answered. Empty while the agent does not answer. */
  async podList(): Promise<PodList> {
    return (await this.#get<PodList>("api/v1/pods")) ?? { items: [], manifestProblems: [], node: [] };
  }

  async pods(): Promise<readonly PodObject[]> {
    return (await this.podList()).items;
  }

  /** What `holdfast describe pod` is answered. `name` as in its manifest: the node's name is added, as the kubelet does. */
  async pod(name: string): Promise<PodObject> {
    const pod = await this.#get<PodObject>(`api/v1/namespaces/default/pods/${name}-${NODE_NAME}`);
    if (pod === undefined) throw new Error(`no agent answers about ${name}`);
    return pod;
  }

  /** What `holdfast get node` is answered. */
  async node(): Promise<NodeObject> {
    const node = await this.#get<NodeObject>("api/v1/node");
    if (node === undefined) throw new Error("no agent answers about the node");
    return node;
  }

  async #get<Answer>(path: string): Promise<Answer | undefined> {
    const answer = await this.#run?.router?.({
      method: "GET",
      segments: path.split("/"),
      query: new URLSearchParams(),
      body: undefined,
      signal: new AbortController().signal,
    });
    if (answer === undefined) return undefined;
    return "json" in answer ? (answer.json as Answer) : (("text" in answer ? answer.text : "") as Answer);
  }

  /** What comes of `holdfast gc images --unused`, line by line; empty while the agent does not answer. */
  async collectImages(): Promise<string[]> {
    const answer = await this.#run?.router?.({
      method: "POST",
      segments: ["api", "v1", "gc", "images"],
      query: new URLSearchParams(),
      body: { goal: "unused" },
      signal: new AbortController().signal,
    });
    const lines: string[] = [];
    if (answer !== undefined && "stream" in answer)
      for await (const line of answer.stream) lines.push(line.toString());
    return lines;
  }

  async metrics(): Promise<string> {
    return (await this.#get<string>("metrics")) ?? "";
  }

  async snapshot(): Promise<Readonly<Record<string, unknown>>> {
    return (await this.#get<Readonly<Record<string, unknown>>>("debug/snapshot")) ?? {};
  }

  #machine(life: Life, serve: (router: ApiRouter) => void): Machine {
    const { disk, lastGood, manifests, runtime, cgroups } = this;
    const seed = (this.#options.seed ?? 1) * 1000 + this.#runs;
    return {
      enter: () => {},
      facts: () => FACTS,
      openState: () => this.state.open(life),
      connect: () => mortalClient(life, runtime, () => this.#carriedOut),
      ports: ({ clock }) => ({
        files: mortal(life, disk.files),
        manifests: mortal(life, manifests),
        lastGood: mortal(life, lastGood),
        cgroups: mortal(life, cgroups.tree),
        systemd: mortal(life, cgroups.systemd),
        volumes: mortal(life, disk.volumes),
        probeHandlers: this.probes.handlers(clock),
        probeProcesses: { leftBehind: async () => 0 },
        readHostFile: async () => "127.0.0.1 localhost\n",
        random: seededRandom(seed),
        ...this.#options.ports,
      }),
      serve: ({ router }) => {
        serve(router);
        return idle("local-api");
      },
      reduceMemory: () => idle("memory-reducer"),
    };
  }

  #logger(run: string, life: Life, fixed: LogFields = {}): Logger {
    const line =
      (level: string) =>
      (message: string, fields: LogFields = {}) => {
        if (life.dead) return;
        const all = { ...fixed, ...fields };
        const text = `${this.clock.monotonic()} agent ${run} ${level} ${message} ${JSON.stringify(all, shown)}`;
        this.log.push(text);
        if (this.log.length > LOG_LINES) this.log.shift();
        if (Object.values(all).some(isBug)) this.troubles.push(text);
      };
    return {
      debug: line("debug"),
      info: line("info"),
      warn: line("warn"),
      error: line("error"),
      child: (fields) => this.#logger(run, life, { ...fixed, ...fields }),
    };
  }
}

/** What a container does is written into its command: `["run", JSON]`. */
function programOf(command: readonly string[]): Program {
  const program = JSON.parse(command[1] ?? "{}") as Program;
  return { output: [{ text: "started" }], ...program };
}

function shown(_key: string, value: unknown): unknown {
  if (value instanceof Error) return value.message;
  return typeof value === "bigint" ? String(value) : value;
}

/** A mistake in our own code, wherever it was caught. */
function isBug(value: unknown): boolean {
  return (
    value instanceof Error &&
    (value instanceof TypeError ||
      value instanceof RangeError ||
      value instanceof ReferenceError ||
      isBug(value.cause))
  );
}

function idle(name: string): Component {
  return {
    name,
    start: async () => {},
    stop: async () => {},
    health: () => ({ failures: [] }),
    [Symbol.asyncDispose]: async () => {},
  };
}
