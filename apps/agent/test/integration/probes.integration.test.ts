// SPDX-License-Identifier: Apache-2.0

// Probes of every kind and handler on a real runtime: what they decide, what they leave alone, and that an agent's restart changes no verdict.
import type { Termination } from "@holdfast/journal";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { PodObject, TerminationList } from "../../src/api/types.ts";
import { container, forever, pod, script } from "./harness/manifests.ts";
import type { Manifest } from "./harness/manifests.ts";
import { startNode } from "./harness/test-node.ts";
import type { TestNode } from "./harness/test-node.ts";
import { getJson } from "./harness/unix-http.ts";

/** A web server on 8080 whose files a test makes and removes; with `isReady` it is ready from the start. */
const web = (isReady: boolean): string[] =>
  script(`mkdir -p /www; ${isReady ? "touch /www/ready; " : ""}exec httpd -f -p 8080 -h /www`);
/** Accepts connections and never says a word. */
const mute = script("exec nc -ll -p 7000 -e sleep 1000");
const fast = { periodSeconds: 1, failureThreshold: 1 };
const probed = (name: string, command: string[], probes: Manifest): Manifest =>
  pod(name, { containers: [container("main", { command, ...probes })] });

interface Condition {
  readonly status: string;
  readonly reason?: string | undefined;
  readonly lastTransitionTime?: string | undefined;
}

async function ready(node: TestNode, name: string): Promise<Condition | undefined> {
  return (await node.pod(name))?.status.conditions?.find(({ type }) => type === "Ready");
}

function untilReady(node: TestNode, name: string, status: "True" | "False"): Promise<Condition> {
  return node.until(
    async () => {
      const condition = await ready(node, name);
      return condition?.status === status && condition;
    },
    `${name} is ${status === "True" ? "" : "not "}ready`,
  );
}

async function restarts(node: TestNode, name: string): Promise<number | undefined> {
  return (await node.pod(name))?.status.containerStatuses?.[0]?.restartCount;
}

/** The newest end of the pod's container, when it has the runtime's word on it. */
function newestEnd(node: TestNode, name: string): Promise<Termination> {
  const path = `/api/v1/journal/terminations?pod=${encodeURIComponent(`default/${name}-${node.name}`)}`;
  return node.until(async () => {
    const [newest] = (await getJson<TerminationList>(node.socket, path)).items;
    return newest?.reason !== undefined && newest;
  }, `an end of ${name} is in the ledger`);
}

const exec = (node: TestNode, name: string, command: string): Promise<unknown> =>
  node.cli("exec", `${name}-${node.name}`, "--", "sh", "-c", command);

test("readiness follows the truth, with every handler, and restarts nothing", async () => {
  const httpGet = { httpGet: { path: "/ready", port: "web" } };
  await using node = await startNode({
    pods: [
      pod("http", {
        containers: [
          container("main", {
            command: web(false),
            ports: [{ name: "web", containerPort: 8080 }],
            readinessProbe: { ...httpGet, ...fast },
          }),
        ],
      }),
      probed("tcp", web(true), { readinessProbe: { tcpSocket: { port: 8080 }, ...fast } }),
      probed("exec", forever(), {
        readinessProbe: { exec: { command: ["test", "-f", "/tmp/ok"] }, ...fast },
      }),
      probed("mute", mute, { readinessProbe: { httpGet: { port: 7000 }, ...fast } }),
      probed("grpc", mute, { readinessProbe: { grpc: { port: 7000 }, ...fast } }),
      probed("nobody", forever(), { readinessProbe: { tcpSocket: { port: 9 }, ...fast } }),
      probed("unnamed", web(true), { readinessProbe: { httpGet: { port: "missing" }, ...fast } }),
    ],
  });
  await untilReady(node, "tcp", "True");
  const failures: readonly (readonly [string, RegExp])[] = [
    ["http", /HTTP probe failed with statuscode: 404/],
    ["mute", /context deadline exceeded|Client\.Timeout|timeout/],
    ["grpc", /timeout|deadline/],
    ["nobody", /connection refused/],
    ["unnamed", /missing/],
  ];
  for (const [name, reason] of failures)
    await node.until(
      async () => reason.test((await node.cli("describe", "pod", `${name}-${node.name}`)).stdout),
      `${name} fails with ${reason}`,
    );
  for (const name of ["http", "exec", "mute", "grpc", "nobody", "unnamed"])
    expect((await ready(node, name))?.status, name).toBe("False");
  for (let turn = 0; turn < 2; turn++) {
    await exec(node, "http", "touch /www/ready");
    await exec(node, "exec", "touch /tmp/ok");
    await untilReady(node, "http", "True");
    await untilReady(node, "exec", "True");
    await exec(node, "http", "rm /www/ready");
    await exec(node, "exec", "rm /tmp/ok");
    await untilReady(node, "http", "False");
    await untilReady(node, "exec", "False");
  }
  for (const name of ["http", "tcp", "exec", "mute", "grpc", "nobody", "unnamed"])
    expect(await restarts(node, name), name).toBe(0);
});

