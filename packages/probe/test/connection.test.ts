// SPDX-License-Identifier: Apache-2.0

// Socket objects are used again: no probe may ever hear of another one's connection, and nothing may stay open.
import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { buildHttpRequest } from "@holdfast/probe";
import type { ProbeOutcome } from "@holdfast/probe";
import { nodeProbeHandlers, probeOnce } from "@holdfast/probe/node";
import { closedPort, httpServer, tcpServer } from "./loopback.ts";
import type { Loopback } from "./loopback.ts";

const openFiles = (): number => readdirSync("/proc/self/fd").length;

/** Begins an attempt over HTTP and gives it up when `when` resolves. */
async function giveUp(server: Loopback, when: Promise<unknown>): Promise<void> {
  const http = buildHttpRequest({ port: server.port }, "127.0.0.1", server.port);
  if (typeof http === "string") throw new Error(http);
  const run = nodeProbeHandlers.start({ handler: "http", http }, () => {
    throw new Error("told after it was given up");
  });
  await when;
  run.cancel();
}

test("each attempt has its own target's answer, whatever came before on the same object", async () => {
  const heard: (() => void)[] = [];
  await using fine = await httpServer("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine", false);
  await using ending = await httpServer("HTTP/1.0 200 OK\r\n\r\nended");
  await using late = await tcpServer((socket) => {
    socket.once("data", () => {
      heard.shift()?.();
      setImmediate(() => socket.write("HTTP/1.1 500 late\r\nContent-Length: 4\r\n\r\nlate"));
    });
  });
  await using talkative = await httpServer(`HTTP/1.1 200 OK\r\n\r\n${"x".repeat(300_000)}`, false);
  const refused = await closedPort();
  const before = openFiles();
  const text = ({ result, output }: ProbeOutcome): string => `${result} ${output.slice(0, 8)}`;
  for (let turn = 0; turn < 20; turn++) {
    const isHeard = new Promise<void>((resolve) => heard.push(resolve));
    const [first, second, third, fourth, fifth] = await Promise.all([
      probeOnce({ httpGet: { port: fine.port } }),
      probeOnce({ httpGet: { port: ending.port } }),
      probeOnce({ httpGet: { port: talkative.port } }),
      probeOnce({ tcpSocket: { port: fine.port } }),
      probeOnce({ tcpSocket: { port: refused } }),
      giveUp(late, isHeard),
    ]);
    expect([first, second, third].map(text)).toEqual(["success fine", "success ended", "success xxxxxxxx"]);
    expect([fourth.result, fifth.result]).toEqual(["success", "failure"]);
  }
  // One more turn of the loop closes the last ones; the servers' own ends are among the files.
  await expect.poll(openFiles).toBeLessThanOrEqual(before + 2);
});

test("a server that ends first keeps nothing in TIME_WAIT either", async () => {
  await using server = await httpServer("HTTP/1.0 200 OK\r\n\r\nended");
  for (let turn = 0; turn < 10; turn++)
    expect(await probeOnce({ httpGet: { port: server.port } })).toMatchObject({ output: "ended" });
  const hex = server.port.toString(16).toUpperCase().padStart(4, "0");
  const lines = readFileSync("/proc/net/tcp", "utf8").split("\n");
  expect(lines.filter((line) => line.includes(`:${hex} `) && / 06 /.test(line))).toEqual([]);
});

test("a name is asked as before, again and again", async () => {
  await using server = await httpServer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false);
  for (let turn = 0; turn < 3; turn++)
    expect((await probeOnce({ httpGet: { port: server.port, host: "localhost" } })).output).toBe("ok");
});
