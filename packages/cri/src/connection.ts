// SPDX-License-Identifier: Apache-2.0
//
// Makes calls on one socket. Owns the gRPC channel and the set of calls in flight; everything else goes through it.
// Invariants: each call settles once, at the latest at its deadline on the Clock, whether gRPC answers or not; when it has settled, no
// timer and no listener of it is left. gRPC's own deadline stands a little behind ours, should the Clock fail.
// A crash loses the calls: what they did to the runtime is found by listing it.

import { Metadata } from "@grpc/grpc-js";
import type { ServiceError } from "@grpc/grpc-js";
import type { Clock, Timer } from "@holdfast/core/clock";
import type { Logger } from "@holdfast/core/log";
import type { Random } from "@holdfast/core/random";

import type { CallMetrics } from "./call-metrics.ts";
import type { Ceiling } from "./ceiling.ts";
import { asIs, backstop, Channel } from "./channel.ts";
import { clampDeadline } from "./deadlines.ts";
import type { CriDeadlines } from "./deadlines.ts";
import {
  badRequestError,
  closedError,
  deadlineError,
  fromServiceError,
  garbageError,
  halfOpenError,
  isConnectionLost,
  reconnectingError,
} from "./errors.ts";
import type { CriCallInfo, CriError, CriErrorCode } from "./errors.ts";
import type { DeepPartial } from "./gen/runtime/v1/config.ts";
import { Keepalive } from "./keepalive.ts";
import type { Method } from "./method.ts";
import { ReconnectGate } from "./reconnect-gate.ts";
import { MessageStream } from "./message-stream.ts";
import type { CriCallOptions } from "./services.ts";

const MS_PER_SECOND = 1000;
/** What grpc-js says when nothing came: they are no sign of life. */
const OUR_OWN: ReadonlySet<CriErrorCode> = new Set(["CRI_ABORTED", "CRI_DEADLINE"]);

/** A call that has been made and has not settled. */
export interface CriCallInFlight {
  readonly method: string;
  readonly target: string;
  /** Since it was made, in milliseconds. */
  readonly ageMs: number;
}

/** What a connection stands on. */
export interface ConnectionOptions {
  readonly endpoint: string;
  readonly clock: Clock;
  readonly metrics: CallMetrics;
  readonly deadlines: CriDeadlines;
  readonly maxMessageBytes: number;
  readonly maxReconnectMs: number;
  readonly keepaliveMs: number;
  readonly logger: Logger;
  readonly random: Random;
  readonly ceiling: Ceiling;
  /** For tests: how a channel is made. */
  readonly connect?: () => Channel;
}

interface InFlight {
  readonly info: CriCallInfo;
  readonly operation: string;
  readonly startedAt: number;
  /** Rejects the caller and cancels the call. */
  abandon(reason: unknown, failed: boolean): void;
}

