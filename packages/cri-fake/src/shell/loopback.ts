// SPDX-License-Identifier: Apache-2.0
//
// The ports of programs, for real: http, tcp and grpc.health.v1 on addresses of loopback. Owns each port's server and its connections; both end when
// the program does.

import { createServer as createHttpServer } from "node:http";
import { createServer as createTcpServer } from "node:net";
import type { Server as NetServer, Socket } from "node:net";

import { Server as GrpcServer, ServerCredentials, status } from "@grpc/grpc-js";
import type { sendUnaryData, ServerUnaryCall } from "@grpc/grpc-js";

import type { Loopback, OpenPort } from "../process.ts";
import type { ServedPort } from "../program.ts";
import type { PortState } from "../usage.ts";

const UNWELL = 503;
const MAX_CONNECTIONS = 1024;

/** Real listeners for programs that serve: for `FakeRuntimeOptions.loopback`, in real time. */
export function loopback(): Loopback {
  return {
    open(port, state, onError, host) {
      const failed = (reason: string): void => onError(`cannot listen on ${host}:${port.port}: ${reason}`);
      const place = { port, host, state, failed };
      return port.kind === "grpc" ? openGrpc(place) : openSocket(place);
    },
  };
}

interface Place {
  readonly port: ServedPort;
  readonly host: string;
  readonly state: () => PortState;
  readonly failed: (reason: string) => void;
}

function openSocket({ port, host, state, failed }: Place): OpenPort {
  const server =
    port.kind === "http" ? httpServer(port, state) : createTcpServer((socket) => socket.resume());
  const sockets = new Set<Socket>();
  server.maxConnections = MAX_CONNECTIONS;
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => sockets.delete(socket));
  });
  server.on("error", (error) => failed(error.message));
  server.listen(port.port, host);
  return {
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

function httpServer({ paths = {} }: ServedPort, state: () => PortState): NetServer {
  return createHttpServer((request, response) => {
    request.resume();
    const now = state();
    if (now === "silent") return;
    const path = (request.url ?? "/").replace(/\?.*$/, "");
    const code = paths[path] ?? (now === "unwell" ? UNWELL : 200);
    response.writeHead(code, { "content-type": "text/plain" }).end(`${code}\n`);
  });
}

/** In grpc.health.v1: SERVING is 1, NOT_SERVING 2. */
const HEALTH = { well: 1, unwell: 2, closed: 2, silent: 2 } as const satisfies Record<PortState, number>;

function openGrpc({ port, host, state, failed }: Place): OpenPort {
  const server = new GrpcServer();
  const services = new Set(["", ...(port.services ?? [])]);
  const check = (call: ServerUnaryCall<HealthRequest, PortState>, answer: sendUnaryData<PortState>): void => {
    const now = state();
    if (now === "silent") return;
    if (services.has(call.request.service)) answer(null, now);
    else answer({ code: status.NOT_FOUND, details: "unknown service" });
  };
  server.addService(
    {
      check: {
        path: "/grpc.health.v1.Health/Check",
        requestStream: false,
        responseStream: false,
        requestSerialize: ({ service }: HealthRequest) => Buffer.from(service),
        requestDeserialize: readRequest,
        responseSerialize: (now: PortState) => Buffer.from([ENUM_FIELD_1, HEALTH[now]]),
        responseDeserialize: String,
      },
    },
    { check },
  );
  server.bindAsync(`${host}:${port.port}`, ServerCredentials.createInsecure(), (error) => {
    if (error !== null) failed(error.message);
  });
  return { close: () => server.forceShutdown() };
}

const ENUM_FIELD_1 = 0x08;
const STRING_FIELD_1 = 0x0a;
const LENGTH_AT = 1;
const TEXT_AT = 2;

interface HealthRequest {
  readonly service: string;
}

/** A HealthCheckRequest: a string in field 1, or nothing. A name longer than 127 bytes is nobody's. */
function readRequest(message: Buffer): HealthRequest {
  if (message.length < TEXT_AT || message[0] !== STRING_FIELD_1) return { service: "" };
  return { service: message.toString("utf8", TEXT_AT, TEXT_AT + (message[LENGTH_AT] ?? 0)) };
}
