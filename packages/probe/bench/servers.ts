// SPDX-License-Identifier: Apache-2.0

/** The servers that the benchmark probes, in a process of their own: their CPU is not the prober's. */
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import type { AddressInfo, Server } from "node:net";

/** Where they listen. */
export interface ServerPorts {
  readonly http: number;
  readonly grpc: number;
}

const SERVING = Buffer.from([0, 0, 0, 0, 2, 8, 1]);

function listen(server: Server): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port));
  });
}

if (import.meta.main) {
  const http = createHttpServer((_request, response) => response.end("ok"));
  const grpc = createHttp2Server();
  grpc.on("stream", (stream) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.on("error", () => {});
    stream.end(SERVING);
  });
  grpc.on("sessionError", () => {});
  const ports: ServerPorts = { http: await listen(http), grpc: await listen(grpc) };
  process.send?.(ports);
  process.on("disconnect", () => process.exit(0));
}
