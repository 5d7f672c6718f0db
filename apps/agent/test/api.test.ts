// SPDX-License-Identifier: Apache-2.0
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HoldfastError } from "@holdfast/core/errors";
import { silentLogger } from "@holdfast/core/log";
import { ManualClock } from "@holdfast/core/manual-clock";
import { createRouter } from "../src/api/routes.ts";
import type { AgentView, LogQuery } from "../src/api/routes.ts";
import { ApiServer } from "../src/api/server.ts";
import { PodEvents } from "../src/api/pod-events.ts";
import { computeWatchEvents, PodWatch } from "../src/api/pod-watch.ts";
import { chooseContainer, logFileOf } from "../src/logs/container-log.ts";
import type { ExecBody, PodList, PodObject } from "../src/api/types.ts";
import { createApiClient } from "../src/cli/client.ts";
import type { Terminal } from "../src/cli/command.ts";
import { runCli } from "../src/cli/main.ts";
import { afterEach, beforeEach, expect, test } from "vitest";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "holdfast-api-"));
});
afterEach(() => rmSync(dir, { recursive: true }));

const podNamed = (name: string, uid = name): PodObject => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace: "default", uid },
  spec: { containers: [{ name: "c", image: "i" }] },
  status: { phase: "Running" },
  holdfast: { worker: "sync", problems: [] },
});
const listOf = (...items: PodObject[]): PodList => ({ items, manifestProblems: [], node: [] });

/** A view of one pod that remembers what it was asked. */
function view(asked: (LogQuery | ExecBody)[] = []): AgentView {
  return {
    podList: () => listOf(podNamed("a")),
    pod: (namespace, name) => (namespace === "default" && name === "a" ? podNamed("a") : undefined),
    async *watchPods() {
      yield { type: "LIST", list: listOf(podNamed("a")) };
    },
    async *readLog(_pod, query) {
      asked.push(query);
      if (query.container === "none")
        throw new HoldfastError("AGENT_NO_CONTAINER", "not-found", "container none is not in pod a");
      yield Buffer.from("log\n");
    },
    exec: async (_pod, body) => {
      asked.push(body);
      return { stdout: "", stderr: "", exitCode: 0 };
    },
    cordon: (pod, on, by) => ({
      ...pod,
      holdfast: { ...pod.holdfast, problems: on ? [`cordoned by ${by}`] : [] },
    }),
    retry: (_pod, container, by) => (container === "calm" ? undefined : [container ?? "c", by]),
    node: () => ({}) as ReturnType<AgentView["node"]>,
    failures: () => [],
    metrics: () => "x 1\n",
    probeMetrics: () => "prober_probe_total 1\n",
    snapshot: () => ({}),
  };
}

/** Runs a command line against the socket; what it prints. */
async function cli(...argv: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const printed = { stdout: "", stderr: "" };
  const terminal: Terminal = {
    isTty: false,
    columns: 80,
    rows: 24,
    out(text) {
      printed.stdout += text.toString();
    },
    err(text) {
      printed.stderr += text;
    },
  };
  const code = await runCli(argv, terminal, new AbortController().signal);
  return { code, ...printed };
}

async function serve(router = createRouter(view())): Promise<{ server: ApiServer; socketPath: string }> {
  const socketPath = join(dir, "run", "holdfast.sock");
  const server = new ApiServer({ socketPath, router, logger: silentLogger });
  await server.start();
  return { server, socketPath };
}

test("the socket is for its owner alone, a left-over is replaced, a living one is not", async () => {
  mkdirSync(join(dir, "run"));
  chmodSync(join(dir, "run"), 0o700);
  writeFileSync(join(dir, "run", "holdfast.sock"), "");
  const { server, socketPath } = await serve();
  expect(statSync(socketPath).mode & 0o777).toBe(0o600);
  const second = new ApiServer({ socketPath, router: createRouter(view()), logger: silentLogger });
  await expect(second.start()).rejects.toMatchObject({ code: "AGENT_SOCKET_IN_USE" });
  await server.stop();
  await server.stop();
});

