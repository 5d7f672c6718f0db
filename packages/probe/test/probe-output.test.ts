// SPDX-License-Identifier: Apache-2.0

// With `probeOutput: false` nothing of what a target says itself leaves the package; what we say of it does.
import { expect, test } from "vitest";
import { buildHttpRequest, ExecProber } from "@holdfast/probe";
import type { ProbeOutcome } from "@holdfast/probe";
import { ManualClock } from "@holdfast/core/manual-clock";
import { healthOutcome } from "../src/grpc-message.ts";
import { withoutQuotes } from "../src/outcome.ts";
import { Environment, http, podOf, PodSync } from "./environment.ts";
import { attempt, httpServer } from "./loopback.ts";

const SECRET = "hunter2 $& token";

async function answered(answer: string): Promise<ProbeOutcome> {
  await using server = await httpServer(answer);
  const request = buildHttpRequest({ port: server.port }, "127.0.0.1", server.port);
  if (typeof request === "string") throw new Error(request);
  return await attempt({ handler: "http", http: request });
}

test.each([
  ["a body", `HTTP/1.0 200 OK\r\n\r\n${SECRET}`, /^16 bytes$/],
  ["a redirect's body", `HTTP/1.0 302 Found\r\n\r\n${SECRET}`, /redirects, Response body: 16 bytes$/],
  ["no HTTP", `${SECRET}\r\n`, /malformed HTTP response \d+ bytes$/],
  ["a location", `HTTP/1.0 302 Found\r\nLocation: http://[${SECRET}\r\n\r\n`, /Location header "\d+ bytes"$/],
  ["a status", `HTTP/1.0 500 ${SECRET}\r\n\r\n`, /^HTTP probe failed with statuscode: 500$/],
  ["a header", `HTTP/1.0 200 OK\r\nContent-Length: ${SECRET}\r\n\r\n`, /bad Content-Length \d+ bytes$/],
])("over HTTP: %s", async (_name, answer, expected) => {
  const { output } = withoutQuotes(await answered(answer));
  expect(output).toMatch(expected);
  expect(output).not.toContain("hunter2");
});

test.each([
  ["a message", { grpcStatus: 2, grpcMessage: SECRET }, "rpc error: code = Unknown desc = 16 bytes"],
  ["unimplemented", { grpcStatus: 12, grpcMessage: SECRET }, "(grpc.health.v1.Health): 16 bytes"],
  ["a content type", { contentType: SECRET }, 'unexpected content-type "16 bytes"'],
])("over gRPC: %s", (_name, more, expected) => {
  const none = { httpStatus: 200, grpcStatus: undefined, grpcMessage: "", contentType: "" };
  const outcome = healthOutcome({ ...none, body: Buffer.alloc(0), ...more });
  expect(outcome.output).toContain(SECRET);
  expect(withoutQuotes(outcome).output).toContain(expected);
});

test.each([0, 1])("a command that ends with %i", async (exitCode) => {
  const bytes = new TextEncoder().encode(SECRET);
  const prober = new ExecProber({
    runtime: { execSync: () => Promise.resolve({ stdout: bytes, stderr: new Uint8Array(0), exitCode }) },
    clock: new ManualClock(),
    answerGraceMs: 1000,
    onLeftBehind: () => {},
  });
  const request = { handler: "exec", containerId: "c", command: ["x"], timeoutMs: 1000 } as const;
  const outcome = await new Promise<ProbeOutcome>((resolve) =>
    prober.start({ ...request, command: ["x"] }, resolve),
  );
  expect(withoutQuotes(outcome).output).toBe("16 bytes");
});

test.each([
  [true, SECRET],
  [false, "16 bytes"],
])("events and snapshots, with probeOutput %s", async (probeOutput, shown) => {
  await using environment = new Environment({ probeOutput });
  const { manager, handlers } = environment;
  await manager.start();
  handlers.answers.set(80, { result: "success", output: SECRET, quotes: SECRET });
  manager.addPod(podOf({ readinessProbe: http({ failureThreshold: 1, periodSeconds: 1 }) }));
  await environment.run("c1");
  handlers.answers.set(80, { result: "failure", output: SECRET, quotes: SECRET });
  await environment.clock.advance(1000);
  const events = environment.published().filter(({ type }) => type !== PodSync.name);
  expect(events.map(({ data }) => data)).toMatchObject([
    { result: "success", output: shown },
    { result: "failure", output: shown },
    { message: `Readiness probe failed: ${shown}` },
  ]);
  expect(manager.snapshot()[0]?.lastProblem).toBe(`Readiness probe failed: ${shown}`);
});
