// SPDX-License-Identifier: Apache-2.0

// What probes find, with every handler: targets that answer oddly, each with its outcome and message; and targets that start slowly, fail and come
// back, with agents killed in the middle of each.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { PodObject } from "../../src/api/types.ts";
import { container, forever, pod, script } from "./harness/manifests.ts";
import type { Manifest } from "./harness/manifests.ts";
import { OddServers, SwitchedServers } from "./harness/probe-servers.ts";
import { startNode } from "./harness/test-node.ts";
import type { TestNode } from "./harness/test-node.ts";
import { getJson, getOverSocket } from "./harness/unix-http.ts";

type Probes = NonNullable<PodObject["holdfast"]["probes"]>;

const fast = { periodSeconds: 1, failureThreshold: 1 };

/** The pod as it is shown alone: with its probes. */
function whole(node: TestNode, name: string): Promise<PodObject> {
  return getJson(node.socket, `/api/v1/namespaces/default/pods/${name}-${node.name}`);
}

async function probesOf(node: TestNode, name: string): Promise<Probes> {
  return (await whole(node, name)).holdfast.probes ?? [];
}

/** What of a pod must not change: whether it is ready and since when, which containers it has and how often they were started. */
async function facts(node: TestNode, name: string): Promise<object> {
  const { status } = await whole(node, name);
  const [main] = status.containerStatuses ?? [];
  const ready = status.conditions?.find(({ type }) => type === "Ready");
  return {
    ready: ready?.status,
    since: ready?.lastTransitionTime,
    id: main?.containerID,
    started: main?.started,
    restarts: main?.restartCount,
  };
}

const probed = (name: string, probe: object, spec: Manifest = {}): Manifest =>
  pod(name, { containers: [container("main", { readinessProbe: { ...fast, ...probe } })], ...spec });

test("odd targets: each has the outcome and the message that the kubelet gives it", async () => {
  await using odd = await OddServers.start();
  const http = (name: Parameters<OddServers["port"]>[0]): object => ({
    httpGet: { host: "127.0.0.1", port: odd.port(name) },
  });
  const grpc = (name: Parameters<OddServers["port"]>[0], service?: string): object => ({
    grpc: { port: odd.port(name), ...(service === undefined ? {} : { service }) },
  });
  const late = /context deadline exceeded \(Client\.Timeout exceeded while awaiting headers\)$/;
  const cases: readonly (readonly [name: string, probe: object, verdict: string, problem: RegExp])[] = [
    ["moved", http("moved"), "success", /^Readiness probe warning: .*Response body: moved$/],
    ["broken", http("broken"), "failure", /^Readiness probe failed: HTTP probe failed with statuscode: 500$/],
    ["half-end", http("halfThenEnd"), "failure", /^Readiness probe failed: Get "http:.*": unexpected EOF$/],
    ["half-silent", http("halfThenSilence"), "failure", late],
    ["gigabyte", http("gigabyte"), "success", /^$/],
    ["never", http("never"), "failure", late],
    ["not-serving", grpc("notServing"), "failure", /service unhealthy \(responded with "NOT_SERVING"\)$/],
    [
      "no-service",
      grpc("unknownService", "nobody"),
      "failure",
      /error: health rpc probe failed: rpc error: code = NotFound desc = unknown service$/,
    ],
    [
      "no-health",
      grpc("otherGrpc"),
      "failure",
      /this server does not implement the grpc health protocol \(grpc\.health\.v1\.Health\): unknown service Health$/,
    ],
    [
      "no-grpc",
      grpc("never"),
      "failure",
      /timeout: failed to connect service "[\d.]+:\d+" within 1s: context deadline exceeded$|connection refused/,
    ],
    [
      "forks",
      { exec: { command: script("trap '' TERM; sleep 1000 & sleep 1000") }, periodSeconds: 600 },
      "failure",
      /^Readiness probe failed: command timed out: "sh -c .*" timed out after 1s$/,
    ],
    // Neither passes nor fails: the verdict is the one that it began with.
    [
      "unnamed",
      { httpGet: { port: "missing" } },
      "failure",
      /^Readiness probe errored and resulted in unknown state: .*missing/,
    ],
  ];
  await using node = await startNode({
    pods: cases.map(([name, probe]) => probed(name, probe, "grpc" in probe ? { hostNetwork: true } : {})),
  });
  for (const [name, , verdict, problem] of cases) {
    const found = await node.until(async () => {
      const [one] = await probesOf(node, name);
      return one !== undefined && one.successful + one.failed + one.proberErrors > 0 && one;
    }, `${name} is asked`);
    expect({ name, verdict: found.verdict, problem: found.lastProblem }).toEqual({
      name,
      verdict,
      problem: expect.stringMatching(problem),
    });
    expect(found.proberErrors > 0, name).toBe(name === "unnamed");
    expect((await facts(node, name)) as { restarts: number }).toMatchObject({ restarts: 0 });
  }
  // What was in flight when the probe had enough, and no gigabyte.
  expect(odd.mostSent).toBeLessThan(2 ** 27);
  // Counted beside the verdict, a moment later.
  const metrics = await node.until(async () => {
    const { body } = await getOverSocket(node.socket, "/metrics");
    return /^holdfast_probe_exec_ended_total [1-9]/m.test(body) && body;
  }, "what the command left behind is ended");
  expect(metrics).toMatch(/^holdfast_probe_exec_left_total [1-9]/m);
  expect(metrics).toMatch(/^holdfast_prober_errors_total\{why="port"\} [1-9]/m);
  const raw = await node.cli("get", "--raw", "/metrics/probes");
  expect(raw.stdout).toMatch(
    new RegExp(`^prober_probe_total\\{.*pod="broken-${node.name}".*result="failed"\\} [1-9]`, "m"),
  );
  expect((await node.cli("describe", "pod", `moved-${node.name}`)).stdout).toContain("ProbeWarning");
});

