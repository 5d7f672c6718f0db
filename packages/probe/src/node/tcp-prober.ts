// SPDX-License-Identifier: Apache-2.0

/** A TCP probe: connects, and resets at once. kubelet: pkg/probe/tcp. */
import { Socket } from "node:net";
import { authority } from "../http-request.ts";
import { failure, proberError, SILENT_SUCCESS, timedOut } from "../outcome.ts";
import type { ProbeOutcome } from "../outcome.ts";
import { afterPoll } from "./after-poll.ts";
import { lookupHost } from "./resolve-host.ts";
import type { HandlerRun } from "../ports.ts";
import { isOurs, socketErrorText } from "../socket-errors.ts";

/** One attempt. A reset leaves nothing in TIME_WAIT on either side. */
export class TcpRun implements HandlerRun {
  readonly #socket: Socket;
  readonly #host: string;
  readonly #port: number;
  #onDone: ((outcome: ProbeOutcome) => void) | undefined;

  constructor(host: string, port: number, onDone: (outcome: ProbeOutcome) => void) {
    this.#host = host;
    this.#port = port;
    this.#onDone = onDone;
    const socket = new Socket();
    this.#socket = socket;
    socket.on("error", (error) => {
      const text = socketErrorText(error, host, port, false);
      this.#end(isOurs(error) ? proberError("descriptors", text) : failure(text));
    });
    socket.connect({ host, port, lookup: lookupHost }, () => {
      socket.resetAndDestroy();
      this.#end(SILENT_SUCCESS);
    });
  }

  expire(): void {
    afterPoll(() => {
      this.#end(timedOut(`dial tcp ${authority(this.#host, this.#port)}: i/o timeout`));
      this.#socket.destroy();
    });
  }

  cancel(): void {
    this.#onDone = undefined;
    this.#socket.destroy();
  }

  #end(outcome: ProbeOutcome): void {
    const onDone = this.#onDone;
    this.#onDone = undefined;
    onDone?.(outcome);
  }
}
