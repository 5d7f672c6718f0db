// SPDX-License-Identifier: Apache-2.0
//
// The way from a caller into the runtime and back: counts, faults, time, deadlines, signals, crashes. Owns the calls in flight and their
// timers. Invariants: a call settles once, at the latest at its deadline on the Clock; what the runtime does on its behalf ends when the
// caller gives up, unless a fault says that the runtime does not notice.

import type { Clock, Timer } from "@holdfast/core/clock";
import { CriError } from "@holdfast/cri";
import type { CriCallInfo, CriCallInFlight, CriCallOptions, DeepPartial } from "@holdfast/cri";

import { RuntimeFailure } from "./failure.ts";
import type { Decision, FaultError, FaultScript, FaultSubject } from "./faults.ts";

/** What a handler is told besides the request. */
export interface CallContext {
  /** Aborted when the runtime notices that the caller gave up, and when it crashes. */
  readonly signal: AbortSignal;
  /** Where the call takes its time. Called before the handler, unless the handler has its own pace. */
  takeTime(): Promise<void>;
}

/** One RPC of the fake. */
export interface FakeMethod<Request, Response> {
  /** `StopContainer`. */
  readonly name: string;
  readonly request: { fromPartial(partial: DeepPartial<Request>): Request };
  readonly target: (request: Request) => string;
  readonly deadlineMs: (request: Request) => number;
  readonly subject: (request: Request) => Partial<FaultSubject>;
  /** The handler calls `takeTime` itself, e.g. to hold a name meanwhile. */
  readonly ownPace?: boolean;
  /** Applies `truncateTo` and `wrongState`; only lists and statuses have it. */
  readonly distort?: (response: Response, decision: Decision) => Response;
  readonly handle: (request: Request, context: CallContext) => Response | Promise<Response>;
}

/** What calls go through. */
export interface CallerOptions {
  readonly clock: Clock;
  readonly endpoint: string;
  readonly faults: FaultScript;
  /** How long a method takes, in milliseconds. */
  readonly latencyMs: (method: string) => number;
  /** A fault wants every connection to be half-open from now on. */
  readonly onHalfOpen: () => void;
}

interface InFlight {
  readonly info: CriCallInfo;
  readonly startedAt: number;
  /** `noticed`: also what the runtime does for it ends. */
  abandon(reason: unknown, noticed: boolean): void;
  /** Whatever comes of it, the caller is not told. */
  mute(): void;
}

const MAX_REMEMBERED_ANSWERS = 64;

/** See the top of the file. */
export class Caller {
  readonly #options: CallerOptions;
  readonly #inFlight = new Set<InFlight>();
  readonly #counts = new Map<string, number>();
  readonly #answers = new Map<string, unknown>();
  #down = false;
  #closed = false;

  constructor(options: CallerOptions) {
    this.#options = options;
  }

  /** How often each method was called, by CRI name. */
  get counts(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#counts);
  }

  get down(): boolean {
    return this.#down;
  }

  /** Makes the runtime come back. */
  revive(): void {
    this.#down = false;
  }