test("routes answer, and refuse what they do not know, by name", async () => {
  const asked: (LogQuery | ExecBody)[] = [];
  const { server, socketPath } = await serve(createRouter(view(asked)));
  const client = createApiClient(socketPath);
  try {
    expect((await client.get<PodList>("/api/v1/pods")).items).toHaveLength(1);
    expect((await client.get<PodObject>("/api/v1/namespaces/default/pods/a")).metadata.uid).toBe("a");
    await expect(client.get("/api/v1/namespaces/default/pods/zzz")).rejects.toThrow(
      'there is no pod "default/zzz"',
    );
    await expect(client.get("/api/v1/nothing")).rejects.toThrow("there is nothing at");
    const chunks: string[] = [];
    for await (const chunk of client.stream(
      "/api/v1/namespaces/default/pods/a/log?tailLines=5&previous=true",
      new AbortController().signal,
    ))
      chunks.push(chunk.toString());
    expect(chunks.join("")).toBe("log\n");
    expect(asked[0]).toMatchObject({ tailLines: 5, previous: true, follow: false });
    const failing = client.stream(
      "/api/v1/namespaces/default/pods/a/log?container=none",
      new AbortController().signal,
    );
    await expect(failing[Symbol.asyncIterator]().next()).rejects.toThrow("container none is not in pod a");
    await client.post("/api/v1/namespaces/default/pods/a/exec", { command: ["ls"] }, 1000);
    expect(asked.at(-1)).toEqual({ command: ["ls"] });
    for (const body of [
      {},
      { command: [] },
      { command: [1] },
      { command: ["x"], timeoutSeconds: 1e9 },
      { command: ["x"], container: 3 },
    ]) {
      await expect(client.post("/api/v1/namespaces/default/pods/a/exec", body, 1000)).rejects.toThrow(
        /must be/,
      );
    }
    const cordoned = await client.post<PodObject>(
      "/api/v1/namespaces/default/pods/a/cordon",
      { by: "ann" },
      1000,
    );
    expect(cordoned.holdfast.problems).toEqual(["cordoned by ann"]);
    for (const by of [undefined, 3, "", "a b", "x".repeat(65)])
      await expect(client.post("/api/v1/namespaces/default/pods/a/uncordon", { by }, 1000)).rejects.toThrow(
        /by must be/,
      );
    await expect(
      client.post("/api/v1/namespaces/default/pods/a/exec", { command: ["x".repeat(70_000)] }, 1000),
    ).rejects.toThrow(/EPIPE|ECONNRESET|at most|socket/);
  } finally {
    await server.stop();
  }
});

test("a watch tells only what changed", () => {
  const [a, b, c] = [podNamed("a"), podNamed("b"), podNamed("c")];
  const changed: PodObject = { ...b, status: { phase: "Failed" } };
  expect(computeWatchEvents(listOf(a, b), listOf(a, changed, c))).toEqual([
    { type: "MODIFIED", object: changed },
    { type: "MODIFIED", object: c },
  ]);
  expect(computeWatchEvents(listOf(a, b), { ...listOf(a), node: ["x"] }).map((event) => event.type)).toEqual([
    "DELETED",
    "PROBLEMS",
  ]);
  expect(computeWatchEvents(listOf(a), listOf(podNamed("a")))).toEqual([]);
});

test("a watch coalesces, and a reader that goes away leaves nothing behind", async () => {
  const clock = new ManualClock();
  let list = listOf(podNamed("a"));
  const watch = new PodWatch({ podList: () => list }, clock);
  const controller = new AbortController();
  const reader = watch.read(controller.signal);
  expect((await reader.next()).value).toMatchObject({ type: "LIST" });
  const next = reader.next();
  for (const phase of ["Pending", "Failed", "Succeeded"] as const) {
    list = listOf({ ...podNamed("a"), status: { phase } });
    watch.changed();
  }
  await clock.advance(50);
  expect((await next).value).toMatchObject({ type: "MODIFIED", object: { status: { phase: "Succeeded" } } });
  const last = reader.next();
  controller.abort();
  await clock.advance(50);
  expect((await last).done).toBe(true);
  expect(watch.readers).toBe(0);
});

