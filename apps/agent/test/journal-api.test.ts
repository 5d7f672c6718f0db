// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Bus } from "@holdfast/bus";
import { HoldfastError } from "@holdfast/core/errors";
import { silentLogger } from "@holdfast/core/log";
import { systemClock } from "@holdfast/core/node";
import { Journal, JOURNAL_MIGRATIONS } from "@holdfast/journal";
import { openStore } from "@holdfast/store";
import { createRouter } from "../src/api/routes.ts";
import type { AgentView } from "../src/api/routes.ts";
import { ApiServer } from "../src/api/server.ts";
import type { PodObject } from "../src/api/types.ts";
import type { Terminal } from "../src/cli/command.ts";
import { formatEventLine } from "../src/cli/event-lines.ts";
import { runCli } from "../src/cli/main.ts";
import { openStateFolder } from "../src/run/state-folder.ts";
import { afterEach, beforeEach, expect, test } from "vitest";

const pod: PodObject = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "web-node", namespace: "default", uid: "u1" },
  spec: { nodeName: "node", containers: [{ name: "c", image: "i" }] },
  status: { phase: "Running" },
  holdfast: { worker: "sync", problems: [] },
};
const about = { podUid: "u1", pod: "default/web-node", container: "c", containerId: "id" };
const gone = { podUid: "u2", pod: "default/gone-node", container: "c", containerId: "id2" };

function view(): AgentView {
  const never = (): never => {
    throw new HoldfastError("TEST", "permanent", "not asked for");
  };
  return {
    podList: () => ({ items: [pod], manifestProblems: [], node: [] }),
    pod: (_namespace, name) => (name === "web-node" ? pod : undefined),
    watchPods: never,
    readLog: never,
    exec: never,
    cordon: (given) => given,
    retry: () => undefined,
    node: () => ({ name: "node" }) as ReturnType<AgentView["node"]>,
    failures: () => [],
    metrics: () => "",
    probeMetrics: () => "",
    snapshot: () => ({}),
  };
}

let dir: string;
let bus: Bus;
let journal: Journal;
let server: ApiServer;
let close: () => void;

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), "holdfast-journal-"));
  const store = openStore({ path: ":memory:", durability: "disposable", migrations: JOURNAL_MIGRATIONS });
  close = () => store.close();
  bus = new Bus({ clock: systemClock });
  const logs = {
    locate: async () => ({ file: "/var/log/pods/x", offset: 0, length: 4 }),
    read: async () => ["its last words"],
  };
  journal = new Journal({ database: store, bus, publish: bus, clock: systemClock, logs, version: "1.2.3" });
  await journal.start();
  const router = createRouter(view(), journal);
  server = new ApiServer({ socketPath: join(dir, "s"), router, logger: silentLogger });
  await server.start();
});
afterEach(async () => {
  await server.stop();
  await journal.stop();
  close();
  rmSync(dir, { recursive: true });
});

const publish = (name: string, data: unknown = {}, subject: object = about): number =>
  bus.publish({ name }, data, { subject });

function liveAndDie(subject: object = about): void {
  publish(
    "pod/ContainerStarted",
    { restartCount: 0, eventType: "Normal", reason: "Started", message: "Container started" },
    subject,
  );
  publish("pleg/ContainerDied", { kind: "container", exitCode: 1 }, subject);
}

async function run(...argv: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return runUntil(new AbortController(), () => false, ...argv);
}

async function runUntil(
  end: AbortController,
  isEnough: (stdout: string) => boolean,
  ...argv: string[]
): Promise<{ code: number; stdout: string; stderr: string }> {
  const seen = { stdout: "", stderr: "" };
  const terminal: Terminal = {
    isTty: false,
    columns: Number.POSITIVE_INFINITY,
    rows: 24,
    out(text) {
      seen.stdout += text.toString();
      if (isEnough(seen.stdout)) end.abort();
    },
    err(text) {
      seen.stderr += text;
    },
  };
  const code = await runCli([...argv, "--socket", join(dir, "s")], terminal, end.signal);
  return { code, ...seen };
}

test("why: the cause, the evidence, the last lines; by the manifest's name too, and as JSON", async () => {
  liveAndDie();
  journal.flush();
  await expect.poll(() => journal.terminations()[0]?.log).toBeDefined();
  for (const name of ["web-node", "web", "default/web-node", "default/web"]) {
    const { code, stdout } = await run("why", name);
    expect([name, code]).toEqual([name, 0]);
    expect(stdout).toContain("c failed by itself");
    expect(stdout).toContain("    log: ");
    expect(stdout).toContain("| its last words");
  }
  const { stdout } = await run("why", "web", "c", "-o", "json");
  expect(JSON.parse(stdout)).toMatchObject({
    story: { chapters: [{ termination: { cause: "ApplicationError", exitCode: 1, podUid: "u1" } }] },
    logs: [{ lines: ["its last words"] }],
  });
});

