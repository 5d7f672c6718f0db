// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { COMMANDS, runCli } from "../src/cli/main.ts";
import type { Terminal } from "../src/cli/command.ts";
import type { PodList, PodObject, WatchEvent } from "../src/api/types.ts";
import { fitRows, formatTable } from "../src/cli/table.ts";
import { applyWatchEvent, jsonLines } from "../src/cli/watch-state.ts";
import { describePod } from "../src/cli/describe-pod.ts";
import { formatPodList } from "../src/cli/pod-rows.ts";
import { computeFindings } from "../src/doctor/compute-findings.ts";
import type { DoctorFacts } from "../src/doctor/compute-findings.ts";
import type { ProbeSnapshot } from "@holdfast/probe";
import { expect, test } from "vitest";

function terminal(): Terminal & { stdout: string; stderr: string } {
  return {
    stdout: "",
    stderr: "",
    isTty: false,
    columns: 80,
    rows: 24,
    out(text) {
      this.stdout += text.toString();
    },
    err(text) {
      this.stderr += text;
    },
  };
}
const run = async (...argv: string[]) => {
  const screen = terminal();
  const code = await runCli(argv, screen, new AbortController().signal);
  return { code, stdout: screen.stdout, stderr: screen.stderr };
};

const pod: PodObject = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "web-node", namespace: "default", uid: "u1" },
  spec: {
    nodeName: "node",
    containers: [{ name: "c", image: "i", env: [{ name: "TOKEN", value: "hunter2" }] }],
  },
  status: {
    phase: "Running",
    startTime: "2026-01-01T00:00:00Z",
    podIP: "10.0.0.2",
    conditions: [{ type: "Ready", status: "True" }],
    containerStatuses: [
      {
        name: "c",
        ready: true,
        restartCount: 2,
        image: "i",
        imageID: "sha256:1",
        containerID: "containerd://abc",
        state: { running: { startedAt: "2026-01-01T00:01:00Z" } },
        lastState: { terminated: { exitCode: 137, reason: "OOMKilled", finishedAt: "2026-01-01T00:00:59Z" } },
      },
    ],
  },
  holdfast: {
    worker: "sync",
    problems: ["manifest has a problem"],
    events: [{ at: "2026-01-01T00:01:00Z", type: "ContainerStarted", text: "c" }],
  },
};
const list: PodList = { items: [pod], manifestProblems: ["a.yaml:3:1: error: spec: bad"], node: [] };
const now = Date.parse("2026-01-01T00:02:00Z");

test.each([
  [["--help"], 0, "Commands:"],
  [["get", "--help"], 0, "Usage: holdfast get"],
  [["run", "--help"], 0, "staticPodPath"],
  [["help", "logs"], 0, "--previous"],
  [[], 2, "Usage: holdfast COMMAND"],
])("%j prints help", async (argv, code, text) => {
  const result = await run(...argv);
  expect([result.code, result.stdout.includes(text)]).toEqual([code, true]);
});

test.each([
  [["gte", "pods"], 'there is no command "gte"', "did you mean: holdfast get"],
  [["get", "pods", "--outptu", "x"], "Unknown option '--outptu'", "holdfast get --help"],
  [["get"], "what to get?", ""],
  [["get", "pods", "-o", "xml"], 'unknown output "xml"', ""],
  [["logs"], "whose logs?", ""],
  [["logs", "x", "--tail", "-1"], "--tail", ""],
  [["exec", "x"], "run what where?", ""],
  [["validate"], "which files?", ""],
  [["validate", "--socket", "/x", "a.yaml"], "Unknown option '--socket'", "holdfast validate --help"],
  [["help", "log"], 'there is no command "log"', "did you mean: holdfast logs"],
  [["foo"], 'there is no command "foo"', "holdfast --help"],
  [["get", "pods", "-w", "-o", "yaml"], "-w has no output yaml", ""],
])("%j is wrong usage and says what to do", async (argv, message, next) => {
  const result = await run(...argv);
  expect(result.code).toBe(2);
  expect(result.stderr).toContain(message);
  expect(result.stderr).toContain(next);
});

