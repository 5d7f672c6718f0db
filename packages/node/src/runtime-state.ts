// SPDX-License-Identifier: Apache-2.0

/**
 * Asks the runtime every 5 s whether it and its network are ready, and keeps the answer.
 *
 * Owns: the last answer and when it was good. Reads: CRI Status. Invariants: one call at a time; an answer older than 30 s counts as
 * "down"; while the runtime is not ready it is asked more often, so that an agent that waits for containerd goes on at once.
 * Lost on a crash: nothing that the next call does not bring back.
 */
import type { Publisher } from "@holdfast/bus";
import { nullPublisher } from "@holdfast/bus";
import type { Clock } from "@holdfast/core/clock";
import { errorText } from "@holdfast/core/errors";
import { linkSignal } from "@holdfast/core/lifecycle";
import type { Component, Health, LinkedSignal } from "@holdfast/core/lifecycle";
import { silentLogger } from "@holdfast/core/log";
import type { Logger } from "@holdfast/core/log";
import { computeReadiness } from "./compute-readiness.ts";
import type { ConditionFact, Readiness } from "./compute-readiness.ts";
import { RuntimeReadinessChanged } from "./events.ts";
import type { ReadinessRuntime } from "./ports.ts";
import { readRuntimeSettings } from "./runtime-settings.ts";

/** How a {@link RuntimeState} is made. */
export interface RuntimeStateOptions {
  readonly runtime: ReadinessRuntime;
  readonly clock: Clock;
  readonly publish?: Publisher;
  readonly logger?: Logger;
  /** Called after a change, on the same turn: wakes what waits for the runtime. */
  readonly onChange?: (readiness: Readiness) => void;
  /** Milliseconds between checks. Default 5000. kubelet: runtimeStateUpdate period. */
  readonly periodMs?: number;
  /** Milliseconds between checks while something is not ready. Default 500. */
  readonly impatientPeriodMs?: number;
  /** Deadline of a check. Default 5000. */
  readonly deadlineMs?: number;
}

/** What the runtime calls itself. */
export interface RuntimeIdentity {
  readonly name: string;
  readonly version: string;
  /** Whether it resolves CDI names, by its own settings; undefined where it does not tell. containerd: `enable_cdi`, off by default in 1.7. */
  readonly resolvesCdi?: boolean;
}

/** Runtime and network readiness. kubelet: runtimeState + updateRuntimeUp. */
export class RuntimeState implements Component {
  readonly name = "runtime-state";
  readonly #options: RuntimeStateOptions;
  readonly #logger: Logger;
  #runtimeCondition: ConditionFact | undefined;
  #networkCondition: ConditionFact | undefined;
  #callProblem: string | undefined;
  #lastGoodAt: number | undefined;
  #told: Readiness;
  #identity: RuntimeIdentity | undefined;
  #lastIdentity: RuntimeIdentity | undefined;
  #running: { readonly link: LinkedSignal; readonly done: Promise<void> } | undefined;

  constructor(options: RuntimeStateOptions) {
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
    this.#told = this.readiness();
  }

  /** Begins to ask; resolves after the first answer, good or bad. */
  async start(signal?: AbortSignal): Promise<void> {
    if (this.#running !== undefined) return;
    const link = linkSignal(signal);
    await this.check(link.signal);
    signal?.throwIfAborted();
    // From here on only stop() ends it.
    link[Symbol.dispose]();
    this.#running = { link, done: this.#loop(link.signal) };
  }

  async stop(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    running?.link.abort(new Error("runtime-state stops"));
    await running?.done;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  health(): Health {
    const { runtime, network } = this.readiness();
    return { failures: [runtime, network].filter((problem) => problem !== undefined) };
  }

  /** What is wrong, now. */
  readiness(): Readiness {
    return computeReadiness({
      now: this.#options.clock.monotonic(),
      lastGoodAt: this.#lastGoodAt,
      runtimeCondition: this.#runtimeCondition,
      networkCondition: this.#networkCondition,
      callProblem: this.#callProblem,
    });
  }

  runtimeProblem(): string | undefined {
    return this.readiness().runtime;
  }

  networkProblem(): string | undefined {
    return this.readiness().network;
  }

  /** Name and version of the runtime; undefined before it answered, and while it does not. */
  identity(): RuntimeIdentity | undefined {
    return this.#identity;
  }

  /** The same as it was last told: what was made by this runtime keeps the runtime's name while that is down. */
  lastIdentity(): RuntimeIdentity | undefined {
    return this.#lastIdentity;
  }

  /** One check. Callable alone. */
  async check(signal: AbortSignal): Promise<void> {
    const { runtime, clock, deadlineMs = 5000 } = this.#options;
    try {
      // Its settings are of interest once, with its name: they are some kilobytes.
      const verbose = this.#identity === undefined;
      const response = await runtime.status({ verbose }, { signal, deadlineMs });
      const find = (type: string): ConditionFact | undefined =>
        response.status?.conditions.find((condition) => condition.type === type);
      this.#runtimeCondition = find("RuntimeReady") ?? {
        status: false,
        reason: "Missing",
        message: "the runtime reports no RuntimeReady condition",
      };
      this.#networkCondition = find("NetworkReady") ?? {
        status: false,
        reason: "Missing",
        message: "the runtime reports no NetworkReady condition",
      };
      if (this.#runtimeCondition.status) this.#lastGoodAt = clock.monotonic();
      this.#callProblem = undefined;
      if (this.#identity === undefined) {
        const version = await runtime.version({ version: "v1" }, { signal, deadlineMs });
        const { resolvesCdi } = readRuntimeSettings(response.info);
        this.#identity = {
          name: version.runtimeName,
          version: version.runtimeVersion,
          ...(resolvesCdi !== undefined && { resolvesCdi }),
        };
        this.#lastIdentity = this.#identity;
      }
    } catch (error) {
      if (signal.aborted) return;
      // The conditions stay as they were: their age tells, as in the kubelet.
      this.#callProblem = errorText(error);
      this.#identity = undefined;
    }
    this.#tell();
  }

  async #loop(signal: AbortSignal): Promise<void> {
    const { clock, periodMs = 5000, impatientPeriodMs = 500 } = this.#options;
    while (!signal.aborted) {
      const { runtime, network } = this.readiness();
      const calm = runtime === undefined && network === undefined && this.#callProblem === undefined;
      try {
        await clock.sleep(calm ? periodMs : impatientPeriodMs, { signal });
      } catch {
        return; // stop() was called
      }
      await this.check(signal);
    }
  }

  /** Tells of a change once, not of every round. */
  #tell(): void {
    const readiness = this.readiness();
    const before = this.#told;
    if (readiness.runtime === before.runtime && readiness.network === before.network) return;
    this.#told = readiness;
    const ready = readiness.runtime === undefined && readiness.network === undefined;
    if (ready)
      this.#logger.info("runtime is ready", {
        runtime: this.#identity?.name,
        version: this.#identity?.version,
      });
    else
      this.#logger.warn("runtime is not ready", { runtime: readiness.runtime, network: readiness.network });
    (this.#options.publish ?? nullPublisher).publish(RuntimeReadinessChanged, readiness);
    this.#options.onChange?.(readiness);
  }
}
