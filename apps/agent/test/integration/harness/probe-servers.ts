// SPDX-License-Identifier: Apache-2.0

/** Servers in the test's own process that probes ask: some that misbehave in one way each, and one of each kind that a test turns on and off. */
import { createServer as createHttp2Server } from "node:http2";
import type { Http2Server } from "node:http2";
import { createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";

const MOVED = "HTTP/1.1 302 Found\r\nLocation: http://elsewhere.invalid/\r\nContent-Length: 5\r\n\r\nmoved";
const HALF = "HTTP/1.1 200 OK\r\nContent-Le";
const GIGABYTE = 2 ** 30;
const CHUNK = Buffer.alloc(64 * 1024, "x");

/** What an {@link OddServers} has. Those of gRPC can be reached at every address of the machine, as a pod on its network is asked. */
export type OddServer =
  | "moved"
  | "broken"
  | "halfThenEnd"
  | "halfThenSilence"
  | "gigabyte"
  | "never"
  | "notServing"
  | "unknownService"
  | "otherGrpc";

/** All of them, each on a port of its own. */
export class OddServers implements AsyncDisposable {
  /** Bytes that were sent of bodies of one gigabyte. */
  sent = 0;
  /** The most that one connection took of it. */
  mostSent = 0;
  readonly #ports = new Map<OddServer, number>();
  readonly #sockets = new Set<Socket>();
  readonly #servers: (Server | Http2Server)[] = [];

  static async start(): Promise<OddServers> {
    const odd = new OddServers();
    await odd.#tcp("moved", (socket) => socket.end(MOVED));
    await odd.#tcp("broken", (socket) => socket.end("HTTP/1.1 500 Oops\r\n\r\nsecret"));
    await odd.#tcp("halfThenEnd", (socket) => socket.end(HALF));
    await odd.#tcp("halfThenSilence", (socket) => void socket.write(HALF));
    await odd.#tcp("gigabyte", (socket) => odd.#pour(socket));
    await odd.#tcp("never", () => {});
    await odd.#grpc("notServing", { "grpc-status": "0" }, 2);
    await odd.#grpc("unknownService", { "grpc-status": "5", "grpc-message": "unknown service" });
    await odd.#grpc("otherGrpc", { "grpc-status": "12", "grpc-message": "unknown service Health" });
    return odd;
  }

  port(name: OddServer): number {
    return this.#ports.get(name) ?? 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(this.#servers.map((server) => new Promise((resolve) => server.close(resolve))));
  }

  async #tcp(name: OddServer, answer: (socket: Socket) => void): Promise<void> {
    const server = createServer((socket) => {
      this.#watch(socket);
      socket.once("data", () => answer(socket));
    });
    await this.#add(name, server, "127.0.0.1");
  }

  async #grpc(name: OddServer, trailers: Record<string, string>, status?: number): Promise<void> {
    const server = grpcServer(() => ({ trailers, ...(status === undefined ? {} : { status }) }));
    server.on("connection", (socket: Socket) => this.#watch(socket));
    await this.#add(name, server, "0.0.0.0");
  }

  async #add(name: OddServer, server: Server | Http2Server, host: string): Promise<void> {
    this.#servers.push(server);
    this.#ports.set(name, await listen(server, 0, host));
  }

  #watch(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => this.#sockets.delete(socket));
  }

  #pour(socket: Socket): void {
    let sent = 0;
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${GIGABYTE}\r\n\r\n`);
    const more = (): void => {
      while (!socket.destroyed && sent < GIGABYTE) {
        sent += CHUNK.length;
        this.sent += CHUNK.length;
        this.mostSent = Math.max(this.mostSent, sent);
        if (!socket.write(CHUNK)) return void socket.once("drain", more);
      }
    };
    more();
  }
}

/** One target for each network handler, all healthy or none. */
export class SwitchedServers implements AsyncDisposable {
  #isUp: boolean;
  #httpPort = 0;
  #grpcPort = 0;
  #tcpPort = 0;
  #tcp: Server | undefined;
  readonly #http: Server;
  readonly #grpc: Http2Server;
  readonly #sockets = new Set<Socket>();

  private constructor(isUp: boolean) {
    this.#isUp = isUp;
    this.#http = createServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", () =>
        socket.end(`HTTP/1.1 ${this.#isUp ? 200 : 500} -\r\nContent-Length: 0\r\n\r\n`),
      );
    });
    this.#grpc = grpcServer(() => ({ trailers: { "grpc-status": "0" }, status: this.#isUp ? 1 : 2 }));
    this.#grpc.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
    });
  }

  static async start(isUp: boolean): Promise<SwitchedServers> {
    const made = new SwitchedServers(isUp);
    made.#httpPort = await listen(made.#http, 0, "127.0.0.1");
    made.#grpcPort = await listen(made.#grpc, 0, "0.0.0.0");
    await made.#openTcp();
    if (!isUp) await made.#closeTcp();
    return made;
  }

  /** Probes of each handler that ask here; the one of gRPC only from a pod on the machine's network. */
  get probes(): Readonly<Record<"http" | "tcp" | "grpc", object>> {
    return {
      http: { httpGet: { host: "127.0.0.1", port: this.#httpPort } },
      tcp: { tcpSocket: { host: "127.0.0.1", port: this.#tcpPort } },
      grpc: { grpc: { port: this.#grpcPort } },
    };
  }

  async turn(isUp: boolean): Promise<void> {
    this.#isUp = isUp;
    if (isUp && this.#tcp === undefined) await this.#openTcp();
    else if (!isUp) await this.#closeTcp();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await this.#closeTcp();
    for (const server of [this.#http, this.#grpc]) await new Promise((resolve) => server.close(resolve));
  }

  async #openTcp(): Promise<void> {
    this.#tcp = createServer((socket) => void socket.on("error", () => {}).resume());
    this.#tcpPort = await listen(this.#tcp, this.#tcpPort, "127.0.0.1");
  }

  async #closeTcp(): Promise<void> {
    const server = this.#tcp;
    this.#tcp = undefined;
    if (server !== undefined) await new Promise((resolve) => server.close(resolve));
  }
}

/** Answers every call alike. `status`: of a HealthCheckResponse. */
function grpcServer(
  answer: () => { readonly trailers: Record<string, string>; readonly status?: number },
): Http2Server {
  const server = createHttp2Server();
  server.on("sessionError", () => {});
  server.on("stream", (stream) => {
    const { trailers, status } = answer();
    stream.on("error", () => {});
    const headers = { ":status": 200, "content-type": "application/grpc" };
    if (status === undefined) {
      stream.respond({ ...headers, ...trailers }, { endStream: true });
      return;
    }
    stream.respond(headers, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers(trailers));
    stream.end(Buffer.from([0, 0, 0, 0, 2, 8, status]));
  });
  return server;
}

function listen(server: Server | Http2Server, port: number, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => resolve((server.address() as AddressInfo).port));
  });
}
