// SPDX-License-Identifier: Apache-2.0

/**
 * A gRPC health probe: one call over HTTP/2 on a connection of its own, by hand. A third of what a session of `node:http2` costs, a sixth of a
 * channel of grpc-js (see the benchmark). kubelet: pkg/probe/grpc.
 *
 * Invariants: at most 4 KiB of an answer are kept; a server that does not speak HTTP/2, or refuses, is waited for until the attempt's time
 * is up, as a blocking dial does: that outcome has one text.
 */
import {
  dialTimeout,
  encodeHealthRequest,
  healthOutcome,
  HEALTH_CHECK_PATH,
  MAX_GRPC_MESSAGE_BYTES,
  rpcFailed,
  rpcTimeout,
} from "../grpc-message.ts";
import { authority } from "../http-request.ts";
import { encodeCall } from "../http2/frames.ts";
import { UnaryAnswer } from "../http2/unary-answer.ts";
import { proberError } from "../outcome.ts";
import type { ProbeOutcome } from "../outcome.ts";
import { afterPoll } from "./after-poll.ts";
import { openPlain } from "./connection.ts";
import type { Connection, ConnectionUser } from "./connection.ts";
import type { HandlerRun, SocketProbeRequest } from "../ports.ts";
import { isOurs, socketErrorText } from "../socket-errors.ts";
import type { SocketError } from "../socket-errors.ts";

type GrpcRequest = Extract<SocketProbeRequest, { handler: "grpc" }>;

const UNAVAILABLE = 14;
const RESOURCE_EXHAUSTED = 8;

/** A worker asks the same again and again. */
const calls = new WeakMap<GrpcRequest, Buffer>();

function callOf(request: GrpcRequest): Buffer {
  const known = calls.get(request);
  if (known !== undefined) return known;
  const { host, port, service, timeoutMs, userAgent } = request;
  const made = encodeCall({
    authority: authority(host, port),
    path: HEALTH_CHECK_PATH,
    headers: { "user-agent": `${userAgent} holdfast`, "grpc-timeout": `${Math.ceil(timeoutMs)}m` },
    message: encodeHealthRequest(service),
  });
  calls.set(request, made);
  return made;
}

/** One attempt. */
export class GrpcRun implements HandlerRun, ConnectionUser {
  readonly #request: GrpcRequest;
  readonly #connection: Connection;
  readonly #answer: UnaryAnswer;
  #onDone: ((outcome: ProbeOutcome) => void) | undefined;

  constructor(request: GrpcRequest, onDone: (outcome: ProbeOutcome) => void) {
    this.#request = request;
    this.#onDone = onDone;
    this.#answer = new UnaryAnswer(MAX_GRPC_MESSAGE_BYTES, (bytes) => this.#connection.write(bytes));
    this.#connection = openPlain(request.host, request.port, this);
  }

  expire(): void {
    afterPoll(() => {
      const { host, port, timeoutMs } = this.#request;
      this.#end(this.#answer.isHttp2 ? rpcTimeout(timeoutMs) : dialTimeout(authority(host, port), timeoutMs));
    });
  }

  cancel(): void {
    this.#onDone = undefined;
    this.#connection.close();
  }

  onConnect(): void {
    this.#connection.write(callOf(this.#request));
  }

  onData(buffer: Buffer, length: number): void {
    const answer = this.#answer;
    answer.push(buffer.length === length ? buffer : buffer.subarray(0, length));
    if (answer.state === "answered") this.#answered();
    else if (answer.problem !== undefined) this.#broken(rpcFailed(answer.problem.code, answer.problem.text));
  }

  onEnd(): void {
    this.#broken(rpcFailed(UNAVAILABLE, "error reading from server: EOF"));
  }

  onError(error: SocketError): void {
    const { host, port } = this.#request;
    const text = socketErrorText(error, host, port, this.#answer.isHttp2);
    if (isOurs(error)) this.#end(proberError("descriptors", text));
    else this.#broken(rpcFailed(UNAVAILABLE, text));
  }

  /** Before it is known to speak HTTP/2 the kubelet's dial tries on until its time is up: then `expire` gives the answer. */
  #broken(outcome: ProbeOutcome): void {
    if (this.#answer.isHttp2) this.#end(outcome);
    else this.#connection.close();
  }

  #answered(): void {
    const { fields, bodyBytes } = this.#answer;
    const text = (name: string): string => fields.get(name) ?? "";
    const contentType = text("content-type");
    if (bodyBytes > MAX_GRPC_MESSAGE_BYTES && contentType.startsWith("application/grpc")) {
      const said = `received message larger than max (${bodyBytes} vs. ${MAX_GRPC_MESSAGE_BYTES})`;
      this.#end(rpcFailed(RESOURCE_EXHAUSTED, said));
      return;
    }
    const status = text("grpc-status");
    this.#end(
      healthOutcome({
        httpStatus: Number(text(":status")),
        grpcStatus: /^\d+$/.test(status) ? Number(status) : undefined,
        grpcMessage: text("grpc-message"),
        contentType,
        body: this.#answer.body(),
      }),
    );
  }

  #end(outcome: ProbeOutcome): void {
    const onDone = this.#onDone;
    this.#onDone = undefined;
    this.#connection.close();
    onDone?.(outcome);
  }
}