test("liveness kills with the probe's own grace, startup holds it off, and why tells both apart", async () => {
  const dead = { exec: { command: ["sh", "-c", "echo heart stopped; exit 1"] } };
  const deaf = script("sleep 1000000");
  await using node = await startNode({
    pods: [
      pod("sick", {
        terminationGracePeriodSeconds: 600,
        containers: [
          container("main", {
            command: deaf,
            livenessProbe: { ...dead, ...fast, terminationGracePeriodSeconds: 2 },
          }),
        ],
      }),
      probed("never-starts", forever(), { startupProbe: { ...dead, periodSeconds: 1, failureThreshold: 2 } }),
      // Its liveness would fail, but nobody asks before the startup probe has succeeded.
      probed("slow", forever(), {
        startupProbe: {
          exec: { command: ["test", "-f", "/tmp/up"] },
          periodSeconds: 1,
          failureThreshold: 600,
        },
        livenessProbe: { exec: { command: ["test", "-f", "/tmp/up"] }, ...fast },
      }),
    ],
  });
  const sick = await newestEnd(node, "sick");
  expect(sick).toMatchObject({ cause: "LivenessProbe", forced: true, exitCode: 137 });
  expect(JSON.stringify(sick.evidence)).toContain("heart stopped");
  expect((await newestEnd(node, "never-starts")).cause).toBe("StartupProbe");
  expect((await node.cli("why", `sick-${node.name}`)).stdout).toMatch(/liveness/);
  expect((await node.pod("slow"))?.status.containerStatuses?.[0]).toMatchObject({
    started: false,
    restartCount: 0,
  });
  await exec(node, "slow", "touch /tmp/up");
  await untilReady(node, "slow", "True");
  await exec(node, "slow", "rm /tmp/up");
  expect((await newestEnd(node, "slow")).cause).toBe("LivenessProbe");
});

test("kill -9 of the agent and a start flip no verdict and restart nothing", async () => {
  const httpGet = { httpGet: { path: "/ready", port: 8080 } };
  const pods = ["a", "b", "c"];
  await using node = await startNode({
    pods: pods.map((name) =>
      probed(name, web(true), {
        // Asked at once after the start, when nobody listens yet; and on a busy machine an answer may take a second.
        startupProbe: { ...httpGet, periodSeconds: 1, failureThreshold: 60 },
        readinessProbe: { ...httpGet, ...fast },
        livenessProbe: { ...httpGet, periodSeconds: 1, failureThreshold: 5 },
      }),
    ),
  });
  const before = new Map<string, Condition>();
  for (const name of pods) before.set(name, await untilReady(node, name, "True"));
  for (let turn = 0; turn < 3; turn++) {
    await node.kill9();
    await node.start();
    for (const name of pods) {
      // The time of its last change is the proof: it was never anything else.
      expect(await untilReady(node, name, "True")).toEqual(before.get(name));
      const why = async (): Promise<string> => (await node.cli("why", `${name}-${node.name}`)).stdout;
      if ((await restarts(node, name)) !== 0) throw new Error(`${name} was restarted: ${await why()}`);
    }
  }
});

