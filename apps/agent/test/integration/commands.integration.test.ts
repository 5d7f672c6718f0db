// SPDX-License-Identifier: Apache-2.0

// The command line against a living agent.
import { spawn } from "node:child_process";
import { statSync } from "node:fs";
import process from "node:process";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parse } from "yaml";
import { holdfastBin } from "./harness/agent-process.ts";
import { container, forever, pod } from "./harness/manifests.ts";
import { startNode } from "./harness/test-node.ts";
import type { TestNode } from "./harness/test-node.ts";
import { getOverSocket } from "./harness/unix-http.ts";
import { until } from "./harness/until.ts";

let node: TestNode;

beforeAll(async () => {
  const talk = forever("for i in 1 2 3 4 5; do echo line $i; done");
  node = await startNode({
    pods: [
      pod(
        "talks",
        { containers: [container("main", { command: talk }), container("quiet")] },
        { labels: { app: "t" } },
      ),
      pod("single", { containers: [container("main", { command: talk })] }),
    ],
  });
  await node.until(async () => {
    const { items } = await node.podList();
    return (
      items.length === 2 && items.every(({ status }) => status.containerStatuses?.every(({ ready }) => ready))
    );
  }, "both pods are ready");
});

afterAll(async () => {
  await node[Symbol.asyncDispose]();
});

test("get pods: table, wide, name, json, yaml, one pod", async () => {
  const plain = await node.cli("get", "pods");
  expect(plain.stdout).toMatch(/^NAMESPACE\s+NAME\s+READY\s+STATUS\s+RESTARTS\s+AGE/m);
  expect(plain.stdout).toMatch(new RegExp(`^default\\s+talks-${node.name}\\s+2/2\\s+Running\\s+0`, "m"));
  const address = (await node.pod("talks"))?.status.podIP ?? "?";
  expect((await node.cli("get", "pods", "-o", "wide")).stdout).toContain(address);
  expect((await node.cli("get", "pods", "-o", "name")).stdout.trim().split("\n").sort()).toEqual(
    ["single", "talks"].map((name) => `pod/${name}-${node.name}`),
  );
  const json = JSON.parse((await node.cli("get", "pods", "-o", "json")).stdout) as {
    kind: string;
    items: unknown[];
  };
  expect([json.kind, json.items.length]).toEqual(["List", 2]);
  const yaml = parse((await node.cli("get", "pod", `talks-${node.name}`, "-o", "yaml")).stdout) as Record<
    string,
    unknown
  >;
  expect(yaml).toMatchObject({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { labels: { app: "t" } },
    status: { phase: "Running" },
  });
});