test("why: a pod that is gone, one that never was, the node, an image, wrong usage", async () => {
  liveAndDie(gone);
  publish(
    "pod/Pulled",
    { eventType: "Normal", reason: "Pulled", message: "it is here" },
    { ...about, image: "img:1" },
  );
  expect((await run("why", "gone")).stdout).toContain("pod default/gone-node: ended once");
  const never = await run("why", "never");
  expect([never.code, never.stderr.includes('nothing is known of a pod "never"')]).toEqual([1, true]);
  expect((await run("why", "node")).stdout).toContain("the agent started (1.2.3)");
  expect((await run("why", "image", "img:1")).stdout).toContain("Pulled: it is here");
  expect((await run("why")).code).toBe(2);
  expect((await run("why", "image")).code).toBe(2);
  expect((await run("why", "web", "-o", "yaml")).code).toBe(2);
});

test("events: filters, order, JSON, nothing found, wrong numbers", async () => {
  liveAndDie();
  publish("oom/SystemOOM", { process: "x", pid: 3 }, {});
  const all = (await run("events")).stdout.trimEnd().split("\n");
  expect(all.map((line) => line.split(/\s+/)[1])).toEqual([
    "journal/Started",
    "pod/ContainerStarted",
    "pleg/ContainerDied",
    "oom/SystemOOM",
  ]);
  expect((await run("events", "--pod", "web", "--type", "pleg/*,oom/*")).stdout).toMatch(
    /^\S+ +pleg\/ContainerDied +default\/web-node +c: exitCode=1\n$/,
  );
  const json = (await run("events", "--limit", "1", "-o", "json")).stdout;
  expect(JSON.parse(json)).toMatchObject({ type: "oom/SystemOOM", data: { process: "x", pid: 3 } });
  expect((await run("events", "--since", "1h")).stdout.split("\n")).toHaveLength(5);
  expect((await run("events", "--type", "no/such")).stderr).toBe("No events found.\n");
  expect((await run("events", "--since", "soon")).code).toBe(2);
  expect((await run("events", "--limit", "x")).code).toBe(2);
});

test("events -f goes on as things happen", async () => {
  liveAndDie();
  const end = new AbortController();
  const reading = runUntil(end, (text) => text.includes("pod/BackOff"), "events", "-f", "--pod", "web");
  await expect.poll(() => journal.events().length).toBeGreaterThan(2);
  const timer = setInterval(() => publish("pod/BackOff", { message: "Back-off" }), 20);
  const { code, stdout } = await reading;
  clearInterval(timer);
  expect(code).toBe(0);
  expect(stdout).toContain("pleg/ContainerDied");
  expect(stdout).toContain("Back-off");
});

test("describe shows Kubernetes events with their counts", async () => {
  for (let index = 0; index < 3; index++)
    publish("pod/BackOff", { eventType: "Warning", reason: "BackOff", message: "Back-off restarting" });
  const { stdout } = await run("describe", "pod", "web");
  expect(stdout).toMatch(/Warning +BackOff +0s \(x3 over \d+s\) +kubelet +Back-off restarting/);
});

test("without a journal its routes say so, and describe goes on", async () => {
  await server.stop();
  server = new ApiServer({ socketPath: join(dir, "s"), router: createRouter(view()), logger: silentLogger });
  await server.start();
  const { code, stderr } = await run("events");
  expect([code, stderr]).toEqual([1, "holdfast: this agent keeps no journal\n"]);
  expect((await run("describe", "pod", "web")).stdout).toContain("Events: none since the agent started");
});

test("a line is cut to the terminal", () => {
  const event = {
    seq: 1,
    at: 0,
    monotonic: 0,
    type: "a/B",
    subject: {},
    causes: [],
    data: { message: "x".repeat(99) },
  };
  expect(formatEventLine(event, 40)).toHaveLength(40);
  // Where there is little room the text comes first.
  expect(formatEventLine(event, 80)).toMatch(/^\d\d:\d\d:\d\dZ \S+ \S+ \S/);
});

test("journal.db lies beside state.db; damaged or unreadable, the folder opens without its history", () => {
  const open = (): ReturnType<typeof openStateFolder> => openStateFolder(dir, systemClock, silentLogger);
  const first = open();
  expect(first.journal).toBeDefined();
  first[Symbol.dispose]();
  expect(readdirSync(dir)).toContain("journal.db");
  writeFileSync(join(dir, "journal.db"), "garbage ".repeat(1000));
  const second = open();
  expect([second.journal !== undefined, second.health().failures]).toEqual([true, []]);
  second.journal?.prepare("INSERT INTO migration VALUES ('journal', 99, 0)").run();
  second[Symbol.dispose]();
  const third = open();
  expect(third.journal).toBeUndefined();
  expect(third.health().failures[0]).toContain("no history is kept");
  third[Symbol.dispose]();
});
