// SPDX-License-Identifier: Apache-2.0

/**
 * The composition root: makes every manager, fills their ports, and starts and stops them in the order of the floors. Decides nothing itself.
 *
 * Owns: the order of things. Invariants: stopping touches no container; a runtime that is not there is waited for, by name, while the local
 * API already answers. Lost on a crash: nothing that the state folder and the runtime do not bring back.
 */
import { join } from "node:path";
import { Bus } from "@holdfast/bus";
import type { Clock } from "@holdfast/core/clock";
import { errorText } from "@holdfast/core/errors";
import { linkSignal, Supervisor, withDeadline } from "@holdfast/core/lifecycle";
import type { Component, LinkedSignal } from "@holdfast/core/lifecycle";
import type { Logger } from "@holdfast/core/log";
import { MetricsRegistry } from "@holdfast/core/metrics";
import type { CriClient } from "@holdfast/cri";
import { lastJournalSeq } from "@holdfast/journal";
import type { JournalDatabase } from "@holdfast/journal";
import { RuntimeState } from "@holdfast/node";
import type { PodManager } from "@holdfast/pod";
import { createRouter } from "../api/routes.ts";
import { SOCKET_NAME } from "../api/types.ts";
import type { AgentConfig } from "../config/agent-config.ts";
import { loadDeviceSide } from "./device-side.ts";
import { LocalView } from "./local-view.ts";
import { makeJournal, nodeJournalHost } from "./make-journal.ts";
import { realMachine } from "./machine.ts";
import type { Machine } from "./machine.ts";
import { replayPoint } from "./oom-side.ts";
import { makePodSide } from "./pod-side.ts";
import type { PodSide, PodSideOptions } from "./pod-side.ts";
import { detectCgroupDriver, refuseWhereKubeletLives } from "./runtime-probe.ts";
import type { StateFolder } from "./state-folder.ts";

/** How an {@link Agent} is made. */
export interface AgentOptions {
  readonly config: AgentConfig;
  /** Settings that were given and have no effect yet: shown by `holdfast get node`. */
  readonly configWarnings: readonly string[];
  /** Where the settings come from; absent when all are defaults. */
  readonly configFile?: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Default: the machine that this process runs on. */
  readonly machine?: Machine;
}

const RUNTIME_RETRY_MS = 1000;
/** How long a stop waits for a start that was given up. */
const START_OVER_MS = 2000;

/** One agent on one node. */
export class Agent {
  readonly #options: AgentOptions;
  readonly #logger: Logger;
  readonly #machine: Machine;
  readonly #supervisor: Supervisor;
  readonly #life: LinkedSignal = linkSignal();
  #state: StateFolder | undefined;
  #runtime: CriClient | undefined;
  #side: PodSide | undefined;
  #stopping: Promise<void> | undefined;
  /** What of the start is still under way. */
  readonly #starting: Promise<unknown>[] = [];
  #fail: (error: Error) => void = () => {};
  /** Rejects when the agent cannot go on. */
  readonly done: Promise<never> = new Promise((_resolve, reject) => {
    this.#fail = reject;
  });

  constructor(options: AgentOptions) {
    this.#options = options;
    this.#logger = options.logger;
    this.#machine = options.machine ?? realMachine;
    this.#supervisor = new Supervisor({ clock: options.clock, logger: options.logger });
  }

