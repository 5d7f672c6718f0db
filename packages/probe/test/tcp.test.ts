// SPDX-License-Identifier: Apache-2.0

import { readFileSync } from "node:fs";
import { createServer as createHttp2Server } from "node:http2";
import { connect } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { describe, expect, test } from "vitest";
import { probeOnce } from "@holdfast/probe/node";
import { attempt, closedPort, httpServer, listen, selfSigned, tcpServer } from "./loopback.ts";

test("a connection is enough", async () => {
  await using server = await tcpServer(() => {});
  expect(await attempt({ handler: "tcp", host: "127.0.0.1", port: server.port })).toEqual({
    result: "success",
    output: "",
  });
});

test("nobody listens", async () => {
  const port = await closedPort();
  expect(await attempt({ handler: "tcp", host: "127.0.0.1", port })).toEqual({
    result: "failure",
    output: `dial tcp 127.0.0.1:${port}: connect: connection refused`,
  });
});

test("nobody answers in time", async () => {
  // A documentation address: its packets go nowhere. Where there is no route at all, that is said at once.
  const outcome = await attempt({ handler: "tcp", host: "192.0.2.1", port: 9 }, Promise.resolve());
  expect(outcome.result).toBe("failure");
  expect(outcome.output).toMatch(/^dial tcp 192\.0\.2\.1:9: (?:i\/o timeout|connect: .*)$/);
});

test("an attempt that is given up reports nothing", async () => {
  const { nodeProbeHandlers } = await import("@holdfast/probe/node");
  await using server = await tcpServer(() => {});
  let done = 0;
  const run = nodeProbeHandlers.start({ handler: "tcp", host: "127.0.0.1", port: server.port }, () => done++);
  run.cancel();
  run.expire();
  await attempt({ handler: "tcp", host: "127.0.0.1", port: server.port });
  expect(done).toBe(0);
});

/** Sockets in TIME_WAIT whose remote or local port is `port`, on this machine. */
function timeWaits(port: number): number {
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  return readFileSync("/proc/net/tcp", "utf8")
    .split("\n")
    .filter((line) => line.includes(`:${hex} `) && / 06 /.test(line)).length;
}

describe("on our side nothing is left in TIME_WAIT after", () => {
  const answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

  test("(whereas a socket that just ends is left there)", async () => {
    await using server = await tcpServer((socket) => socket.on("end", () => socket.end()).resume());
    await new Promise((resolve) => {
      const socket = connect({ host: "127.0.0.1", port: server.port }, () => socket.end());
      socket.resume().on("close", resolve);
    });
    expect(timeWaits(server.port)).toBe(1);
  });

  test("tcp and http", async () => {
    await using server = await tcpServer(() => {});
    await using web = await httpServer(answer, false);
    for (let turn = 0; turn < 20; turn++) {
      await probeOnce({ tcpSocket: { port: server.port } });
      expect((await probeOnce({ httpGet: { port: web.port } })).result).toBe("success");
    }
    expect([timeWaits(server.port), timeWaits(web.port)]).toEqual([0, 0]);
  });

  test("https", async () => {
    const server = createTlsServer(selfSigned(), (socket) => {
      socket.on("error", () => {});
      socket.on("data", () => socket.write(answer));
    });
    const port = await listen(server);
    for (let turn = 0; turn < 5; turn++)
      expect((await probeOnce({ httpGet: { port, scheme: "HTTPS" } })).result).toBe("success");
    expect(timeWaits(port)).toBe(0);
    server.close();
  });

  test("grpc", async () => {
    const server = createHttp2Server();
    server.on("stream", (stream) => {
      stream.on("error", () => {});
      stream.respond(
        { ":status": 200, "content-type": "application/grpc", "grpc-status": "5" },
        { endStream: true },
      );
    });
    server.on("sessionError", () => {});
    const port = await listen(server);
    for (let turn = 0; turn < 5; turn++)
      expect((await probeOnce({ grpc: { port } })).output).toContain("code = NotFound");
    expect(timeWaits(port)).toBe(0);
    server.close();
  });
});