test.each(COMMANDS.map(({ name }) => name).concat(""))("the help of %j fits 80 columns", async (name) => {
  const { stdout } = await run("help", ...(name === "" ? [] : [name]));
  expect(stdout.split("\n").filter((line) => line.length > 80)).toEqual([]);
  expect(stdout).not.toMatch(/\(default ("")?\)/);
  expect(stdout.includes("--socket")).toBe(!["run", "validate"].includes(name));
});

test("validate --fields says what is done with every field", async () => {
  const { code, stdout } = await run("validate", "--fields");
  expect(code).toBe(0);
  expect(stdout).toMatch(/^honoured +spec\.containers\[\]\.env\[\]\.name$/m);
  expect(stdout).toMatch(/^refused +spec\.containers\[\]\.envFrom +a static pod may not/m);
  expect(stdout).toMatch(/^no effect +spec\.tolerations +static pods tolerate every taint$/m);
});

test("a screen shows the beginning of a long text and says what is left out", () => {
  const text = ["one", "two-and-more", "three", "four"].join("\n");
  expect(fitRows(text, { columns: 80, rows: 5 })).toBe(text);
  expect(fitRows(text, { columns: 80, rows: 4 })).toBe(
    "one\ntwo-and-more\n… 2 more lines; make the terminal larger",
  );
  expect(fitRows(text, { columns: 6, rows: 5 })).toBe(
    "one\ntwo-and-more\n… 2 more lines; make the terminal larger",
  );
  expect(fitRows(text, { columns: Infinity, rows: Infinity })).toBe(text);
});

test("an agent that is not there gives exit code 3 and the next step", async () => {
  const result = await run("get", "pods", "--socket", "/nonexistent/holdfast.sock");
  expect(result.code).toBe(3);
  expect(result.stderr).toContain("no agent answers at /nonexistent/holdfast.sock");
  expect(result.stderr).toContain("next:");
});

test("what a container waits for stands below the table and in describe", () => {
  const waits = [
    { container: "app", reason: "CrashLoopBackOff", nextAttempt: "2026-01-01T00:04:40Z" },
    { container: "db", reason: "CreateContainerError" },
  ];
  const waiting: PodObject = { ...pod, holdfast: { ...pod.holdfast, waits } };
  const text = formatPodList({ ...list, items: [waiting] }, { wide: false, now, width: 200 });
  const about = `${pod.metadata.namespace}/${pod.metadata.name}`;
  expect(text).toContain(`! ${about}: app: CrashLoopBackOff, next attempt in 2m40s`);
  expect(text).toContain(`! ${about}: db: CreateContainerError, next attempt now`);
  expect(describePod(waiting, now)).toContain("app: CrashLoopBackOff, next attempt in 2m40s");
});