test("get pods -w shows changes as they come", async () => {
  const child = spawn(holdfastBin, ["get", "pods", "-w"], {
    env: { ...process.env, HOLDFAST_SOCKET: node.socket },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let shown = "";
  child.stdout.on("data", (chunk: Buffer) => (shown += chunk.toString("utf8")));
  try {
    await until(
      () => shown.includes(`single-${node.name}`),
      "the list comes first",
      undefined,
      () => shown,
    );
    node.write(pod("passing"));
    await until(
      () => new RegExp(`passing-${node.name}\\s+1/1\\s+Running`).test(shown),
      "the new pod appears",
      undefined,
      () => shown,
    );
    node.remove("passing");
  } finally {
    child.kill("SIGINT");
  }
  await until(() => child.exitCode !== null, "the watch ends at Ctrl-C");
  expect(shown.split("\n")[0]).toMatch(/^NAME/);
});

test("get node", async () => {
  const { stdout } = await node.cli("get", "node");
  expect(stdout).toMatch(new RegExp(`Name:\\s+${node.name}`));
  expect(stdout).toMatch(/Ready:\s+True/);
  expect(stdout).toMatch(/Runtime:\s+containerd \S+ at unix:/);
  const object = JSON.parse((await node.cli("get", "node", "-o", "json")).stdout) as {
    agent: { pid: number };
  };
  expect(object.agent.pid).toBe(node.agent?.pid);
});

test("describe pod", async () => {
  const { code, stdout } = await node.cli("describe", "pod", `talks-${node.name}`);
  expect(code).toBe(0);
  for (const word of [
    `talks-${node.name}`,
    "main",
    "quiet",
    "holdfast.local/busybox:1",
    "talks.yaml",
    "Running",
  ])
    expect(stdout).toContain(word);
});

test("logs: all, tail, container, previous, follow", async () => {
  const lines = "line 1\nline 2\nline 3\nline 4\nline 5\n";
  await node.until(
    async () => (await node.cli("logs", `single-${node.name}`)).stdout === lines,
    "the log is there",
  );
  expect((await node.cli("logs", `talks-${node.name}`, "main", "--tail", "2")).stdout).toBe(
    "line 4\nline 5\n",
  );
  expect((await node.cli("logs", `single-${node.name}`, "--since", "1h")).stdout).toBe(lines);
  expect((await node.cli("logs", `single-${node.name}`, "--timestamps", "--tail", "1")).stdout).toMatch(
    /^\d{4}-\d\d-\d\dT\S+ line 5\n$/,
  );
  const unclear = await node.cli("logs", `talks-${node.name}`);
  expect(unclear.code).not.toBe(0);
  expect(unclear.stderr).toContain("quiet");

  const { id } = await node.runningContainer("single");
  await node.killContainer(id);
  await node.runningContainer("single", "main", 1);
  await node.until(
    async () => (await node.cli("logs", `single-${node.name}`, "--previous")).stdout === lines,
    "the previous log is there",
  );
});

test("logs -f goes on as the log grows", async () => {
  node.write(
    pod("ticks", {
      containers: [
        container("main", {
          command: ["sh", "-c", 'trap "exit 0" TERM; i=0; while :; do echo tick $((i=i+1)); sleep 0.2; done'],
        }),
      ],
    }),
  );
  await node.runningContainer("ticks");
  const child = spawn(holdfastBin, ["logs", "-f", `ticks-${node.name}`], {
    env: { ...process.env, HOLDFAST_SOCKET: node.socket },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let shown = "";
  child.stdout.on("data", (chunk: Buffer) => (shown += chunk.toString("utf8")));
  try {
    await until(
      () => shown.includes("tick 1\n"),
      "it begins at the beginning",
      undefined,
      () => shown,
    );
    const last = shown.trim().split("\n").length;
    await until(
      () => shown.trim().split("\n").length > last + 2,
      "it goes on",
      undefined,
      () => shown,
    );
    node.remove("ticks");
    await until(() => child.exitCode !== null, "it ends with its pod");
    expect(child.exitCode).toBe(0);
  } finally {
    child.kill("SIGINT");
  }
});

test("exec: output, exit code, the container's choice, what does not exist", async () => {
  const name = `talks-${node.name}`;
  expect(await node.cli("exec", name, "--", "sh", "-c", "echo out; echo err >&2; exit 7")).toEqual({
    code: 7,
    stdout: "out\n",
    stderr: "err\n",
  });
  expect((await node.cli("exec", name, "-c", "quiet", "--", "hostname")).stdout).toBe(`${name}\n`);
  expect((await node.cli("exec", name, "-c", "none", "--", "true")).stderr).toContain("none");
  expect(await node.cli("exec", name, "--", "no-such-program")).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(
      /^holdfast: the command could not be run in container \S+ of pod \S+: .*no-such-program/,
    ),
  });
  expect(await node.cli("exec", name, "ls")).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("after it"),
  });
  const missing = await node.cli("exec", "no-such-pod", "--", "true");
  expect(missing.code).toBe(1);
  expect(missing.stderr).toContain("no-such-pod");
});

test("validate needs no agent, version and doctor tell about this one", async () => {
  const good = await node.cli("validate", `${node.places.manifests}/talks.yaml`);
  expect(good.code).toBe(0);
  expect((await node.cli("version")).stdout).toMatch(/\d+\.\d+\.\d+/);
  const { stdout } = await node.cli("doctor", "--config", node.places.config);
  expect(stdout).toContain(node.runtime.endpoint.replace("unix://", ""));
  expect(stdout).toMatch(/^ok /m);
});

test("the socket is for root alone, and the metrics are Prometheus'", async () => {
  expect(statSync(node.socket).mode & 0o777).toBe(0o600);
  const metrics = await getOverSocket(node.socket, "/metrics");
  expect(metrics.body).toMatch(/^kubelet_runtime_operations_total\{operation_type="list_containers"\} \d+/m);
  // Also where no policy is set: every pod that is let in counts.
  expect(metrics.body).toMatch(/^kubelet_topology_manager_admission_requests_total [1-9]/m);
  expect((await getOverSocket(node.socket, "/healthz")).body.trim()).toBe("ok");
});

test("an agent that is not there: exit code 3 and what to do", async () => {
  const { code, stderr } = await node.cli("get", "pods", "--socket", "/run/no-such.sock");
  expect(code).toBe(3);
  expect(stderr).toMatch(/no-such\.sock[\s\S]*next:/);
});