test("pod events are bounded by pod and in all", () => {
  const events = new PodEvents();
  for (let seq = 0; seq < 1000; seq++) {
    events.add({
      seq,
      at: seq,
      monotonic: seq,
      type: "pod/ContainerStarted",
      subject: { podUid: `u${seq % 600}`, container: "c" },
      causes: [],
      data: { containerId: "0123456789abcdef", attempt: seq },
    });
  }
  expect(events.of("u399")).toMatchObject([
    { type: "ContainerStarted", text: "c: containerId=0123456789ab attempt=999" },
  ]);
  for (let seq = 0; seq < 50; seq++)
    events.add({ seq, at: seq, monotonic: seq, type: "x/Y", subject: { podUid: "u" }, causes: [], data: {} });
  expect(events.of("u")).toHaveLength(20);
});

test("the container and its log file are chosen as kubectl chooses", async () => {
  const two: PodObject = {
    ...podNamed("a"),
    spec: {
      containers: [
        { name: "c", image: "i" },
        { name: "d", image: "i" },
      ],
    },
  };
  expect(chooseContainer(podNamed("a"), undefined)).toBe("c");
  expect(() => chooseContainer(two, undefined)).toThrow("name one of c, d");
  expect(() => chooseContainer(two, "../x")).toThrow("it has c, d");
  await expect(logFileOf(dir, podNamed("a"), "c", false)).rejects.toThrow("has no log yet");
  const evicted = { ...podNamed("a"), status: { phase: "Failed" as const, reason: "Evicted" } };
  await expect(logFileOf(dir, evicted, "c", false)).rejects.toThrow("went when the pod was evicted");
  mkdirSync(join(dir, "default_a_a", "c"), { recursive: true });
  for (const name of ["9.log", "10.log", "10.log.20260101", "x.log"])
    writeFileSync(join(dir, "default_a_a", "c", name), "");
  expect(await logFileOf(dir, podNamed("a"), "c", false)).toBe(join(dir, "default_a_a/c/10.log"));
  expect(await logFileOf(dir, podNamed("a"), "c", true)).toBe(join(dir, "default_a_a/c/9.log"));
});

test("both metrics endpoints are served, and get --raw prints what the socket answers", async () => {
  const { server, socketPath } = await serve();
  const raw = (...argv: string[]): ReturnType<typeof cli> => cli("get", "--socket", socketPath, ...argv);
  try {
    expect(await raw("--raw", "/metrics")).toEqual({ code: 0, stdout: "x 1\n", stderr: "" });
    expect((await raw("--raw", "/metrics/probes")).stdout).toBe("prober_probe_total 1\n");
    expect(await raw("--raw", "/metrics/none")).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("nothing at"),
    });
    for (const argv of [
      ["--raw", "metrics"],
      ["--raw", ""],
      ["pods", "--raw", "/metrics"],
    ])
      expect((await raw(...argv)).code, argv.join(" ")).toBe(2);
  } finally {
    await server.stop();
  }
});

test("holdfast retry tells what it tries, and when nothing waits", async () => {
  const { server, socketPath } = await serve();
  try {
    const client = createApiClient(socketPath);
    const path = "/api/v1/namespaces/default/pods/a/retry";
    expect(await client.post(path, { by: "ann" }, 5000)).toEqual({ retried: ["c", "ann"] });
    expect(await client.post(path, { by: "ann", container: "calm" }, 5000)).toEqual({ retried: null });
    await expect(client.post(path, { by: "a b" }, 5000)).rejects.toThrow("by must be a user's name");
    await expect(client.post(path, { by: "ann", container: 3 }, 5000)).rejects.toThrow("container must be");
    const tried = await cli("retry", "a", "db", "--socket", socketPath);
    expect(tried).toMatchObject({ code: 0, stderr: "" });
    expect(tried.stdout).toMatch(/^pod\/a: trying db, \S+ now\n$/);
    expect((await cli("retry", "a", "-c", "calm", "--socket", socketPath)).stdout).toBe(
      "container calm of pod/a: nothing waits\n",
    );
    expect((await cli("retry", "--socket", socketPath)).code).toBe(2);
    expect((await cli("retry", "zzz", "--socket", socketPath)).stderr).toContain('there is no pod "zzz"');
  } finally {
    await server.stop();
  }
});