test("a pod that drains says that it is not ready: by its probe, or at once by annotation", async () => {
  // Serves on after SIGTERM, and is not ready any more.
  const drains = script(
    "mkdir -p /www; touch /www/ready; httpd -p 8080 -h /www; trap 'rm /www/ready; sleep 6; exit 0' TERM; while :; do sleep 0.1; done",
  );
  const spec = (probes: Manifest): Manifest => ({
    terminationGracePeriodSeconds: 30,
    containers: [container("main", { command: drains, ...probes })],
  });
  await using node = await startNode({
    pods: [
      pod("probed", spec({ readinessProbe: { httpGet: { path: "/ready", port: 8080 }, ...fast } })),
      pod("marked", spec({}), { annotations: { "holdfast.agent/unready-when-terminating": "true" } }),
    ],
  });
  for (const name of ["probed", "marked"]) {
    await untilReady(node, name, "True");
    node.remove(name);
    await untilReady(node, name, "False");
    // Still there: it is asked, and told, while it drains.
    expect(await node.running(name)).toHaveLength(1);
    expect((await node.pod(name))?.holdfast.worker).toBe("terminating");
  }
  await node.assertNothingLeft();
});

test("a cordoned pod is out of traffic and left alone, over a restart of the agent too", async () => {
  await using node = await startNode({ pods: [probed("held", web(true), {})] });
  await untilReady(node, "held", "True");
  const { id } = await node.runningContainer("held");
  const cordoned = await node.cli("cordon", "pod", `held-${node.name}`);
  expect(cordoned).toMatchObject({ code: 0, stdout: expect.stringContaining("Ready is False (Cordoned)") });
  await node.kill9();
  await node.start();
  expect(await untilReady(node, "held", "False")).toMatchObject({ reason: "Cordoned" });
  expect((await node.cli("get", "pods")).stdout).toContain("cordoned by");
  expect((await node.runningContainer("held")).id).toBe(id);
  await node.cli("uncordon", "pod", `held-${node.name}`);
  await untilReady(node, "held", "True");
});

test("a cordoned pod that misbehaves is kept for inspection: its liveness kills it only once it is given back", async () => {
  const alive = { exec: { command: ["test", "-f", "/tmp/alive"] } };
  await using node = await startNode({
    pods: [
      probed("odd", forever("touch /tmp/alive"), {
        startupProbe: { ...alive, periodSeconds: 1, failureThreshold: 60 },
        livenessProbe: { ...alive, ...fast },
      }),
    ],
  });
  await untilReady(node, "odd", "True");
  const { id } = await node.runningContainer("odd");
  await node.cli("cordon", "pod", `odd-${node.name}`);
  await exec(node, "odd", "rm /tmp/alive");
  const failed = `/api/v1/namespaces/default/pods/odd-${node.name}`;
  const isFound = async (): Promise<boolean | undefined> =>
    (await getJson<PodObject>(node.socket, failed)).holdfast.probes?.some(
      ({ kind, verdict }) => kind === "liveness" && verdict === "failure",
    );
  await node.until(isFound, "liveness has failed");
  // A restart of the agent asks once more before it would kill, and then knows of the cordon.
  await node.kill9();
  await node.start();
  await node.until(isFound, "liveness has failed again");
  await node.cli("exec", `odd-${node.name}`, "--", "true");
  expect((await node.runningContainer("odd")).id).toBe(id);
  await node.cli("uncordon", "pod", `odd-${node.name}`);
  expect((await newestEnd(node, "odd")).cause).toBe("LivenessProbe");
});

test.each([
  [true, "hunter2"],
  [false, "8 bytes"],
])("with probeOutput %s events say %s", async (probeOutput, said) => {
  const leaks = { exec: { command: ["sh", "-c", "echo $TOKEN; exit 1"] } };
  const env = [{ name: "TOKEN", value: "hunter2" }];
  await using node = await startNode({
    agent: { probeOutput },
    pods: [probed("leaks", forever(), { env, readinessProbe: { ...leaks, ...fast } })],
  });
  const texts = async (): Promise<string> => {
    const shown = await node.cli("describe", "pod", `leaks-${node.name}`);
    return `${shown.stdout}${(await node.cli("events")).stdout}`;
  };
  await node.until(async () => (await texts()).includes(`Readiness probe failed: ${said}`), "it has failed");
  if (probeOutput) return;
  expect(await texts()).not.toContain("hunter2");
  await node.stop();
  const journals = readdirSync(node.places.state).filter((file) => file.startsWith("journal.db"));
  expect(journals).not.toEqual([]);
  for (const file of journals)
    expect(readFileSync(join(node.places.state, file)).includes("hunter2"), file).toBe(false);
});