  /** Resolves when the local API answers; pods follow when the runtime does. Rejects on what only a person can mend. */
  async start(): Promise<void> {
    const starting = this.#start();
    this.#starting.push(starting.catch(() => undefined));
    try {
      await starting;
    } catch (error) {
      // A stop in the midst of it is no failure.
      if (!this.#life.signal.aborted) throw error;
    }
  }

  async #start(): Promise<void> {
    const { config, clock } = this.#options;
    const logger = this.#logger;
    const host = this.#machine;
    host.enter(config, logger);
    const state = host.openState(config.stateDir, clock, logger.child({ component: "store" }));
    this.#state = state;
    const metrics = new MetricsRegistry();
    const bus = new Bus({ clock, metrics, firstSeq: firstSeq(state, clock) });
    const journalHost = nodeJournalHost(config);
    const journal =
      state.journal === undefined
        ? undefined
        : makeJournal({
            config,
            clock,
            bus,
            metrics,
            logger,
            database: state.journal,
            host: journalHost,
            side: () => this.#side,
          });
    const runtime = host.connect({
      endpoint: config.runtimeEndpoint,
      clock,
      logger: logger.child({ component: "cri" }),
      metrics,
      deadlines: {
        runtimeRequestTimeoutMs: config.runtimeRequestTimeoutMs,
        imagePullMs: config.pullTimeoutMs,
      },
    });
    this.#runtime = runtime;
    const machine = host.facts();
    const view = new LocalView({
      ...this.#options,
      bus,
      runtime,
      machine,
      metrics,
      instanceId: state.instanceId,
    });
    const runtimeState = new RuntimeState({
      runtime,
      clock,
      publish: bus,
      logger: logger.child({ component: "runtime-state" }),
      onChange: () => view.runtimeChanged(),
    });
    const api = host.serve({
      socketPath: join(config.runDir, SOCKET_NAME),
      router: createRouter(
        view,
        journal,
        () => this.#side?.gc,
        () => {
          const provider = this.#side?.stats;
          return provider === undefined ? undefined : { provider, clock };
        },
        () => this.#side?.disk,
        () => this.#side?.devices.list(),
      ),
      logger: logger.child({ component: "local-api" }),
    });
    view.attachRuntimeState(runtimeState, () => [
      ...this.#supervisor.health().failures,
      ...state.health().failures,
    ]);
    const reducer = host.reduceMemory(clock, () => bus.lastSeq);
    const components = [runtimeState, api, view, reducer];
    // First to start and last to stop: every other one's events are in it.
    await this.#supervisor.start(
      journal === undefined ? components : [journal, ...components],
      this.#life.signal,
    );
    logger.info("holdfast is up", {
      node: config.nodeName,
      instance: state.instanceId,
      runtime: config.runtimeEndpoint,
      manifests: config.staticPodPath,
    });
    // Before this run's first kill is in it.
    const replay = config.oomReplay && journal !== undefined ? replayPoint(journal) : undefined;
    const boot = { id: journalHost.bootId, replay };
    const startingPods = this.#startPods(bus, runtime, runtimeState, metrics, view, state, boot);
    this.#starting.push(
      startingPods.catch((error: unknown) => {
        if (!this.#life.signal.aborted) this.#fail(error as Error);
      }),
    );
  }

  /** The pods, once the runtime has answered: for who has to end one. kubelet: killPodFunc. */
  get pods(): PodManager | undefined {
    return this.#side?.pods;
  }

  /** Stops everything, in reverse. Containers go on. Idempotent. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    this.#logger.info("holdfast stops; pods go on running");
    this.#life.abort(new Error("the agent stops"));
    await this.#startIsOver();
    await this.#supervisor.stop();
    await this.#runtime?.close();
    this.#state?.[Symbol.dispose]();
    this.#logger.info("holdfast has stopped");
  }

  /** What starts after the stop would run on: the start is given up first. */
  async #startIsOver(): Promise<void> {
    try {
      const over = Promise.all(this.#starting);
      await withDeadline(this.#options.clock, START_OVER_MS, "giving up the start", over);
    } catch (err) {
      this.#logger.warn("the start was still under way at the stop", { err });
    }
  }

  /** Everything that needs a runtime that answers. */
  async #startPods(
    bus: Bus,
    runtime: CriClient,
    runtimeState: RuntimeState,
    metrics: MetricsRegistry,
    view: LocalView,
    state: StateFolder,
    boot: NonNullable<PodSideOptions["boot"]>,
  ): Promise<void> {
    const { signal } = this.#life;
    const { config } = this.#options;
    const driver = await this.#untilRuntimeAnswers(async () => {
      if (!config.share) await refuseWhereKubeletLives(runtime, signal);
      return await detectCgroupDriver(runtime, config.cgroupDriver, this.#logger, signal);
    });
    const side: PodSide = makePodSide({
      ...this.#options,
      bus,
      runtime,
      runtimeState,
      metrics,
      state,
      driver,
      boot,
      makeDeviceSide: await loadDeviceSide(config),
      machine: this.#machine.facts(),
      ports: this.#machine.ports({ config, clock: this.#options.clock, podsDir: state.podsDir }),
    });
    this.#side = side;
    view.attachPods(side);
    const components: readonly Component[] = side.components;
    await this.#supervisor.start(components, signal);
  }

  async #untilRuntimeAnswers<T>(ask: () => Promise<T>): Promise<T> {
    const { signal } = this.#life;
    let told = "";
    for (;;) {
      try {
        return await ask();
      } catch (error) {
        signal.throwIfAborted();
        if ((error as { code?: string }).code === "AGENT_KUBELET") throw error;
        const text = errorText(error);
        if (text !== told)
          this.#logger.warn("waiting for the container runtime", {
            endpoint: this.#options.config.runtimeEndpoint,
            err: text,
          });
        told = text;
        await this.#options.clock.sleep(RUNTIME_RETRY_MS, { signal });
      }
    }
  }
}

/**
 * Sequence numbers go on over restarts: a block is taken at each start, so that a kill -9 cannot hand out a number twice. Until the journal keeps
 * events, the block's size is all that has to hold.
 */
function firstSeq(state: StateFolder, clock: Clock): number {
  const checkpoint = state.checkpoint("bus");
  const last = Number(checkpoint.get("next-block") ?? "0");
  const block = Number.isSafeInteger(last) && last >= 0 ? last : clock.now();
  // A state.db that was lost must not hand out the numbers of a journal that was not.
  const next = Math.max(block, state.journal === undefined ? 0 : lastSeqOf(state.journal));
  checkpoint.set("next-block", String(next + SEQ_BLOCK));
  return next + 1;
}

/** A journal that cannot be read has no last number. */
function lastSeqOf(database: JournalDatabase): number {
  try {
    return lastJournalSeq(database);
  } catch {
    return 0;
  }
}

/** More events than one run of an agent can publish: 200 a second for eight months, and two million restarts fit. */
const SEQ_BLOCK = 2 ** 32;
