// SPDX-License-Identifier: Apache-2.0

/**
 * One plugin, as it registered once. kubelet: devicemanager endpointImpl.
 *
 * Owns: its connection. Invariants: every call ends at its deadline, whoever is at the other end; after `stop` no call reaches the plugin.
 * A call that ran out of time names plugin, call and time, also in the agent's health, until one succeeds; for half a minute nobody waits for that
 * plugin again. Lost on a crash: nothing.
 */
import type { Clock } from "@holdfast/core/clock";
import { errorText, HoldfastError } from "@holdfast/core/errors";
import { linkSignal } from "@holdfast/core/lifecycle";
import type { LinkedSignal } from "@holdfast/core/lifecycle";
import type { PreferenceQuestion } from "./choose-devices.ts";
import { checkAnswers } from "./container-answer.ts";
import type { ContainerAnswer, ListedDevice, PluginConnection, PluginOptions } from "./ports.ts";

/** How long each call to a plugin may take, in milliseconds. kubelet: none but for connecting and PreStartContainer. */
export interface PluginDeadlines {
  /** Connecting and GetDevicePluginOptions, together. Default 10 000. */
  readonly registerMs: number;
  /** Until a plugin that registered has listed once; then it is named in health, no more. Default 30 000. */
  readonly firstListMs: number;
  /** Default 10 000. */
  readonly preferredMs: number;
  /** Default 60 000. */
  readonly allocateMs: number;
  /** Default 30 000. */
  readonly preStartMs: number;
}

/** See {@link PluginDeadlines}. */
export const DEFAULT_DEADLINES: PluginDeadlines = {
  registerMs: 10_000,
  firstListMs: 30_000,
  preferredMs: 10_000,
  allocateMs: 60_000,
  preStartMs: 30_000,
};

/** What an endpoint is made of. */
export interface PluginEndpointOptions {
  readonly resource: string;
  /** As it registered: a socket's name or path. */
  readonly socket: string;
  readonly connection: PluginConnection;
  readonly plugin: PluginOptions;
  readonly clock: Pick<Clock, "timer" | "monotonic">;
  readonly deadlines: PluginDeadlines;
}

/** A plugin that hung is left alone for so long: whoever asks is answered at once. */
const LEFT_ALONE_MS = 30_000;

/** See the top of the file. */
export class PluginEndpoint {
  readonly resource: string;
  readonly socket: string;
  readonly plugin: PluginOptions;
  readonly #connection: PluginConnection;
  readonly #clock: Pick<Clock, "timer" | "monotonic">;
  readonly #deadlines: PluginDeadlines;
  readonly #life: LinkedSignal = linkSignal();
  #hang: string | undefined;
  #leftAloneUntil = Number.NEGATIVE_INFINITY;

  constructor(options: PluginEndpointOptions) {
    this.resource = options.resource;
    this.socket = options.socket;
    this.plugin = options.plugin;
    this.#connection = options.connection;
    this.#clock = options.clock;
    this.#deadlines = options.deadlines;
  }

  /** See `PluginConnection.identity`. */
  get identity(): string | undefined {
    return this.#connection.identity;
  }

  /** What it did not answer in time, until it answers something. */
  get hang(): string | undefined {
    return this.#hang;
  }

  /** Aborts when it is stopped. */
  get signal(): AbortSignal {
    return this.#life.signal;
  }

  get stopped(): boolean {
    return this.#life.signal.aborted;
  }

  /** Ends when the plugin's stream does, or at `stop`. */
  lists(): AsyncIterable<readonly ListedDevice[]> {
    return this.#connection.lists(this.#life.signal);
  }

  async preferred(question: PreferenceQuestion, signal?: AbortSignal): Promise<readonly string[]> {
    return this.#call("GetPreferredAllocation", this.#deadlines.preferredMs, signal, (inner) =>
      this.#connection.preferred(question, inner),
    ).catch((cause: unknown) => {
      throw failed("device plugin GetPreferredAllocation rpc failed with err: ", cause);
    });
  }

  async allocate(ids: readonly string[], signal?: AbortSignal): Promise<ContainerAnswer> {
    const answers = await this.#call("Allocate", this.#deadlines.allocateMs, signal, (inner) =>
      this.#connection.allocate(ids, inner),
    );
    try {
      return checkAnswers(answers, ids);
    } catch (cause) {
      throw failed(`the answer of ${this.#title()} to Allocate is refused: `, cause);
    }
  }

  async preStart(ids: readonly string[], signal?: AbortSignal): Promise<void> {
    return this.#call("PreStartContainer", this.#deadlines.preStartMs, signal, (inner) =>
      this.#connection.preStart(ids, inner),
    ).catch((cause: unknown) => {
      throw failed("device plugin PreStartContainer rpc failed with err: ", cause);
    });
  }

  /** Idempotent. What is under way fails. */
  stop(): void {
    this.#life.abort(this.#stoppedError());
    this.#connection.close();
  }

  async #call<T>(
    name: string,
    deadlineMs: number,
    signal: AbortSignal | undefined,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    if (this.stopped) throw this.#stoppedError();
    const what = `${this.#title()}: ${name}`;
    if (this.#hang !== undefined && this.#clock.monotonic() < this.#leftAloneUntil)
      throw new HoldfastError(
        "DEVICE_PLUGIN_HUNG",
        "retryable",
        `${this.#hang}; it is asked again in a while`,
      );
    try {
      const result = await callWithin(this.#clock, deadlineMs, what, [this.#life.signal, signal], work);
      this.#hang = undefined;
      return result;
    } catch (error) {
      if (HoldfastError.is(error) && error.code === "DEVICE_PLUGIN_DEADLINE") {
        this.#hang = error.message;
        this.#leftAloneUntil = this.#clock.monotonic() + LEFT_ALONE_MS;
      }
      throw error;
    }
  }

  #title(): string {
    return `device plugin of ${this.resource} (socket ${this.socket})`;
  }

  #stoppedError(): HoldfastError {
    return new HoldfastError(
      "DEVICE_PLUGIN_STOPPED",
      "retryable",
      `endpoint ${this.socket} of ${this.resource} has been stopped`,
    );
  }
}

/** Runs a call until it settles, its deadline passes or a signal aborts; the call's own signal aborts with it. */
export async function callWithin<T>(
  clock: Pick<Clock, "timer">,
  deadlineMs: number,
  what: string,
  signals: readonly (AbortSignal | undefined)[],
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const link = linkSignal();
  const abort = (event: Event): void => link.abort((event.target as AbortSignal).reason);
  for (const signal of signals) {
    signal?.throwIfAborted();
    signal?.addEventListener("abort", abort, { once: true });
  }
  const timer = clock.timer(deadlineMs, () =>
    link.abort(
      new HoldfastError(
        "DEVICE_PLUGIN_DEADLINE",
        "deadline",
        `${what} gave no answer within ${deadlineMs / 1000} s`,
      ),
    ),
  );
  try {
    const given = new Promise<never>((_resolve, reject) =>
      link.signal.addEventListener("abort", () => reject(link.signal.reason as Error), { once: true }),
    );
    return await Promise.race([work(link.signal), given]);
  } finally {
    timer.cancel();
    for (const signal of signals) signal?.removeEventListener("abort", abort);
  }
}

/** Keeps what a caller can do about it. */
function failed(prefix: string, cause: unknown): HoldfastError {
  const kind = HoldfastError.is(cause) ? cause.kind : "retryable";
  return new HoldfastError("DEVICE_PLUGIN_FAILED", kind, `${prefix}${errorText(cause)}`);
}
