// SPDX-License-Identifier: Apache-2.0

/**
 * A gRPC health probe over `node:http2`: a session of its own per attempt, the two messages by hand. kubelet: pkg/probe/grpc.
 *
 * Invariants: at most 4 KiB of an answer are kept; a server that does not speak HTTP/2, or refuses, is waited for until the attempt's time
 * is up, as a blocking dial does: that outcome has one text.
 */
import { connect, constants } from "node:http2";
import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders } from "node:http2";
import { Socket } from "node:net";
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
import { proberError } from "../outcome.ts";
import type { ProbeOutcome } from "../outcome.ts";
import { afterPoll } from "./after-poll.ts";
import type { HandlerRun, SocketProbeRequest } from "../ports.ts";
import { isOurs, socketErrorText } from "../socket-errors.ts";
import type { SocketError } from "../socket-errors.ts";

type GrpcRequest = Extract<SocketProbeRequest, { handler: "grpc" }>;

const UNAVAILABLE = 14;

/** One attempt. */
export class GrpcRun implements HandlerRun {
  readonly #request: GrpcRequest;
  readonly #socket: Socket;
  readonly #session: ClientHttp2Session;
  #isHttp2 = false;
  #headers: IncomingHttpHeaders = {};
  #trailers: IncomingHttpHeaders = {};
  #chunks: Buffer[] = [];
  #bytes = 0;
  #onDone: ((outcome: ProbeOutcome) => void) | undefined;

  constructor(request: GrpcRequest, onDone: (outcome: ProbeOutcome) => void) {
    this.#request = request;
    this.#onDone = onDone;
    const { host, port } = request;
    const socket = new Socket();
    this.#socket = socket;
    socket.connect({ host, port });
    this.#session = connect(`http://${authority(host, port)}`, { createConnection: () => socket });
    this.#session.on("error", (error: SocketError) => this.#fail(error));
    this.#session.once("remoteSettings", () => {
      this.#isHttp2 = true;
    });
    this.#session.once("close", () => this.#fail({ message: "error reading from server: EOF" }));
    this.#session.once("connect", () => this.#call());
  }

  expire(): void {
    afterPoll(() => {
      const { host, port, timeoutMs } = this.#request;
      this.#end(this.#isHttp2 ? rpcTimeout(timeoutMs) : dialTimeout(authority(host, port), timeoutMs));
    });
  }

  cancel(): void {
    this.#onDone = undefined;
    this.#close();
  }

  #call(): void {
    if (this.#onDone === undefined) return;
    const { service, timeoutMs, userAgent } = this.#request;
    const stream = this.#session.request({
      [constants.HTTP2_HEADER_METHOD]: "POST",
      [constants.HTTP2_HEADER_PATH]: HEALTH_CHECK_PATH,
      "content-type": "application/grpc",
      te: "trailers",
      "user-agent": `${userAgent} holdfast`,
      "grpc-timeout": `${Math.ceil(timeoutMs)}m`,
    });
    stream.on("error", (error: SocketError) => this.#fail(error));
    stream.on("response", (headers) => {
      this.#headers = headers;
    });
    stream.on("trailers", (headers) => {
      this.#trailers = headers;
    });
    stream.on("data", (bytes: Buffer) => this.#keep(stream, bytes));
    stream.on("end", () => this.#answered());
    stream.end(encodeHealthRequest(service));
  }

  #keep(stream: ClientHttp2Stream, bytes: Buffer): void {
    this.#bytes += bytes.length;
    if (this.#bytes <= MAX_GRPC_MESSAGE_BYTES) this.#chunks.push(bytes);
    else if (this.#headers["content-type"]?.startsWith("application/grpc") === true)
      this.#end(
        rpcFailed(8, `received message larger than max (${this.#bytes} vs. ${MAX_GRPC_MESSAGE_BYTES})`),
      );
    else {
      stream.close();
      this.#answered();
    }
  }

  #answered(): void {
    const text = (name: string): string => String(this.#trailers[name] ?? this.#headers[name] ?? "");
    const status = text("grpc-status");
    this.#end(
      healthOutcome({
        httpStatus: Number(this.#headers[":status"] ?? 0),
        grpcStatus: /^\d+$/.test(status) ? Number(status) : undefined,
        grpcMessage: text("grpc-message"),
        contentType: text("content-type"),
        body: Buffer.concat(this.#chunks),
      }),
    );
  }

  #fail(error: SocketError): void {
    if (this.#onDone === undefined) return;
    const { host, port } = this.#request;
    const text = socketErrorText(error, host, port, this.#isHttp2);
    if (isOurs(error)) this.#end(proberError("descriptors", text));
    else if (this.#isHttp2) this.#end(rpcFailed(UNAVAILABLE, error.message));
    // Not connected: the kubelet's dial tries on until its time is up, and so `expire` gives the answer.
  }

  #end(outcome: ProbeOutcome): void {
    const onDone = this.#onDone;
    this.#onDone = undefined;
    if (onDone === undefined) return;
    this.#close();
    onDone(outcome);
  }

  #close(): void {
    this.#session.destroy();
    if (!this.#socket.destroyed && !this.#socket.connecting) this.#socket.resetAndDestroy();
    else this.#socket.destroy();
  }
}