/** See the top of the file. */
export class Connection {
  readonly #options: ConnectionOptions;
  readonly #gate: ReconnectGate;
  readonly #keepalive: Keepalive<Channel>;
  readonly #inFlight = new Set<InFlight>();
  #channel: Channel;
  #closed = false;
  #generation = 0;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    const { clock, keepaliveMs, maxReconnectMs, random } = options;
    const connect = options.connect ?? ((): Channel => new Channel(options));
    this.#channel = connect();
    this.#gate = new ReconnectGate(clock, maxReconnectMs, random);
    this.#keepalive = new Keepalive({
      clock,
      periodMs: keepaliveMs,
      current: () => this.#channel,
      connect,
      replace: (fresh) => this.#replace(fresh),
    });
  }

  /** Another number each time that the connection may have become one to another runtime. */
  get generation(): number {
    return this.#generation;
  }

  unary<Request, Response>(
    method: Method<Request, Response>,
    request: DeepPartial<Request>,
    options: CriCallOptions = {},
  ): Promise<Response> {
    const { signal } = options;
    if (signal?.aborted) return Promise.reject(signal.reason as Error);
    const info = this.#info(method, request, options);
    const refusal = this.#refusal(info);
    if (refusal !== undefined) return Promise.reject(refusal);
    return new Promise<Response>((resolve, reject) => {
      const bytes = encode(method, request, info);
      const call: InFlight = {
        info,
        operation: method.operation,
        startedAt: this.#options.clock.monotonic(),
        abandon: (reason, failed) => {
          if (!settle(failed)) return;
          reject(reason as Error);
          grpcCall.cancel();
        },
      };
      const onAbort = (): void => call.abandon(signal?.reason, false);
      const settle = (failed: boolean): boolean => {
        if (!this.#ended(call, failed)) return false;
        timer.cancel();
        signal?.removeEventListener("abort", onAbort);
        return true;
      };
      this.#started(call);
      const timer = this.#options.clock.timer(info.deadlineMs, () => call.abandon(deadlineError(info), true));
      const grpcCall = this.#channel.client.makeUnaryRequest<Buffer, Buffer>(
        method.path,
        asIs,
        asIs,
        bytes,
        metadataOf(method.headers),
        { deadline: backstop(info.deadlineMs) },
        (error, answer) => {
          if (error !== null || answer === undefined) {
            if (settle(true)) reject(this.#translate(error, info));
            return;
          }
          this.#heard();
          this.#options.ceiling.seen(answer.length, info.method, method.operation);
          try {
            const decoded = method.decode(answer) as Response;
            if (settle(false)) resolve(decoded);
          } catch (cause) {
            if (settle(true)) reject(garbageError(info, cause));
          }
        },
      );
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  stream<Request, Response>(
    method: Method<Request, Response>,
    request: DeepPartial<Request>,
    options: CriCallOptions = {},
  ): AsyncIterableIterator<Response> {
    const { signal } = options;
    const info = this.#info(method, request, options);
    const refusal = this.#refusal(info);
    if (refusal !== undefined) return new MessageStream<Response>({ failure: refusal });
    if (signal?.aborted) return new MessageStream<Response>({});
    let bytes: Buffer;
    try {
      bytes = encode(method, request, info);
    } catch (failure) {
      return new MessageStream<Response>({ failure });
    }
    const endless = info.deadlineMs === Number.POSITIVE_INFINITY;
    const source = this.#channel.client.makeServerStreamRequest<Buffer, Buffer>(
      method.path,
      asIs,
      asIs,
      bytes,
      new Metadata(),
      endless ? {} : { deadline: backstop(info.deadlineMs) },
    );
    let timer: Timer | undefined;
    const call: InFlight = {
      info,
      operation: method.operation,
      startedAt: this.#options.clock.monotonic(),
      abandon: (reason) => stream.finish(reason),
    };
    const onAbort = (): void => stream.finish();
    const stream: MessageStream<Response> = new MessageStream<Response>({
      source,
      decode: (answer) => {
        this.#heard();
        try {
          return method.decode(answer);
        } catch (cause) {
          throw garbageError(info, cause);
        }
      },
      translate: (error) => this.#translate(error as ServiceError, info),
      onFinish: (failure) => {
        this.#ended(call, failure !== undefined);
        timer?.cancel();
        signal?.removeEventListener("abort", onAbort);
      },
    });
    this.#started(call);
    if (!endless)
      timer = this.#options.clock.timer(info.deadlineMs, () => stream.finish(deadlineError(info)));
    signal?.addEventListener("abort", onAbort, { once: true });
    return stream;
  }

  /** Calls in flight, oldest first. */
  inFlight(): CriCallInFlight[] {
    const now = this.#options.clock.monotonic();
    return Array.from(this.#inFlight, ({ info, startedAt }) => ({
      method: info.method,
      target: info.target,
      ageMs: now - startedAt,
    }));
  }

  /** Gives up every call in flight and closes the channel. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const call of this.#inFlight) call.abandon(closedError(call.info, true), false);
    this.#keepalive.close();
    this.#channel.close();
  }

  #info<Request>(
    method: Method<Request, unknown>,
    request: DeepPartial<Request>,
    options: CriCallOptions,
  ): CriCallInfo {
    const { endpoint, deadlines } = this.#options;
    const byMethod = method.deadlineMs(request, deadlines);
    const deadlineMs = options.deadlineMs === undefined ? byMethod : clampDeadline(options.deadlineMs);
    return { method: method.name, target: method.target(request), deadlineMs, endpoint };
  }

  #translate(error: ServiceError | null, info: CriCallInfo): CriError {
    if (error === null) return garbageError(info, "neither an answer nor an error");
    if (isConnectionLost(error)) this.#gate.lost();
    const failure = fromServiceError(error, info, this.#options.maxMessageBytes);
    if (failure.code === "CRI_UNAVAILABLE") this.#generation += 1;
    else if (!OUR_OWN.has(failure.code)) this.#heard();
    return failure;
  }

  #heard(): void {
    this.#gate.answered();
    this.#keepalive.heard();
  }

  /** Why a call is not even made. */
  #refusal(info: CriCallInfo): CriError | undefined {
    if (this.#closed) return closedError(info, false);
    const closedForMs = this.#gate.closedForMs;
    return closedForMs > 0 ? reconnectingError(info, closedForMs) : undefined;
  }

  /** Every call on the old channel is lost; whether it happened is for the caller to find out. */
  #replace(fresh: Channel): void {
    const { endpoint, logger, metrics } = this.#options;
    const old = this.#channel;
    this.#channel = fresh;
    this.#generation += 1;
    const calls = [...this.#inFlight];
    logger.warn("connection to the runtime was half-open: replaced", { endpoint, lostCalls: calls.length });
    metrics.replaced();
    for (const call of calls) call.abandon(halfOpenError(call.info), true);
    old.close();
  }

  #started(call: InFlight): void {
    this.#inFlight.add(call);
    if (this.#inFlight.size === 1) this.#keepalive.begin();
    this.#options.metrics.started(call.operation);
  }

  /** False when the call had ended already. */
  #ended(call: InFlight, failed: boolean): boolean {
    if (!this.#inFlight.delete(call)) return false;
    if (this.#inFlight.size === 0) this.#keepalive.pause();
    const seconds = (this.#options.clock.monotonic() - call.startedAt) / MS_PER_SECOND;
    this.#options.metrics.ended(call.operation, seconds, failed);
    return true;
  }
}

function encode<Request>(
  method: Method<Request, unknown>,
  request: DeepPartial<Request>,
  info: CriCallInfo,
): Buffer {
  try {
    return method.encode(request);
  } catch (cause) {
    throw badRequestError(info, cause);
  }
}

function metadataOf(headers: Readonly<Record<string, string>> = {}): Metadata {
  const metadata = new Metadata();
  for (const [key, value] of Object.entries(headers)) metadata.set(key, value);
  return metadata;
}