test("every kind with every handler: slow to start, healthy, failing, back again; agents killed in between change nothing", async () => {
  await using servers = await SwitchedServers.start(false);
  const folder = mkdtempSync(join(tmpdir(), "holdfast-probe-"));
  const flag = join(folder, "up");
  const turn = async (isUp: boolean): Promise<void> => {
    if (isUp) writeFileSync(flag, "");
    else rmSync(flag, { force: true });
    await servers.turn(isUp);
  };
  const probes: Readonly<Record<string, object>> = {
    ...servers.probes,
    exec: { exec: { command: ["test", "-f", "/probe/up"] } },
  };
  const names = Object.keys(probes);
  const pods = names.map((name) =>
    pod(name, {
      ...(name === "grpc" ? { hostNetwork: true } : {}),
      volumes: [{ name: "probe", hostPath: { path: folder } }],
      containers: [
        container("main", {
          command: forever(),
          volumeMounts: [{ name: "probe", mountPath: "/probe" }],
          startupProbe: { ...probes[name], periodSeconds: 1, failureThreshold: 1000 },
          readinessProbe: { ...probes[name], ...fast },
          livenessProbe: { ...probes[name], periodSeconds: 1, failureThreshold: 3 },
        }),
      ],
    }),
  );
  try {
    await using node = await startNode({ pods });
    const each = async (what: string, holds: (name: string) => Promise<unknown>): Promise<void> => {
      for (const name of names) await node.until(() => holds(name), `${name}: ${what}`);
    };
    const allFacts = async (): Promise<object[]> => await Promise.all(names.map((name) => facts(node, name)));
    const ready = async (name: string, restarts: number): Promise<boolean> => {
      const { status } = await whole(node, name);
      const isReady = status.conditions?.some(({ type, status: of }) => type === "Ready" && of === "True");
      return isReady === true && status.containerStatuses?.[0]?.restartCount === restarts;
    };
    const killAgent = async (): Promise<void> => {
      await node.kill9();
      await node.start();
    };
    const startupFails = async (name: string): Promise<boolean> =>
      (await probesOf(node, name)).some(({ kind, failed }) => kind === "startup" && failed > 1);

    await each("its startup is asked and fails", startupFails);
    const slow = await allFacts();
    for (const one of slow) expect(one).toMatchObject({ ready: "False", started: false, restarts: 0 });
    await killAgent();
    await each("its startup is asked again", startupFails);
    expect(await allFacts()).toEqual(slow);

    await turn(true);
    await each("is ready", (name) => ready(name, 0));
    const healthy = await allFacts();
    await killAgent();
    await each("is asked again", async (name) =>
      (await probesOf(node, name)).some(({ kind, successful }) => kind === "readiness" && successful > 0),
    );
    expect(await allFacts()).toEqual(healthy);

    await turn(false);
    await each("liveness has begun to fail", async (name) => {
      const { status, holdfast } = await whole(node, name);
      const restarted = (status.containerStatuses?.[0]?.restartCount ?? 0) > 0;
      return restarted || holdfast.probes?.some(({ kind, failed }) => kind === "liveness" && failed > 0);
    });
    await killAgent();
    await each("is killed for it, once", async (name) => {
      const [main] = (await whole(node, name)).status.containerStatuses ?? [];
      return main?.restartCount === 1 && main.started === false;
    });
    await turn(true);
    await each("is back", (name) => ready(name, 1));
    for (const name of names)
      expect((await node.cli("why", `${name}-${node.name}`)).stdout, name).toMatch(/liveness/);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
