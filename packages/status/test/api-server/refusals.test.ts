// SPDX-License-Identifier: Apache-2.0
import type { StatusSinkError } from "@holdfast/status";
import { expect, test } from "vitest";
import { options, record, runtime, sandbox } from "../builders.ts";
import { apiRig, failure } from "./api-rig.ts";
import { send, status } from "./fake-api-server.ts";

// kubelet: TestSyncPodIgnoresNotFound
test("404: the pod is gone; a 404 that is not the API server's says nothing", async () => {
  await using rig = await apiRig();
  const { server, runs, write } = rig;
  runs();
  expect(await write()).toBe("gone");
  expect(server.methods()).toEqual(["PATCH"]);
  server.instead.push((response) => response.writeHead(404).end("<html>no such page</html>"));
  expect(await failure(write())).toMatchObject({
    kind: "retryable",
    scope: "sink",
    code: "STATUS_API_404",
  });
});

// kubelet: TestSyncPodChecksMismatchedUID
test("409 for another UID: one look, no write, the successor untouched", async () => {
  await using rig = await apiRig();
  const { server, ofApi, runs, write, shown } = rig;
  server.put({ ...ofApi, metadata: { ...ofApi.metadata, uid: "successor" }, status: { phase: "Pending" } });
  runs();
  expect(await write()).toBe("gone");
  expect([server.methods(), shown()?.phase]).toEqual([["PATCH", "GET"], "Pending"]);
});

test("409 and 410 for the same pod: the write is made anew on what is there now", async () => {
  await using rig = await apiRig();
  const { server, ofApi, runs, write, shown } = rig;
  server.put({ ...ofApi, status: { phase: "Pending", podIPs: [{ ip: "10.88.0.7" }] } });
  runs();
  server.instead.push((response) => status(response, 409, "Conflict", "the object has been modified"));
  expect(await write()).toBe("written");
  expect([server.methods(), shown()?.podIPs]).toEqual([["PATCH", "GET", "PATCH"], [{ ip: "10.88.0.2" }]]);
  rig.manager.cordon("uid-1", "anna");
  for (let turn = 0; turn < 2; turn++)
    server.instead.push((response, { method }) =>
      method === "GET"
        ? send(response, 200, server.pods.get("default/web"))
        : status(response, 410, "Gone", "gone"),
    );
  server.instead.push((response) => status(response, 409, "Conflict", "again"));
  expect(await failure(write())).toMatchObject({ kind: "retryable", scope: "pod" });
});

test("422 because what was known was wrong: the second write fits; 422 again: refused for good", async () => {
  await using rig = await apiRig();
  const { server, ofApi, manager, update, write, shown } = rig;
  // Two addresses of families that the node does not know of.
  server.put({ ...ofApi, status: { phase: "Pending", podIPs: [{ ip: "10.1.1.1" }, { ip: "fd00::1" }] } });
  manager.update(ofApi, runtime([record("a")], [sandbox("s")]), options());
  expect(await write(update())).toBe("written");
  expect([server.methods(), shown()?.podIPs]).toEqual([["PATCH", "GET", "PATCH"], [{ ip: "10.88.0.2" }]]);
  manager.cordon("uid-1", "anna");
  const invalid = (): void =>
    void server.instead.push((response) => status(response, 422, "Invalid", "status.phase: not so"));
  invalid();
  server.instead.push((response) => send(response, 200, server.pods.get("default/web")));
  invalid();
  const error = await failure(write(update()));
  expect([error.kind, error.message]).toEqual([
    "bad-input",
    "the API server answered 422: status.phase: not so",
  ]);
});

test("429 and 503: the whole server, and how long to stay away; 500 and 403: this pod; 400: for good", async () => {
  await using rig = await apiRig();
  const { server, runs, write } = rig;
  runs();
  const answers: [number, Record<string, string>, Partial<StatusSinkError>][] = [
    [429, { "retry-after": "7" }, { kind: "retryable", scope: "sink", retryAfterMs: 7000 }],
    [
      503,
      { "retry-after": "Thu, 01 Jan 2026 00:00:30 GMT" },
      { kind: "retryable", scope: "sink", retryAfterMs: 30_000 },
    ],
    [503, { "retry-after": "soon" }, { scope: "sink", retryAfterMs: undefined }],
    [401, {}, { kind: "retryable", scope: "sink" }],
    [302, { location: "http://127.0.0.1:1/" }, { kind: "retryable", scope: "sink" }],
    [500, {}, { kind: "retryable", scope: "pod" }],
    [403, {}, { kind: "retryable", scope: "pod" }],
    [400, {}, { kind: "bad-input", scope: "pod" }],
  ];
  for (const [code, headers, wanted] of answers) {
    server.instead.push((response) => status(response, code, "Test", "for the test", headers));
    expect(await failure(write())).toMatchObject({ code: `STATUS_API_${code}`, ...wanted });
  }
});

test("garbage, half an answer, too much of one, another pod: each is told, and tried again", async () => {
  await using rig = await apiRig();
  const { server, ofApi, runs, write } = rig;
  server.put({ ...ofApi, status: { phase: "Pending" } });
  runs();
  server.instead.push((response) => response.end("<html>login here</html>"));
  expect((await failure(write())).message).toContain("no Kubernetes object: <html>login here</html>");
  server.instead.push((response) => send(response, 200, { kind: "Pod", metadata: "none" }));
  expect((await failure(write())).kind).toBe("retryable");
  server.instead.push((response) => {
    response.writeHead(200, { "content-length": "1000" });
    response.write("{");
    response.socket?.destroy();
  });
  expect(await failure(write())).toMatchObject({ code: "STATUS_API_NO_ANSWER", scope: "pod" });
  server.instead.push((response) => response.end("x".repeat(200_000)));
  expect((await failure(write())).message).toContain("longer than 100000 bytes");
  server.instead.push((response) => response.socket?.end("this is not HTTP\r\n\r\n"));
  expect((await failure(write())).code).toBe("STATUS_API_NO_ANSWER");
  expect(await write()).toBe("written");
});

test("a server that hangs is left when the signal says so; one that is not there is the sink's failure", async () => {
  await using rig = await apiRig();
  const { server, runs, sink, write } = rig;
  const given = new AbortController();
  server.instead.push(() => given.abort(new Error("late")));
  await expect(sink.write(runs(), given.signal)).rejects.toThrow("late");
  const half = new AbortController();
  server.instead.push((response) => {
    response.writeHead(200);
    response.write("{");
    half.abort(new Error("late"));
  });
  await expect(sink.write(rig.update(), half.signal)).rejects.toThrow("late");
  await server[Symbol.asyncDispose]();
  expect(await failure(write())).toMatchObject({
    code: "STATUS_API_NO_ANSWER",
    scope: "sink",
    kind: "retryable",
  });
});
