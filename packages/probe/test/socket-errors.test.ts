// SPDX-License-Identifier: Apache-2.0

import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { isOurs, socketErrorText } from "../src/socket-errors.ts";

test.each([
  [{ code: "ECONNREFUSED", syscall: "connect" }, false, "dial tcp 10.0.0.1:80: connect: connection refused"],
  [{ code: "EHOSTUNREACH", syscall: "connect" }, false, "dial tcp 10.0.0.1:80: connect: no route to host"],
  [{ code: "ETIMEDOUT", syscall: "connect" }, false, "dial tcp 10.0.0.1:80: connect: connection timed out"],
  [{ code: "ECONNRESET", syscall: "read" }, true, "read tcp 10.0.0.1:80: read: connection reset by peer"],
  [{ code: "ENOTFOUND", syscall: "getaddrinfo" }, false, "dial tcp: lookup 10.0.0.1: no such host"],
  [{ code: "EAI_AGAIN", syscall: "getaddrinfo" }, false, "dial tcp: lookup 10.0.0.1: server misbehaving"],
  [{ code: "EWHATEVER", syscall: "connect" }, false, "dial tcp 10.0.0.1:80: connect: as it was"],
])("%o", (error, connected, text) => {
  expect(socketErrorText({ ...error, message: "as it was" }, "10.0.0.1", 80, connected)).toBe(text);
});

test("who is to blame", () => {
  const codes = ["ECONNREFUSED", "ETIMEDOUT", "ENETUNREACH", "EMFILE", "ENFILE", "EADDRNOTAVAIL", "ENOBUFS"];
  expect(codes.filter((code) => isOurs({ code, message: "" }))).toEqual(codes.slice(3));
});

describe("a full descriptor table", () => {
  const program = `
    import { openSync } from "node:fs";
    import { nodeProbeHandlers, probeOnce } from "@holdfast/probe/node";
    await probeOnce({ tcpSocket: { port: 1 } });
    try { for (;;) openSync("/dev/null"); } catch {}
    for (const probe of [{ tcpSocket: { port: 1 } }, { httpGet: { port: 1 } }, { httpGet: { port: 1, scheme: "HTTPS" } }, { grpc: { port: 1 } }])
      console.log((await probeOnce(probe)).error?.why);
  `;

  test("is ours, whatever was to be asked", () => {
    const output = execFileSync(
      "bash",
      [
        "-c",
        'ulimit -n 64; exec "$0" --conditions=@holdfast/source --input-type=module -e "$1"',
        process.execPath,
        program,
      ],
      { cwd: join(import.meta.dirname, ".."), encoding: "utf8", timeout: 15_000 },
    );
    expect(output.trim().split("\n")).toEqual(Array(4).fill("descriptors"));
  });
});