  /** The runtime dies: calls in flight lose their answers, further ones are refused. */
  crash(): void {
    this.#down = true;
    for (const call of this.#inFlight) call.abandon(connectionLost(call.info), true);
  }

  /** The answers of calls in flight do not come; their callers find out by their deadlines. */
  mute(): void {
    for (const call of this.#inFlight) call.mute();
  }

  /** As a client's close. */
  close(): void {
    this.#closed = true;
    for (const call of this.#inFlight) call.abandon(this.cut(call.info), true);
  }

  /** Why what was under way on a connection has ended. */
  cut(info: CriCallInfo): CriError {
    if (!this.#closed) return connectionLost(info);
    return new CriError("CRI_CLOSED", info, "client is closed", { mayHaveHappened: true });
  }

  /** Counts a call, and says why it cannot be made, if so. */
  refusal(info: CriCallInfo): CriError | undefined {
    if (this.#closed) return new CriError("CRI_CLOSED", info, "client is closed");
    this.#counts.set(info.method, (this.#counts.get(info.method) ?? 0) + 1);
    if (!this.#down) return undefined;
    return new CriError("CRI_UNAVAILABLE", info, `nothing answers at ${info.endpoint}`);
  }

  inFlight(): CriCallInFlight[] {
    const now = this.#options.clock.monotonic();
    return Array.from(this.#inFlight, ({ info, startedAt }) => ({
      method: info.method,
      target: info.target,
      ageMs: now - startedAt,
    }));
  }

  call<Request, Response>(
    method: FakeMethod<Request, Response>,
    partial: DeepPartial<Request>,
    { signal, deadlineMs }: CriCallOptions = {},
  ): Promise<Response> {
    if (signal?.aborted) return Promise.reject(signal.reason as Error);
    let request: Request;
    try {
      request = method.request.fromPartial(partial);
    } catch (cause) {
      const info = this.info(method.name, "", 0);
      return Promise.reject(new CriError("CRI_BAD_REQUEST", info, "request cannot be encoded", { cause }));
    }
    const info = this.info(
      method.name,
      method.target(request),
      Math.max(deadlineMs ?? method.deadlineMs(request), 0),
    );
    const refusal = this.refusal(info);
    if (refusal !== undefined) return Promise.reject(refusal);
    const decision = this.#options.faults.decide({
      method: method.name,
      target: info.target,
      ...method.subject(request),
    });
    const answer = this.#settle(info, decision, signal, (context) =>
      this.#serve(method, request, decision, context),
    );
    if (decision.halfOpen) this.#options.onHalfOpen();
    return answer;
  }

  info(method: string, target: string, deadlineMs: number): CriCallInfo {
    return { method, target, deadlineMs, endpoint: this.#options.endpoint };
  }

  /** Runs the runtime's side and gives the caller its answer, an error, or up. */
  #settle<Response>(
    info: CriCallInfo,
    decision: Decision,
    signal: AbortSignal | undefined,
    serve: (context: CallContext) => Promise<Response>,
  ): Promise<Response> {
    const { clock } = this.#options;
    return new Promise<Response>((resolve, reject) => {
      const inside = new AbortController();
      let timer: Timer | undefined;
      let muted = false;
      const settle = (): boolean => {
        if (!this.#inFlight.delete(call)) return false;
        timer?.cancel();
        signal?.removeEventListener("abort", onAbort);
        return true;
      };
      const call: InFlight = {
        info,
        startedAt: clock.monotonic(),
        abandon: (reason, noticed) => {
          if (!settle()) return;
          reject(reason as Error);
          if (noticed) inside.abort(reason);
        },
        mute: () => {
          muted = true;
        },
      };
      const onAbort = (): void => call.abandon(signal?.reason, !decision.ignoreCancel);
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#inFlight.add(call);
      if (Number.isFinite(info.deadlineMs))
        timer = clock.timer(info.deadlineMs, () =>
          call.abandon(deadlinePassed(info), !decision.ignoreCancel),
        );
      const takeTime = (): Promise<void> => this.#before(info, decision, inside.signal);
      const answer = async (): Promise<void> => {
        try {
          const response = await serve({ signal: inside.signal, takeTime });
          if (!muted && settle()) resolve(response);
        } catch (error) {
          if (!muted && settle()) reject(toCriError(error, info) as Error);
        }
      };
      void answer();
    });
  }

  async #serve<Request, Response>(
    method: FakeMethod<Request, Response>,
    request: Request,
    decision: Decision,
    context: CallContext,
  ): Promise<Response> {
    if (method.ownPace !== true) await context.takeTime();
    const response = await this.#answer(method, request, decision, context);
    const { answerHeldUntil, answerLatencyMs, answerError } = decision;
    if (answerHeldUntil !== undefined) await untilOrAborted(answerHeldUntil, context.signal);
    if (answerLatencyMs > 0) await this.#options.clock.sleep(answerLatencyMs, { signal: context.signal });
    if (answerError !== undefined) throw injected(answerError, true);
    return response;
  }

  async #answer<Request, Response>(
    method: FakeMethod<Request, Response>,
    request: Request,
    decision: Decision,
    context: CallContext,
  ): Promise<Response> {
    const { distort } = method;
    if (distort === undefined) return method.handle(request, context);
    const key = `${method.name} ${JSON.stringify(request)}`;
    const old = decision.stale ? this.#answers.get(key) : undefined;
    const response = (old as Response | undefined) ?? (await method.handle(request, context));
    if (!decision.stale) this.#remember(key, response);
    const cut = decision.stale && old === undefined ? { ...decision, truncateTo: 0 } : decision;
    return distort(response, cut);
  }

  #remember(key: string, response: unknown): void {
    this.#answers.delete(key);
    this.#answers.set(key, response);
    if (this.#answers.size <= MAX_REMEMBERED_ANSWERS) return;
    for (const oldest of this.#answers.keys()) {
      this.#answers.delete(oldest);
      break;
    }
  }

  async #before(info: CriCallInfo, decision: Decision, signal: AbortSignal): Promise<void> {
    if (decision.heldUntil !== undefined) await untilOrAborted(decision.heldUntil, signal);
    const ms = decision.latencyMs + this.#options.latencyMs(info.method);
    if (ms > 0) await this.#options.clock.sleep(ms, { signal });
    if (decision.error !== undefined) throw injected(decision.error, false);
  }
}

/** Waits for something that may never come. Rejects with the signal's reason and leaves no listener behind. */
async function untilOrAborted(awaited: Promise<void>, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const onAbort = (): void => aborted.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await Promise.race([awaited, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

function injected(
  { code = "CRI_UNKNOWN", message = "injected fault" }: FaultError,
  done: boolean,
): RuntimeFailure {
  return new RuntimeFailure(code, message, { mayHaveHappened: done || LOST_ANSWER.has(code) });
}

/** Codes by which a client cannot tell whether it happened. */
const LOST_ANSWER: ReadonlySet<string> = new Set([
  "CRI_ABORTED",
  "CRI_DEADLINE",
  "CRI_GARBAGE",
  "CRI_INTERNAL",
  "CRI_MESSAGE_TOO_LARGE",
  "CRI_RUNTIME_DEADLINE",
  "CRI_UNAVAILABLE",
]);

/** As the real client words it. */
function connectionLost(info: CriCallInfo): CriError {
  return new CriError(
    "CRI_UNAVAILABLE",
    info,
    `connection to ${info.endpoint} was lost: Connection dropped`,
    {
      mayHaveHappened: true,
    },
  );
}

function deadlinePassed(info: CriCallInfo): CriError {
  return new CriError("CRI_DEADLINE", info, `no answer from the runtime within ${info.deadlineMs} ms`, {
    mayHaveHappened: true,
  });
}

function toCriError(error: unknown, info: CriCallInfo): unknown {
  if (!(error instanceof RuntimeFailure)) return error;
  const { code, message, mayHaveHappened, reservedFor } = error;
  return new CriError(code, info, message, {
    mayHaveHappened: mayHaveHappened || LOST_ANSWER.has(code),
    reservedFor,
  });
}
