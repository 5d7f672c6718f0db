// SPDX-License-Identifier: Apache-2.0

/**
 * Keeps a subscription to the runtime's events, and knows whether it can be trusted.
 *
 * Owns: the one subscription. Invariants: each (re)subscription asks for a relist, since what happened before it is lost; a stream that
 * stays silent while lists show news is not trusted and is made anew. Lost on a crash: hints.
 */
import type { Clock } from "@holdfast/core/clock";
import { errorText, isUnimplemented } from "@holdfast/core/errors";
import { jitter } from "@holdfast/core/random";
import type { Random } from "@holdfast/core/random";
import { linkSignal } from "@holdfast/core/lifecycle";
import type { LinkedSignal } from "@holdfast/core/lifecycle";
import type { Logger } from "@holdfast/core/log";
import type { EventService, TaskEvent, TaskEventStream } from "./ports.ts";

/** How the subscription stands: none wanted, none had, trusted, or there but not heard from. */
export type EventSourceState = "off" | "down" | "unsupported" | "listening" | "silent";

/** What the event source does its work with. */
export interface EventSourceOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: Random;
  readonly subscribe: TaskEventStream;
  /** Called for each event, on the stream's turn. Must not throw. */
  readonly onEvent: (event: TaskEvent) => void;
  /** What happened up to now may be lost: list again. */
  readonly onGap: () => void;
}

const FIRST_RETRY_MS = 100;
/** With its jitter it stays below the kubelet's 3 s between attempts to connect. */
const MAX_RETRY_MS = 2500;
const RETRY_JITTER = 0.2;
/** A runtime that does not know the service may have been replaced by one that does. */
const UNSUPPORTED_RETRY_MS = 60_000;
/** Subscribing takes a moment on the other side: so long, the stream is not yet relied upon. */
const SETTLE_MS = 1000;

/** See the top of the file. */
export class EventSource {
  readonly #options: EventSourceOptions;
  #state: EventSourceState = "off";
  #current: { readonly link: LinkedSignal; readonly end: () => void } | undefined;
  #since = 0;
  #lastEventAt = Number.NEGATIVE_INFINITY;
  #problem: string | undefined;
  #service: EventService | undefined;

  constructor(options: EventSourceOptions) {
    this.#options = options;
  }

  get state(): EventSourceState {
    return this.#state;
  }
  /** Which service it is, when the stream told. */
  get service(): EventService | undefined {
    return this.#service;
  }
  /** Why the last subscription ended. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Whether a relist that began at `startedAt` can be followed by a long pause. */
  isTrusted(startedAt: number): boolean {
    return this.#state === "listening" && startedAt - this.#since >= SETTLE_MS;
  }

  /** A list showed `news` starts and deaths since the list at `previousAt`: did the stream tell of anything? */
  judge(news: number, previousAt: number): void {
    if (news === 0 || !this.isTrusted(previousAt) || this.#lastEventAt >= previousAt) return;
    this.#state = "silent";
    this.#options.logger.warn("event stream is silent while containers change: made anew", { news });
    this.#current?.end();
  }

  /** Subscribes until the signal aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, random } = this.#options;
    let delayMs = FIRST_RETRY_MS;
    while (!signal.aborted) {
      const before = this.#lastEventAt;
      const failure = await this.#subscription(signal);
      if (signal.aborted) break;
      if (this.#lastEventAt > before) delayMs = FIRST_RETRY_MS;
      this.#told(failure);
      try {
        const pauseMs = this.#state === "unsupported" ? UNSUPPORTED_RETRY_MS : delayMs;
        await clock.sleep(jitter(pauseMs, RETRY_JITTER, random), { signal });
      } catch {
        break; // stop() was called
      }
      delayMs = Math.min(delayMs * 2, MAX_RETRY_MS);
    }
    this.#state = "off";
  }

  /** Waits for the end of one subscription, also when the stream does not heed its signal. */
  #subscription(signal: AbortSignal): Promise<unknown> {
    const { clock, onEvent, onGap, subscribe } = this.#options;
    return new Promise((resolve) => {
      const link = linkSignal(signal);
      const end = (failure?: unknown): void => {
        if (this.#current !== current) return;
        this.#current = undefined;
        link.abort(new Error("subscription ends"));
        resolve(failure);
      };
      const current = { link, end: () => end() };
      this.#current = current;
      this.#since = clock.monotonic();
      const read = async (): Promise<void> => {
        this.#service = undefined;
        const chosen = (service: EventService): void => {
          if (this.#current !== current) return;
          this.#service = service;
          this.#since = clock.monotonic();
          onGap();
        };
        const events = subscribe({ signal: link.signal, chosen });
        if (this.#state !== "silent") this.#state = "listening";
        onGap();
        for await (const event of events) {
          if (this.#current !== current) return;
          this.#lastEventAt = clock.monotonic();
          this.#state = "listening";
          onEvent(event);
        }
      };
      link.signal.addEventListener("abort", () => end(), { once: true });
      read().then(() => end(), end);
    });
  }

  #told(failure: unknown): void {
    const { logger } = this.#options;
    this.#service = undefined;
    const problem = failure === undefined ? "the stream ended" : errorText(failure);
    if (this.#state !== "silent") this.#state = isUnimplemented(failure) ? "unsupported" : "down";
    if (problem !== this.#problem)
      logger.info("no events from the runtime: relisting every second", { problem });
    this.#problem = problem;
    // The pause that the stream had earned is over.
    this.#options.onGap();
  }
}
