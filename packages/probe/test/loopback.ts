// SPDX-License-Identifier: Apache-2.0

/** Real servers on loopback that misbehave in one way each, and probes of them. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nodeProbeHandlers } from "@holdfast/probe/node";
import type { ProbeOutcome, SocketProbeRequest } from "@holdfast/probe";

/** A server that is gone when the test is. */
export interface Loopback extends AsyncDisposable {
  readonly port: number;
  /** Connections accepted so far. */
  readonly accepted: () => number;
}

/** Calls `serve` with each connection. */
export async function tcpServer(serve: (socket: Socket) => void): Promise<Loopback> {
  let accepted = 0;
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    accepted += 1;
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    serve(socket);
  });
  const port = await listen(server);
  return {
    port,
    accepted: () => accepted,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export function listen(server: Server): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port));
  });
}

/** Waits for the request's end, then answers with `text` and, unless told otherwise, ends. */
export function httpServer(text: string | ((request: string) => string), end = true): Promise<Loopback> {
  return tcpServer((socket) => {
    let request = "";
    socket.on("data", (bytes) => {
      request += bytes.toString("latin1");
      if (!request.includes("\r\n\r\n")) return;
      const answer = typeof text === "string" ? text : text(request);
      if (end) socket.end(answer, "latin1");
      else socket.write(answer, "latin1");
    });
  });
}

/** A port on which nothing listens. */
export async function closedPort(): Promise<number> {
  await using server = await tcpServer(() => {});
  return server.port;
}

/** Runs one attempt. `expireWhen` resolves when its time is to be up: nothing waits for real time. */
export function attempt(
  request: SocketProbeRequest,
  expireWhen: Promise<unknown> = new Promise(() => {}),
): Promise<ProbeOutcome> {
  return new Promise((resolve) => {
    const run = nodeProbeHandlers.start(request, resolve);
    void expireWhen.then(() => run.expire());
  });
}

/** A certificate that nobody trusts. */
export function selfSigned(): { readonly key: Buffer; readonly cert: Buffer } {
  const folder = mkdtempSync(join(tmpdir(), "probe-tls-"));
  try {
    const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
    const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
    const args = ["req", "-x509", ...curve, "-nodes", "-subj", "/CN=nobody", "-keyout", key, "-out", cert];
    execFileSync("openssl", args, { stdio: "ignore" });
    return { key: readFileSync(key), cert: readFileSync(cert) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
