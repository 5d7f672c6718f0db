// SPDX-License-Identifier: Apache-2.0

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { probeOnce } from "@holdfast/probe/node";
import { attempt, closedPort, httpServer, tcpServer } from "./loopback.ts";

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

test("nothing is left in TIME_WAIT on our side", async () => {
  await using server = await tcpServer(() => {});
  await using web = await httpServer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false);
  for (let turn = 0; turn < 20; turn++) {
    await probeOnce({ tcpSocket: { port: server.port } });
    expect((await probeOnce({ httpGet: { port: web.port } })).result).toBe("success");
  }
  expect([timeWaits(server.port), timeWaits(web.port)]).toEqual([0, 0]);
});
