// SPDX-License-Identifier: Apache-2.0

import { createServer as createTlsServer } from "node:https";
import { describe, expect, test } from "vitest";
import { buildHttpRequest } from "@holdfast/probe";
import type { ProbeOutcome } from "@holdfast/probe";
import type { Probe } from "@holdfast/core/pod-types";
import { attempt, closedPort, httpServer, listen, selfSigned, tcpServer } from "./loopback.ts";

type HttpGet = NonNullable<Probe["httpGet"]>;

function get(
  port: number,
  more: Partial<HttpGet> = {},
  expireWhen?: Promise<unknown>,
): Promise<ProbeOutcome> {
  const http = buildHttpRequest({ port, ...more }, more.host ?? "127.0.0.1", port);
  if (typeof http === "string") throw new Error(http);
  return attempt({ handler: "http", http }, expireWhen);
}

const ok = (body: string, head = ""): string =>
  `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n${head}\r\n${body}`;

describe("answers", () => {
  test.each([
    ["200 with a length", ok("fine"), { result: "success", output: "fine" }],
    ["200 until the end", "HTTP/1.0 200 OK\r\n\r\nfine", { result: "success", output: "fine" }],
    [
      "chunks",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
      { result: "success", output: "abcde" },
    ],
    ["204", "HTTP/1.1 204 No Content\r\n\r\n", { result: "success", output: "" }],
    [
      "no reason phrase, bare newlines",
      "HTTP/1.1 201\nContent-Length: 0\n\n",
      { result: "success", output: "" },
    ],
    ["100 first", `HTTP/1.1 100 Continue\r\n\r\n${ok("x")}`, { result: "success", output: "x" }],
    [
      "500",
      "HTTP/1.1 500 Oops\r\n\r\nsecret",
      { result: "failure", output: "HTTP probe failed with statuscode: 500" },
    ],
    [
      "404",
      "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
      { result: "failure", output: "HTTP probe failed with statuscode: 404" },
    ],
    [
      "304",
      "HTTP/1.1 304 Not Modified\r\n\r\n",
      { result: "warning", output: "Probe terminated redirects, Response body: " },
    ],
    [
      "a redirect to nowhere",
      "HTTP/1.1 302 Found\r\nContent-Length: 2\r\n\r\nhi",
      { result: "warning", output: "Probe terminated redirects, Response body: hi" },
    ],
  ])("%s", async (_name, answer, expected) => {
    await using server = await httpServer(answer);
    expect(await get(server.port)).toMatchObject(expected);
  });

  // kubelet: TestHTTPProbeChecker_PayloadTruncated
  test.each([10_239, 10_240, 10_241, 200_000])("a body of %i bytes is cut at 10 KiB", async (length) => {
    await using server = await httpServer(ok("x".repeat(length)));
    const outcome = await get(server.port);
    expect(outcome.result).toBe("success");
    expect(outcome.output.length).toBe(Math.min(length, 10_240));
  });

  test("of a body of 1 GB only the beginning is read", async () => {
    let written = 0;
    let closed: () => void = () => {};
    const isClosed = new Promise<void>((resolve) => (closed = resolve));
    const block = Buffer.alloc(1 << 20, "x");
    await using server = await tcpServer((socket) => {
      socket.once("close", closed);
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${1 << 30}\r\n\r\n`);
      const more = (): void => {
        while (!socket.destroyed && written < 1 << 30) {
          written += block.length;
          if (!socket.write(block)) break;
        }
      };
      socket.on("drain", more);
      more();
    });
    const outcome = await get(server.port);
    expect(outcome).toMatchObject({ result: "success", output: "x".repeat(10_240) });
    await isClosed;
    expect(written).toBeLessThan(1 << 28);
  });
});

describe("what is no answer", () => {
  test("nobody listens", async () => {
    const port = await closedPort();
    expect(await get(port)).toMatchObject({
      result: "failure",
      output: `Get "http://127.0.0.1:${port}/": dial tcp 127.0.0.1:${port}: connect: connection refused`,
    });
  });

  test.each([
    ["nothing, then the end", "", ": EOF"],
    ["half a header, then the end", "HTTP/1.1 200 OK\r\nContent-Le", ": unexpected EOF"],
    ["another protocol", "SSH-2.0-OpenSSH_9.2\r\n", ': malformed HTTP response "SSH-2.0-OpenSSH_9.2"'],
    ["a bad status line", "HTTP/1.1 OK\r\n\r\n", ': malformed HTTP response "HTTP/1.1 OK"'],
    ["a bad length", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", ': bad Content-Length "x"'],
    [
      "an endless header",
      `HTTP/1.1 200 OK\r\nX: ${"y".repeat(70_000)}`,
      ": net/http: server response headers exceeded 65536 bytes; aborted",
    ],
  ])("%s", async (_name, answer, text) => {
    await using server = await httpServer(answer);
    expect(await get(server.port)).toMatchObject({
      result: "failure",
      output: `Get "http://127.0.0.1:${server.port}/"${text}`,
    });
  });

  test("half a header, and then silence", async () => {
    let sent: () => void = () => {};
    const isSent = new Promise<void>((resolve) => (sent = resolve));
    await using server = await tcpServer((socket) => {
      socket.on("data", () => socket.write("HTTP/1.1 200 OK\r\nContent-Le", () => sent()));
    });
    expect(await get(server.port, {}, isSent)).toMatchObject({
      result: "failure",
      output: `Get "http://127.0.0.1:${server.port}/": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`,
      timedOut: true,
    });
  });

  test("it takes the connection and never answers", async () => {
    let asked: () => void = () => {};
    const isAsked = new Promise<void>((resolve) => (asked = resolve));
    await using server = await tcpServer((socket) => socket.once("data", () => asked()));
    const outcome = await get(server.port, { path: "/healthz?full=1" }, isAsked);
    expect(outcome.result).toBe("failure");
    expect(outcome.output).toBe(
      `Get "http://127.0.0.1:${server.port}/healthz?full=1": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`,
    );
  });

  test("an answer that had come when its time was up counts, though it was not read yet", async () => {
    let sent: () => void = () => {};
    const isSent = new Promise<void>((resolve) => (sent = resolve));
    await using server = await tcpServer((socket) => void socket.write(ok("fine"), () => sent()));
    expect(await get(server.port, {}, isSent)).toMatchObject({ result: "success", output: "fine" });
  });

  test("a body that breaks off is an error, not a failure", async () => {
    await using server = await httpServer("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
    expect(await get(server.port)).toMatchObject({
      result: "failure",
      output: "",
      error: { why: "body", text: "unexpected EOF" },
    });
  });

  test("a body that does not end is an error, not a failure", async () => {
    let sent: () => void = () => {};
    const isSent = new Promise<void>((resolve) => (sent = resolve));
    await using server = await tcpServer((socket) => {
      socket.on("data", () =>
        socket.write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", () => setImmediate(sent)),
      );
    });
    const outcome = await get(server.port, {}, isSent);
    // The header may still be under way when the time is up: then it is a failure like any other.
    if (outcome.error !== undefined)
      expect(outcome.error).toEqual({
        why: "body",
        text: "context deadline exceeded (Client.Timeout or context cancellation while reading body)",
      });
    expect(outcome).toMatchObject({ result: "failure", timedOut: true });
  });

  test("a name that does not resolve", async () => {
    // Without a name server the question is still open when the time is up.
    const outcome = await get(
      80,
      { host: "no-such-host.invalid" },
      new Promise((resolve) => setImmediate(resolve)),
    );
    expect(outcome.result).toBe("failure");
    expect(outcome.output).toMatch(
      /^Get "http:\/\/no-such-host\.invalid:80\/": (?:dial tcp: lookup no-such-host\.invalid: |context deadline exceeded)/,
    );
  });

  test("a name of the hosts file is known", async () => {
    await using server = await httpServer(ok("fine"));
    expect(await get(server.port, { host: "localhost" })).toMatchObject({
      result: "success",
      output: "fine",
    });
  });
});

describe("redirects", () => {
  const found = (location: string, status = 302): string =>
    `HTTP/1.1 ${status} Found\r\nLocation: ${location}\r\nContent-Length: 4\r\n\r\nbody`;

  // kubelet: TestHTTPProbeChecker
  test.each([301, 302, 303, 307, 308])(
    "%i on the same host is followed, its Host header kept",
    async (status) => {
      const asked: string[] = [];
      await using server = await httpServer((request) => {
        asked.push(request);
        return request.startsWith("GET /new ") ? ok("there") : found("/new", status);
      });
      const headers = [{ name: "host", value: "example.com" }];
      expect(await get(server.port, { path: "/old", httpHeaders: headers })).toMatchObject({
        result: "success",
        output: "there",
      });
      // kubelet: TestHTTPProbeChecker_HostHeaderPreservedAfterRedirect
      expect(asked.map((request) => /Host: (.*)\r/.exec(request)?.[1])).toEqual([
        "example.com",
        "example.com",
      ]);
    },
  );

  // kubelet: TestHTTPProbeChecker_NonLocalRedirects
  test("another port of the same host is followed", async () => {
    await using other = await httpServer(ok("other"));
    await using server = await httpServer(found(`http://127.0.0.1:${other.port}/x`));
    expect(await get(server.port)).toMatchObject({ result: "success", output: "other" });
  });

  test("another host is not followed, and warns", async () => {
    await using server = await httpServer(found("http://example.com/elsewhere"));
    expect(await get(server.port)).toMatchObject({
      result: "warning",
      output: "Probe terminated redirects, Response body: body",
    });
  });

  test("a loop ends after 10 requests", async () => {
    await using server = await httpServer(found("/again"));
    expect(await get(server.port)).toMatchObject({
      result: "failure",
      output: 'Get "/again": stopped after 10 redirects',
    });
    expect(server.accepted()).toBe(10);
  });
});

// kubelet: TestHTTPProbeProxy
test("proxies in the environment are not asked", async () => {
  await using proxy = await httpServer(ok("proxy"));
  await using server = await httpServer(ok("direct"));
  process.env["http_proxy"] = `http://127.0.0.1:${proxy.port}`;
  try {
    expect((await get(server.port)).output).toBe("direct");
    expect(proxy.accepted()).toBe(0);
  } finally {
    delete process.env["http_proxy"];
  }
});

describe("https", () => {
  test("any certificate will do", async () => {
    const server = createTlsServer(selfSigned(), (_request, response) => response.end("sealed"));
    const port = await listen(server);
    expect(await get(port, { scheme: "HTTPS" })).toMatchObject({ result: "success", output: "sealed" });
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  test("a server that speaks plain HTTP", async () => {
    await using server = await tcpServer((socket) =>
      socket.on("data", () => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n")),
    );
    expect(await get(server.port, { scheme: "HTTPS" })).toMatchObject({
      result: "failure",
      output: `Get "https://127.0.0.1:${server.port}/": http: server gave HTTP response to HTTPS client`,
    });
  });
});
