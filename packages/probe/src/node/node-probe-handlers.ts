// SPDX-License-Identifier: Apache-2.0

import type { ProbeOutcome } from "../outcome.ts";
import type { HandlerRun, ProbeHandlers, SocketProbeRequest } from "../ports.ts";
import { GrpcRun } from "./grpc-prober.ts";
import { HttpRun } from "./http-prober.ts";
import { TcpRun } from "./tcp-prober.ts";

/** Attempts over this machine's sockets. */
export const nodeProbeHandlers: ProbeHandlers = {
  start(request: SocketProbeRequest, onDone: (outcome: ProbeOutcome) => void): HandlerRun {
    switch (request.handler) {
      case "http":
        return new HttpRun(request.http, onDone);
      case "tcp":
        return new TcpRun(request.host, request.port, onDone);
      case "grpc":
        return new GrpcRun(request, onDone);
    }
  },
};
