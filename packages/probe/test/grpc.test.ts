// SPDX-License-Identifier: Apache-2.0

import { createServer as createHttp2Server } from "node:http2";
import type { AddressInfo } from "node:net";
import { Server, ServerCredentials, status as codes } from "@grpc/grpc-js";
import type { Metadata, sendUnaryData, ServerUnaryCall } from "@grpc/grpc-js";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ProbeOutcome } from "@holdfast/probe";
import { decodeHealthResponse, encodeHealthRequest } from "../src/grpc-message.ts";
import { attempt, closedPort, tcpServer } from "./loopback.ts";

// kubelet: TestGrpcProber_Probe

const PATH = "/grpc.health.v1.Health/Check";
const plain = (value: Buffer): Buffer => value;

interface Health extends AsyncDisposable {
  readonly port: number;
  readonly agents: string[];
}

/** A real gRPC server whose health service answers by service name; without `answers` it has no such service. */
async function healthServer(
  answers?: (service: string, call: { hang(): void }) => number | undefined,
): Promise<Health> {
  const server = new Server();
  const agents: string[] = [];
  if (answers !== undefined)
    server.addService(
      {
        Check: {
          path: PATH,
          requestStream: false,
          responseStream: false,
          requestSerialize: plain,
          requestDeserialize: plain,
          responseSerialize: plain,
          responseDeserialize: plain,
        },
      },
      {
        Check(call: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>) {
          agents.push(String((call.metadata as Metadata).get("user-agent")[0]));
          let hangs = false;
          const service = call.request.subarray(2).toString("utf8");
          const status = answers(service, { hang: () => (hangs = true) });
          if (hangs) return;
          if (status === undefined) done({ code: codes.NOT_FOUND, details: `unknown service ${service}` });
          else done(null, status === 0 ? Buffer.alloc(0) : Buffer.from([8, status]));
        },
      },
    );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return {
    port,
    agents,
    async [Symbol.asyncDispose]() {
      server.forceShutdown();
    },
  };
}

function check(port: number, service = "", expireWhen?: Promise<unknown>): Promise<ProbeOutcome> {
  return attempt(
    { handler: "grpc", host: "127.0.0.1", port, service, timeoutMs: 1000, userAgent: "kube-probe/1.36" },
    expireWhen,
  );
}

describe("a gRPC server", () => {
  test("that is serving", async () => {
    await using server = await healthServer(() => 1);
    expect(await check(server.port)).toMatchObject({ result: "success", output: "service healthy" });
    expect(server.agents[0]).toMatch(/^kube-probe\/1\.36 /);
  });

  test.each([
    [2, "NOT_SERVING"],
    [0, "UNKNOWN"],
    [3, "SERVICE_UNKNOWN"],
  ])("that answers %i", async (status, name) => {
    await using server = await healthServer(() => status);
    expect(await check(server.port)).toMatchObject({
      result: "failure",
      output: `service unhealthy (responded with "${name}")`,
    });
  });

  test("is asked about the service that the probe names, and may not know it", async () => {
    await using server = await healthServer((service) => (service === "known" ? 1 : undefined));
    expect((await check(server.port, "known")).result).toBe("success");
    expect(await check(server.port, "liveness")).toMatchObject({
      result: "failure",
      output: "error: health rpc probe failed: rpc error: code = NotFound desc = unknown service liveness",
    });
  });

  test("that lacks the health service", async () => {
    await using server = await healthServer();
    const outcome = await check(server.port);
    expect(outcome.result).toBe("failure");
    expect(outcome.output).toMatch(
      /^error: this server does not implement the grpc health protocol \(grpc\.health\.v1\.Health\): .+/,
    );
  });

  test("that never answers", async () => {
    let asked: () => void = () => {};
    const isAsked = new Promise<void>((resolve) => (asked = resolve));
    await using server = await healthServer((_service, { hang }) => {
      hang();
      asked();
      return undefined;
    });
    expect(await check(server.port, "", isAsked)).toMatchObject({
      result: "failure",
      output: "timeout: health rpc did not complete within 1s",
      timedOut: true,
    });
  });
});

describe("no gRPC server", () => {
  const dial = (port: number) => ({
    result: "failure",
    output: `timeout: failed to connect service "127.0.0.1:${port}" within 1s: context deadline exceeded`,
    timedOut: true,
  });

  test("an HTTP/1.1 server", async () => {
    let spoken: () => void = () => {};
    const hasSpoken = new Promise<void>((resolve) => (spoken = resolve));
    await using server = await tcpServer((socket) => {
      socket.once("data", () => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n", () => setImmediate(spoken)));
    });
    expect(await check(server.port, "", hasSpoken)).toMatchObject(dial(server.port));
  });

  test("a server that never says a word", async () => {
    let asked: () => void = () => {};
    const isAsked = new Promise<void>((resolve) => (asked = resolve));
    await using server = await tcpServer((socket) => socket.once("data", () => asked()));
    expect(await check(server.port, "", isAsked)).toMatchObject(dial(server.port));
  });

  test("nobody listens", async () => {
    const port = await closedPort();
    expect(await check(port, "", new Promise((resolve) => setImmediate(resolve)))).toMatchObject(dial(port));
  });

  test("an HTTP/2 server that knows no such page", async () => {
    const server = createHttp2Server((_request, response) => {
      response.writeHead(404, { "content-type": "text/html" });
      response.end("<h1>not here</h1>");
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    expect(await check(port)).toMatchObject({
      result: "failure",
      output:
        "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): " +
        'unexpected HTTP status code received from server: 404; transport: received unexpected content-type "text/html"',
    });
    server.close();
  });

  test("a server that hangs up in the middle of the call", async () => {
    const server = createHttp2Server();
    server.on("stream", (stream) => stream.session?.destroy());
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const outcome = await check(port);
    expect(outcome.result).toBe("failure");
    expect(outcome.output).toMatch(/^error: health rpc probe failed: rpc error: code = \w+ desc = /);
    server.close();
  });
});

describe("the messages", () => {
  test("a name of any length has its length before it", () => {
    expect([...encodeHealthRequest("")]).toEqual([0, 0, 0, 0, 0]);
    expect([...encodeHealthRequest("ab")]).toEqual([0, 0, 0, 0, 4, 10, 2, 97, 98]);
    expect([...encodeHealthRequest("x".repeat(300)).subarray(0, 8)]).toEqual([0, 0, 0, 1, 47, 10, 172, 2]);
  });

  test("fields that are not ours are passed over", () => {
    const frame = (...bytes: number[]): Buffer => Buffer.from([0, 0, 0, 0, bytes.length, ...bytes]);
    expect(decodeHealthResponse(frame(8, 1))).toBe(1);
    expect(decodeHealthResponse(frame())).toBe(0);
    expect(decodeHealthResponse(frame(18, 2, 8, 9, 8, 2))).toBe(2);
    expect(decodeHealthResponse(frame(8))).toBeUndefined();
    expect(decodeHealthResponse(Buffer.from([1, 0, 0, 0, 0]))).toBeUndefined();
  });

  test("no bytes break the decoder", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        expect(decodeHealthResponse(Buffer.from(bytes)) ?? 0).toBeGreaterThanOrEqual(0);
      }),
    );
  });
});