test("commands talk to the agent over its socket; names without the node's suffix are understood", async () => {
  const dir = mkdtempSync(join(tmpdir(), "holdfast-cli-"));
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    if (request.url === "/api/v1/pods") response.end(JSON.stringify(list));
    else if (request.url === "/api/v1/pods?watch=true") {
      const other = { ...pod, metadata: { ...pod.metadata, name: "other", uid: "u2" } };
      const events: WatchEvent[] = [
        { type: "LIST", list: { ...list, items: [pod, other] } },
        { type: "MODIFIED", object: other },
        { type: "MODIFIED", object: pod },
        { type: "DELETED", uid: "u2" },
        { type: "DELETED", uid: "u1" },
      ];
      response.end(events.map((event) => `${JSON.stringify(event)}\n`).join(""));
    } else if (request.url?.includes("/log")) response.end("line 1\nline 2\n");
    else if (request.url?.endsWith("/exec"))
      response.end(
        JSON.stringify({ stdout: Buffer.from("hi\n").toString("base64"), stderr: "", exitCode: 7 }),
      );
    else if (request.url?.endsWith("/missing"))
      response.writeHead(404).end(JSON.stringify({ code: "AGENT_NO_POD", message: "there is no pod" }));
    else response.end(JSON.stringify(pod));
  });
  const socket = join(dir, "s.sock");
  await new Promise<void>((resolve) => server.listen(socket, () => resolve()));
  try {
    expect((await run("get", "pods", "--socket", socket)).stdout).toContain("web-node");
    expect((await run("get", "pod", "web", "-o", "json", "--socket", socket)).stdout).toContain(
      '"uid": "u1"',
    );
    expect((await run("get", "pod", "web", "-o", "yaml", "--socket", socket)).stdout).toContain("uid: u1");
    expect((await run("logs", "web", "--tail", "2", "--since", "1m", "--socket", socket)).stdout).toBe(
      "line 1\nline 2\n",
    );
    expect(asked.at(-1)).toBe("GET /api/v1/namespaces/default/pods/web-node/log?tailLines=2&sinceSeconds=60");
    expect(await run("exec", "default/web-node", "--socket", socket, "--", "sh", "-c", "x")).toMatchObject({
      code: 7,
      stdout: "hi\n",
    });
    expect(await run("describe", "pod", "default/missing", "--socket", socket)).toMatchObject({
      code: 1,
      stderr:
        'holdfast: there is no pod "missing" in namespace "default"\n  next: holdfast get pods lists them\n',
    });
    // A namespace that is given does not change what a name may be.
    expect((await run("get", "pod", "web", "-n", "default", "--socket", socket)).stdout).toContain(
      "web-node",
    );
    expect((await run("get", "pods", "-n", "default", "--socket", socket)).stdout).toContain("web-node");
    expect((await run("get", "pods", "-n", "other", "--socket", socket)).stdout).toMatch(/^No pods found\./);
    expect((await run("get", "pods", "-n", "other", "-o", "name", "--socket", socket)).stdout).toBe("");
    const watched = await run("get", "pods", "web", "-w", "--socket", socket);
    expect(watched.stdout.split("\n").map((line) => line.split(/\s+/).slice(0, 2).join(" "))).toEqual([
      "NAMESPACE NAME",
      "default web-node",
      "",
      "! default/web-node:",
      "default web-node",
      "default web-node",
      "",
    ]);
    expect(watched.stdout).toContain("web-node   is gone\n");
    expect(watched).toMatchObject({ code: 3, stderr: expect.stringContaining("the agent ended the watch") });
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    rmSync(dir, { recursive: true });
  }
});

test("the table fits the terminal: what may shrink is cut, problems stand below", () => {
  expect(
    formatTable([{ head: "A", shrinks: true }, { head: "B" }], [["a-very-long-name-indeed", "b"]], 20),
  ).toBe("A                  B\na-very-long-nam…   b");
  const text = formatPodList(list, { wide: false, now, width: 80 });
  expect(text).toContain("default");
  expect(text).toMatch(/web-node\s+1\/1\s+Running\s+2 /);
  expect(text).toContain("! manifest: a.yaml:3:1: error: spec: bad");
  expect(text).toContain("! default/web-node: manifest has a problem");
  expect(formatPodList({ items: [], manifestProblems: [], node: [] }, { wide: false, now, width: 80 })).toBe(
    "No pods found.",
  );
});

test("describe shows states, reasons and events, and never an environment value", () => {
  const text = describePod(pod, now);
  expect(text).toContain("Terminated: OOMKilled (exit code 137)");
  expect(text).toContain("Environment: TOKEN");
  expect(text).toContain("60s ago  ContainerStarted");
  expect(text).not.toContain("hunter2");
});

test("watch lines fold into a list", async () => {
  const lines = async function* () {
    const text = `${JSON.stringify({ type: "LIST", list })}\n${JSON.stringify({ type: "DELETED", uid: "u1" })}\n`;
    for (const byte of Buffer.from(text)) yield Buffer.from([byte]);
  };
  let state: PodList = { items: [], manifestProblems: [], node: [] };
  const sizes: number[] = [];
  for await (const event of jsonLines<Parameters<typeof applyWatchEvent>[1]>(lines())) {
    state = applyWatchEvent(state, event);
    sizes.push(state.items.length);
  }
  expect(sizes).toEqual([1, 0]);
});

const facts: DoctorFacts = {
  root: true,
  napiVersion: 10,
  nodeVersion: "24.0.0",
  machine: "Debian",
  cgroupVersion: 2,
  cgroupControllers: ["cpu", "cpuset", "memory", "pids"],
  swapBytes: 0,
  capSysResource: true,
  capSysAdmin: true,
  kernelTunables: { "net.ipv4.ip_forward": "1" },
  programs: { mount: true },
  kubeletPodFolders: 0,
  kubeletRunning: false,
  runtime: {
    endpoint: "unix:///x",
    problem: undefined,
    name: "containerd",
    version: "2",
    runtimeReady: undefined,
    networkReady: undefined,
    cgroupDriver: "systemd",
  },
  stateDirProblem: undefined,
  manifestPath: "/m",
  manifestPathExists: true,
  configProblem: undefined,
  configWarnings: [],
  configFile: undefined,
  agent: { version: "0.1.0", pid: 7 },
};
test("doctor: a good machine has nothing but ok", () =>
  expect(computeFindings(facts).filter((finding) => finding.level !== "ok")).toEqual([]));
