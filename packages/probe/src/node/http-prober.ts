// SPDX-License-Identifier: Apache-2.0

/**
 * An HTTP probe over a bare socket: a third of what `node:http` costs (see the benchmark), with the same answers. kubelet: pkg/probe/http.
 *
 * Invariants: one connection per request, never kept; at most 64 KiB of header and 10 KiB of body are read; a certificate is never checked;
 * environment variables about proxies are not read.
 */
import { computeRedirect } from "../compute-redirect.ts";
import { urlOf } from "../http-request.ts";
import type { HttpRequest } from "../http-request.ts";
import { HttpResponseReader } from "../http-response.ts";
import { failure, proberError, SILENT_SUCCESS, timedOut } from "../outcome.ts";
import type { ProbeOutcome } from "../outcome.ts";
import { afterPoll } from "./after-poll.ts";
import { openPlain, TlsConnection } from "./connection.ts";
import type { Connection, ConnectionUser } from "./connection.ts";
import type { HandlerRun } from "../ports.ts";
import { isOurs, socketErrorText } from "../socket-errors.ts";
import type { SocketError } from "../socket-errors.ts";

const SLOW_BODY = "context deadline exceeded (Client.Timeout or context cancellation while reading body)";

/** One attempt, its redirects included. */
export class HttpRun implements HandlerRun, ConnectionUser {
  readonly #first: HttpRequest;
  #request: HttpRequest;
  #made = 0;
  #reader = new HttpResponseReader();
  #connection: Connection | undefined;
  #connected = false;
  #onDone: ((outcome: ProbeOutcome) => void) | undefined;

  constructor(request: HttpRequest, onDone: (outcome: ProbeOutcome) => void) {
    this.#first = request;
    this.#request = request;
    this.#onDone = onDone;
    this.#open();
  }

  expire(): void {
    // What has arrived meanwhile is read first: our own delay is not the target's.
    afterPoll(() => {
      if (this.#onDone === undefined) return;
      this.#end(
        this.#reader.hasHead
          ? { ...proberError("body", SLOW_BODY, "failure"), timedOut: true }
          : timedOut(
              `Get "${urlOf(this.#request)}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`,
            ),
      );
    });
  }

  cancel(): void {
    this.#onDone = undefined;
    this.#connection?.close();
  }

  #open(): void {
    const { secure, host, port } = this.#request;
    this.#made += 1;
    this.#connected = false;
    this.#connection = secure ? new TlsConnection(host, port, this) : openPlain(host, port, this);
  }

  onConnect(): void {
    this.#connected = true;
    this.#connection?.write(this.#request.text);
  }

  onData(buffer: Buffer, length: number): void {
    this.#reader.push(buffer, length);
    if (this.#reader.done || this.#reader.problem !== undefined) this.#answered();
  }

  onEnd(): void {
    this.#reader.end();
    this.#answered();
  }

  onError(error: SocketError): void {
    const { host, port } = this.#request;
    const text = socketErrorText(error, host, port, this.#connected);
    if (isOurs(error)) this.#end(proberError("descriptors", text));
    else if (this.#reader.hasHead) this.#end(proberError("body", text, "failure"));
    else this.#end(failure(`Get "${urlOf(this.#request)}": ${tlsText(error) ?? text}`));
  }

  #answered(): void {
    const { problem, status } = this.#reader;
    if (problem !== undefined) {
      const text = problem.stage === "head" ? `Get "${urlOf(this.#request)}": ${problem.text}` : problem.text;
      this.#end(
        problem.stage === "head" ? failure(text, problem.quotes) : proberError("body", text, "failure"),
      );
      return;
    }
    const next = computeRedirect(this.#reader, this.#request, this.#first, this.#made);
    if (next === undefined) this.#end(statusOutcome(status, this.#reader));
    else if (typeof next === "string") this.#end(failure(next, this.#reader.location));
    else {
      this.#connection?.close();
      this.#request = next;
      this.#reader = new HttpResponseReader();
      this.#open();
    }
  }

  #end(outcome: ProbeOutcome): void {
    const onDone = this.#onDone;
    this.#onDone = undefined;
    this.#connection?.close();
    onDone?.(outcome);
  }
}

function statusOutcome(status: number, reader: HttpResponseReader): ProbeOutcome {
  if (status >= 200 && status < 300) {
    const body = reader.body();
    return body === "" ? SILENT_SUCCESS : { result: "success", output: body, quotes: body };
  }
  if (status >= 300 && status < 400) {
    const body = reader.body();
    return {
      result: "warning",
      output: `Probe terminated redirects, Response body: ${body}`,
      quotes: body,
    };
  }
  return failure(`HTTP probe failed with statuscode: ${status}`);
}

/** What Go's TLS client says of a server that speaks plain HTTP; other failures in OpenSSL's words. */
function tlsText(error: SocketError): string | undefined {
  if (error.code === "ERR_SSL_WRONG_VERSION_NUMBER" || error.code === "ERR_SSL_PACKET_LENGTH_TOO_LONG")
    return "http: server gave HTTP response to HTTPS client";
  return error.code?.startsWith("ERR_SSL_") === true ? `remote error: tls: ${error.message}` : undefined;
}
