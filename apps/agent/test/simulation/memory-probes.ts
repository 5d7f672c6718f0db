// SPDX-License-Identifier: Apache-2.0

/** What probes over the network meet in a simulation: every address answers, but for those that a test takes down. */
import type { Clock } from "@holdfast/core/clock";
import type { ProbeHandlers, SocketProbeRequest } from "@holdfast/probe";

/** Answers a millisecond of virtual time after it was asked. */
export class MemoryProbes {
  /** Addresses that answer with a failure, as `HOST:PORT`. */
  readonly failing = new Set<string>();
  asked = 0;

  /** `clock` is the asking agent's: with it dies what it asked. */
  handlers(clock: Clock): ProbeHandlers {
    return {
      start: (request, onDone) => {
        this.asked += 1;
        const failed = this.failing.has(addressOf(request));
        const timer = clock.timer(1, () =>
          onDone(failed ? { result: "failure", output: "no" } : { result: "success", output: "" }),
        );
        return { expire() {}, cancel: () => timer.cancel() };
      },
    };
  }
}

function addressOf(request: SocketProbeRequest): string {
  const { host, port } = request.handler === "http" ? request.http : request;
  return `${host}:${port}`;
}
