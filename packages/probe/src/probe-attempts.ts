// SPDX-License-Identifier: Apache-2.0

/**
 * Makes a worker's attempts: a place first, then up to three tries, each within its time. kubelet: prober.runProbeWithRetries.
 *
 * Owns: the attempt under way, its place and its time. Invariants: at most one attempt at once; a place is given back exactly once; an
 * attempt during which our own event loop stood still never counts as the target's silence.
 */
import type { Clock } from "@holdfast/core/clock";
import { errorText } from "@holdfast/core/errors";
import type { ExecProber } from "./exec-prober.ts";
import { isWorthRetrying, MAX_ATTEMPTS, proberError } from "./outcome.ts";
import type { ProbeOutcome } from "./outcome.ts";
import type { ProbeMetrics } from "./probe-metrics.ts";
import type { PlaceGate, PlaceHolder } from "./place-gate.ts";
import type { HandlerRun, ProbeHandlers } from "./ports.ts";
import type { ProbeRequest } from "./build-probe-request.ts";
import type { TimerEntry, TimerHeap } from "./timer-heap.ts";

/** What all workers share to make attempts with. */
export interface AttemptTools {
  readonly clock: Pick<Clock, "monotonic">;
  readonly timers: TimerHeap;
  readonly handlers: ProbeHandlers;
  /** Undefined without a runtime. */
  readonly exec: ExecProber | undefined;
  readonly execGate: PlaceGate;
  readonly socketGate: PlaceGate;
  readonly metrics: ProbeMetrics;
}

/** An event loop that stood still for so long, or for so much of the timeout, makes a silence no proof. */
const STARVED_MS = 50;
const STARVED_FRACTION = 0.1;
/** How often an attempt gets back the time that was taken from it. */
const MAX_EXTENSIONS = 2;

/** See the top of the file. */
export class ProbeAttempts implements PlaceHolder, TimerEntry {
  readonly placeKey: string;
  heapIndex = -1;
  dueAt = 0;
  readonly #tools: AttemptTools;
  readonly #timeoutMs: number;
  readonly #onOutcome: (outcome: ProbeOutcome) => void;
  #request: ProbeRequest | undefined;
  #gate: PlaceGate | undefined;
  #held = false;
  #run: HandlerRun | undefined;
  #made = 0;
  #askedAt = 0;
  #startedAt = 0;
  #stalledBefore = 0;
  #starved = false;
  #extensions = 0;

  constructor(
    tools: AttemptTools,
    podUid: string,
    timeoutMs: number,
    onOutcome: (outcome: ProbeOutcome) => void,
  ) {
    this.#tools = tools;
    this.placeKey = podUid;
    this.#timeoutMs = timeoutMs;
    this.#onOutcome = onOutcome;
  }

  /** An attempt is under way, or waits for its place. */
  get busy(): boolean {
    return this.#request !== undefined;
  }

  /** Milliseconds since the first attempt began; without the wait for a place. */
  get elapsedMs(): number {
    return this.#tools.clock.monotonic() - this.#startedAt;
  }

  /** `askedAt`: when it was due. `onOutcome` is called once, possibly before this returns, unless `cancel` is. */
  begin(request: ProbeRequest, askedAt: number): void {
    this.#request = request;
    this.#made = 0;
    this.#askedAt = askedAt;
    this.#gate = request.handler === "exec" ? this.#tools.execGate : this.#tools.socketGate;
    if (request.handler === "none") {
      this.#startedAt = this.#tools.clock.monotonic();
      this.#finish(request.outcome);
    } else if (this.#gate.take(this)) this.onPlace();
  }

  /** Gives up. Nothing is reported. */
  cancel(): void {
    if (this.#request === undefined) return;
    this.#tools.timers.disarm(this);
    this.#run?.cancel();
    this.#gate?.leave(this);
    this.#clear();
  }

  onPlace(): void {
    this.#held = true;
    this.#startedAt = this.#tools.clock.monotonic();
    this.#tools.metrics.started(this.#startedAt - this.#askedAt);
    this.#try();
  }

  /** Its time is up. What our own event loop stood still is given back; when it does nothing else, nothing was learnt. */
  onDue(): void {
    const { timers, clock, metrics } = this.#tools;
    const stalled = timers.stalledMs - this.#stalledBefore;
    this.#starved = stalled > Math.max(STARVED_MS, this.#timeoutMs * STARVED_FRACTION);
    if (this.#starved && this.#extensions < MAX_EXTENSIONS) {
      this.#extensions += 1;
      this.#stalledBefore = timers.stalledMs;
      metrics.proberError("starved");
      timers.arm(this, clock.monotonic() + Math.min(stalled, this.#timeoutMs), 1);
    } else this.#run?.expire();
  }

  #try(): void {
    const request = this.#request;
    if (request === undefined || request.handler === "none") return;
    const { timers, clock, handlers, exec, metrics } = this.#tools;
    this.#made += 1;
    this.#starved = false;
    this.#extensions = 0;
    this.#stalledBefore = timers.stalledMs;
    metrics.attempt(request.handler);
    if (request.handler === "exec") {
      if (exec !== undefined) this.#run = exec.start(request, this.#onDone);
      else this.#finish(proberError("handler", "there is no runtime to run commands with"));
      return;
    }
    // Late by a little at most: a hundredth of the timeout.
    timers.arm(this, clock.monotonic() + this.#timeoutMs, this.#timeoutMs / 100);
    let problem: ProbeOutcome;
    try {
      this.#run = handlers.start(request, this.#onDone);
      return;
    } catch (error) {
      problem = proberError("handler", errorText(error));
    }
    // A bug, or an address that no socket takes: this probe says nothing, the others go on.
    timers.disarm(this);
    this.#finish(problem);
  }

  readonly #onDone = (outcome: ProbeOutcome): void => {
    this.#tools.timers.disarm(this);
    this.#run = undefined;
    const judged =
      this.#starved && outcome.timedOut === true
        ? proberError("starved", "the agent's own event loop stood still during the probe", "failure")
        : outcome;
    if (judged.error !== undefined && isWorthRetrying(judged.error.why) && this.#made < MAX_ATTEMPTS) {
      this.#tools.metrics.proberError(judged.error.why);
      this.#try();
    } else this.#finish(judged);
  };

  #finish(outcome: ProbeOutcome): void {
    const { metrics } = this.#tools;
    if (outcome.error !== undefined) metrics.proberError(outcome.error.why);
    if (this.#request !== undefined && this.#request.handler !== "none")
      metrics.took(this.#request.handler, this.elapsedMs);
    this.#clear();
    this.#onOutcome(outcome);
  }

  #clear(): void {
    this.#request = undefined;
    this.#run = undefined;
    if (!this.#held) return;
    this.#held = false;
    this.#gate?.release(this.placeKey);
  }
}
