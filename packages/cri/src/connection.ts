// SPDX-License-Identifier: Apache-2.0
//
// Makes calls on one socket. Owns the gRPC channel and the set of calls in flight; everything else goes through it.
// Invariants: each call settles once, at the latest at its deadline on the Clock, whether gRPC answers or not; when it has settled, no
// timer and no listener of it is left. gRPC's own deadline stands a little behind ours, should the Clock fail.
// A crash loses the calls: what they did to the runtime is found by listing it.

import { Client, credentials, Metadata } from "@grpc/grpc-js";
import type { ChannelOptions, ServiceError } from "@grpc/grpc-js";
import type { Clock, Timer } from "@holdfast/core/clock";
import type { Logger } from "@holdfast/core/log";

import type { CallMetrics } from "./call-metrics.ts";
import { clampDeadline } from "./deadlines.ts";
import type { CriDeadlines } from "./deadlines.ts";
import { badRequestError, closedError, deadlineError, fromServiceError, garbageError } from "./errors.ts";
import type { CriCallInfo, CriError } from "./errors.ts";
import type { DeepPartial } from "./gen/runtime/v1/config.ts";
import type { Method } from "./method.ts";
import { MessageStream } from "./message-stream.ts";
import type { CriCallOptions } from "./services.ts";

/** How far gRPC's own deadline stands behind ours. */
const BACKSTOP_MS = 5000;
const MS_PER_SECOND = 1000;
const FIRST_RECONNECT_MS = 100;
/** From this share of the largest message on an answer is warned about, and not again for a minute. */
const CEILING_SHARE = 0.75;
const CEILING_WARNING_MS = 60_000;

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
  readonly logger: Logger;
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
  readonly #client: Client;
  readonly #inFlight = new Set<InFlight>();
  #closed = false;
  #warnedAt = Number.NEGATIVE_INFINITY;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#client = new Client(options.endpoint, credentials.createInsecure(), channelOptions(options));
  }

  unary<Request, Response>(
    method: Method<Request, Response>,
    request: DeepPartial<Request>,
    options: CriCallOptions = {},
  ): Promise<Response> {
    const { signal } = options;
    if (signal?.aborted) return Promise.reject(signal.reason as Error);
    const info = this.#info(method, request, options);
    if (this.#closed) return Promise.reject(closedError(info, false));
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
      const grpcCall = this.#client.makeUnaryRequest<Buffer, Buffer>(
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
          this.#warnOfCeiling(answer.length, info);
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

  /** Said before it is too late: one more container, and the list cannot be had at all. */
  #warnOfCeiling(bytes: number, { method }: CriCallInfo): void {
    const { clock, logger, maxMessageBytes } = this.#options;
    if (bytes <= CEILING_SHARE * maxMessageBytes) return;
    const now = clock.monotonic();
    if (now - this.#warnedAt < CEILING_WARNING_MS) return;
    this.#warnedAt = now;
    logger.warn(
      "an answer of the runtime nears the largest message: remove dead containers, or raise maxMessageBytes",
      {
        method,
        bytes,
        maxMessageBytes,
      },
    );
  }

  stream<Request, Response>(
    method: Method<Request, Response>,
    request: DeepPartial<Request>,
    options: CriCallOptions = {},
  ): AsyncIterableIterator<Response> {
    const { signal } = options;
    const info = this.#info(method, request, options);
    if (this.#closed) return new MessageStream<Response>({ failure: closedError(info, false) });
    if (signal?.aborted) return new MessageStream<Response>({});
    let bytes: Buffer;
    try {
      bytes = encode(method, request, info);
    } catch (failure) {
      return new MessageStream<Response>({ failure });
    }
    const endless = info.deadlineMs === Number.POSITIVE_INFINITY;
    const source = this.#client.makeServerStreamRequest<Buffer, Buffer>(
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
    this.#client.close();
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
    return fromServiceError(error, info, this.#options.maxMessageBytes);
  }

  #started(call: InFlight): void {
    this.#inFlight.add(call);
    this.#options.metrics.started(call.operation);
  }

  /** False when the call had ended already. */
  #ended(call: InFlight, failed: boolean): boolean {
    if (!this.#inFlight.delete(call)) return false;
    const seconds = (this.#options.clock.monotonic() - call.startedAt) / MS_PER_SECOND;
    this.#options.metrics.ended(call.operation, seconds, failed);
    return true;
  }
}

/** Messages are written and read by us, not inside grpc-js: then what is wrong with one is known exactly. */
function asIs(bytes: Buffer): Buffer {
  return bytes;
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

/** grpc-js takes a wall-clock time, and turns it into a duration at once. */
function backstop(deadlineMs: number): number {
  return Date.now() + deadlineMs + BACKSTOP_MS;
}

function channelOptions(options: ConnectionOptions): ChannelOptions {
  return {
    "grpc.default_authority": "localhost",
    "grpc.max_receive_message_length": options.maxMessageBytes,
    "grpc.max_send_message_length": options.maxMessageBytes,
    "grpc.initial_reconnect_backoff_ms": FIRST_RECONNECT_MS,
    "grpc.max_reconnect_backoff_ms": options.maxReconnectMs,
    // Keepalive stays off: containerd's server closes connections that ping more often than every 5 min, a dead
    // peer closes a unix socket at once, and a hung one is what the deadlines are for.
    // Repeating a call is the caller's decision.
    "grpc.enable_retries": 0,
    "grpc.enable_channelz": 0,
    "grpc.enable_http_proxy": 0,
    "grpc.service_config_disable_resolution": 1,
    "grpc.use_local_subchannel_pool": 1,
  };
}