test.each<[string, Partial<DoctorFacts>, string, string]>([
  ["not root", { root: false }, "problem", "sudo"],
  ["old Node", { napiVersion: 9 }, "problem", "npm install"],
  ["no runtime", { runtime: { ...facts.runtime, problem: "ENOENT" } }, "problem", "start containerd"],
  ["no network", { runtime: { ...facts.runtime, networkReady: "no CNI" } }, "problem", "/etc/cni/net.d"],
  ["cgroup v1", { cgroupVersion: 1 }, "warning", "unified_cgroup_hierarchy"],
  ["swap", { swapBytes: 2 ** 30 }, "warning", "swapoff"],
  ["no CAP_SYS_RESOURCE", { capSysResource: false }, "warning", "restrict_oom_score_adj"],
  ["a kubelet", { kubeletRunning: true }, "problem", "--share"],
  ["no manifests", { manifestPathExists: false }, "warning", "mkdir -p /m"],
  ["no iptables", { programs: { iptables: false } }, "warning", "apt-get install iptables"],
  [
    "a tunable",
    { kernelTunables: { "net.ipv4.ip_forward": "0" } },
    "warning",
    "sysctl -w net.ipv4.ip_forward=1",
  ],
])("doctor: %s is said, with what mends it", (_name, change, level, mend) => {
  const [finding] = computeFindings({ ...facts, ...change }).filter((candidate) => candidate.level !== "ok");
  expect(finding?.level).toBe(level);
  expect(finding?.mend).toContain(mend);
});

test("describe shows what each probe asks, what it found and what could not be asked", () => {
  const found: ProbeSnapshot = {
    podUid: "u1",
    container: "c",
    kind: "readiness",
    containerId: "abc",
    verdict: "failure",
    verdictAgeMs: 61_000,
    probedAgeMs: 300,
    restored: true,
    run: 3,
    onHold: false,
    lastProblem: "Readiness probe failed: HTTP probe failed with statuscode: 500",
    successful: 7,
    failed: 3,
    proberErrors: 1,
    lastTookMs: 1000.4,
    tookMs: 1010.46,
    periodMs: 200,
  };
  const unseen = {
    probedAgeMs: undefined,
    lastTookMs: undefined,
    restored: false,
    successful: 0,
    failed: 0,
    proberErrors: 0,
  };
  const probed: PodObject = {
    ...pod,
    metadata: {
      ...pod.metadata,
      annotations: { "holdfast.agent/readiness-probe-timing": "period=200ms, unreadyPeriod=100ms" },
    },
    spec: {
      containers: [
        {
          name: "c",
          image: "i",
          readinessProbe: { httpGet: { path: "ready", port: "web" }, failureThreshold: 1 },
          livenessProbe: { exec: { command: ["test", "-f", "/x"] }, initialDelaySeconds: 5 },
          startupProbe: { grpc: { port: 9000, service: "s" } },
        },
      ],
    },
    holdfast: {
      ...pod.holdfast,
      probes: [found, { ...found, ...unseen, kind: "liveness", verdict: "success" }],
    },
  };
  const text = describePod(probed, now);
  for (const line of [
    "    Liveness:    exec [test -f /x] delay=5s timeout=1s period=10s #success=1 #failure=3",
    "    Readiness:   http-get http://:web/ready delay=0s timeout=1s period=200ms unready-period=100ms #success=1 #failure=1",
    "                 failure for 61s, kept from before the agent's start (7 succeeded, 3 failed, 1 could not be made, the last in 1s, each in 91.9ms)",
    "                 last problem: Readiness probe failed: HTTP probe failed with statuscode: 500",
    "                 success (assumed) for 61s (0 succeeded, 0 failed)",
    "    Startup:     grpc <pod>:9000 s delay=0s timeout=1s period=10s #success=1 #failure=3",
  ])
    expect(text.split("\n")).toContain(line);
  expect(describePod(pod, now)).not.toContain("Liveness");
});
