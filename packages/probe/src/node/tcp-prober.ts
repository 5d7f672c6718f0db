// SPDX-License-Identifier: Apache-2.0

/** A TCP probe: connects, and resets at once. kubelet: pkg/probe/tcp. */
import { authority } from "../http-request.ts";
import { failure, proberError, SILENT_SUCCESS, timedOut } from "../outcome.ts";
import type { ProbeOutcome } from "../outcome.ts";
import { afterPoll } from "./after-poll.ts";
import { openPlain } from "./connection.ts";
import type { Connection, ConnectionUser } from "./connection.ts";
import type { HandlerRun } from "../ports.ts";
import { isOurs, socketErrorText } from "../socket-errors.ts";
import type { SocketError } from "../socket-errors.ts";

/** One attempt. */
export class TcpRun implements HandlerRun, ConnectionUser {
  readonly #connection: Connection;
  readonly #host: string;
  readonly #port: number;
  #onDone: ((outcome: ProbeOutcome) => void) | undefined;

  constructor(host: string, port: number, onDone: (outcome: ProbeOutcome) => void) {
    this.#host = host;
    this.#port = port;
    this.#onDone = onDone;
    this.#connection = openPlain(host, port, this);
  }

  expire(): void {
    afterPoll(() => this.#end(timedOut(`dial tcp ${authority(this.#host, this.#port)}: i/o timeout`)));
  }

  cancel(): void {
    this.#onDone = undefined;
    this.#connection.close();
  }

  onConnect(): void {
    this.#end(SILENT_SUCCESS);
  }
  onData(): void {}
  onEnd(): void {}

  onError(error: SocketError): void {
    const text = socketErrorText(error, this.#host, this.#port, false);
    this.#end(isOurs(error) ? proberError("descriptors", text) : failure(text));
  }

  #end(outcome: ProbeOutcome): void {
    const onDone = this.#onDone;
    this.#onDone = undefined;
    this.#connection.close();
    onDone?.(outcome);
  }
}
