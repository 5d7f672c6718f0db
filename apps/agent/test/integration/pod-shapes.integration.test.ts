// SPDX-License-Identifier: Apache-2.0

// Pods of several containers: what they share, in which order they come and go, and their hooks.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { container, forever, pod, script } from "./harness/manifests.ts";
import { startNode } from "./harness/test-node.ts";
import type { TestNode } from "./harness/test-node.ts";

async function exec(node: TestNode, name: string, containerName: string, command: string): Promise<string> {
  const result = await node.cli(
    "exec",
    `${name}-${node.name}`,
    "-c",
    containerName,
    "--",
    "sh",
    "-c",
    command,
  );
  if (result.code !== 0) throw new Error(`exec ${command}: ${result.code} ${result.stderr}`);
  return result.stdout;
}

/** A folder of the host that containers write their steps into. */
function journal(): { volumes: unknown[]; volumeMounts: unknown[]; read: () => string[] } {
  const dir = mkdtempSync(join(tmpdir(), "holdfast-journal-"));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return {
    volumes: [{ name: "journal", hostPath: { path: dir, type: "Directory" } }],
    volumeMounts: [{ name: "journal", mountPath: "/journal" }],
    read: () => readFileSync(join(dir, "steps"), "utf8").trim().split("\n"),
  };
}

function step(name: string): string {
  return `echo ${name} >> /journal/steps`;
}

test.each(["", "Memory"])("two containers share an emptyDir (medium %j)", async (medium) => {
  const volumeMounts = [{ name: "data", mountPath: "/data" }];
  const emptyDir = medium === "" ? {} : { medium, sizeLimit: "1Mi" };
  await using node = await startNode({
    pods: [
      pod("pair", {
        containers: [
          container("writer", { command: forever("echo shared > /data/file"), volumeMounts }),
          container("reader", { volumeMounts: [{ ...volumeMounts[0], readOnly: true }] }),
        ],
        volumes: [{ name: "data", emptyDir }],
      }),
    ],
  });
  const [writer, reader] = [
    await node.runningContainer("pair", "writer"),
    await node.runningContainer("pair", "reader"),
  ];
  expect(writer.podSandboxId).toBe(reader.podSandboxId);
  await node.until(
    async () => (await exec(node, "pair", "reader", "cat /data/file")) === "shared\n",
    "the reader sees the file",
  );
  expect(await exec(node, "pair", "reader", "touch /data/x 2>/dev/null || echo refused")).toBe("refused\n");
  const kind = await exec(node, "pair", "writer", "grep ' /data ' /proc/mounts | cut -d' ' -f3");
  expect(kind.trim() === "tmpfs").toBe(medium === "Memory");
  // What is in it outlives a container, but not the pod.
  await node.killContainer(writer.id);
  await node.runningContainer("pair", "writer", 1);
  expect(await exec(node, "pair", "reader", "cat /data/file")).toBe("shared\n");
  node.remove("pair");
  await node.assertNothingLeft();
});

test("init containers run in order, a sidecar starts before and ends after the main container", async () => {
  const log = journal();
  const { volumes, volumeMounts } = log;
  await using node = await startNode({
    pods: [
      pod("order", {
        terminationGracePeriodSeconds: 5,
        volumes,
        initContainers: [
          container("first", { command: script(step("first")), volumeMounts }),
          container("sidecar", {
            restartPolicy: "Always",
            command: script(
              `${step("sidecar")}; trap "${step("sidecar-ends")}; exit 0" TERM; sleep 1000000 & wait`,
            ),
            volumeMounts,
          }),
          container("second", { command: script(step("second")), volumeMounts }),
        ],
        containers: [
          container("main", {
            command: script(
              `${step("main")}; trap "${step("main-ends")}; exit 0" TERM; sleep 1000000 & wait`,
            ),
            volumeMounts,
          }),
        ],
      }),
    ],
  });
  await node.runningContainer("order");
  const { status } = await node.until(async () => {
    const found = await node.pod("order");
    return found?.status.phase === "Running" && found;
  }, "it is Running");
  expect(status.initContainerStatuses?.map(({ name, state }) => [name, Object.keys(state ?? {})[0]])).toEqual(
    [
      ["first", "terminated"],
      ["sidecar", "running"],
      ["second", "terminated"],
    ],
  );
  await node.until(() => log.read().includes("main"), "main has begun");
  node.remove("order");
  await node.assertNothingLeft();
  const steps = log.read();
  expect(steps.indexOf("first")).toBe(0);
  // The sidecar has only to be started before what follows; the two run side by side from then on.
  expect(steps.indexOf("second")).toBeLessThan(steps.indexOf("main"));
  expect(steps.slice(-2)).toEqual(["main-ends", "sidecar-ends"]);
});

test("an init container that fails keeps the others from starting", async () => {
  await using node = await startNode({
    pods: [pod("blocked", { initContainers: [container("fails", { command: script("exit 5") })] })],
  });
  const found = await node.until(async () => {
    const status = (await node.pod("blocked"))?.status;
    return (status?.initContainerStatuses?.[0]?.restartCount ?? 0) >= 1 && status;
  }, "it is tried again");
  expect(found.phase).toBe("Pending");
  expect(found.containerStatuses?.[0]?.state?.waiting?.reason).toBe("PodInitializing");
  expect((await node.cli("get", "pods")).stdout).toMatch(/blocked-\S+\s+0\/1\s+Init:/);
});

test("postStart runs before the pod counts as running, preStop before SIGTERM", async () => {
  const log = journal();
  const { volumes, volumeMounts } = log;
  const lifecycle = {
    postStart: { exec: { command: script(step("postStart")) } },
    preStop: { exec: { command: script(step("preStop")) } },
  };
  const command = script(`trap "${step("term")}; exit 0" TERM; sleep 1000000 & wait`);
  await using node = await startNode({
    pods: [
      pod("hooks", {
        terminationGracePeriodSeconds: 10,
        volumes,
        containers: [container("main", { command, lifecycle, volumeMounts })],
      }),
    ],
  });
  await node.runningContainer("hooks");
  await node.until(() => log.read().includes("postStart"), "postStart ran");
  node.remove("hooks");
  await node.assertNothingLeft();
  expect(log.read()).toEqual(["postStart", "preStop", "term"]);
});

test("a postStart hook that fails ends the container", async () => {
  const lifecycle = { postStart: { exec: { command: script("exit 1") } } };
  await using node = await startNode({
    pods: [pod("badhook", { containers: [container("main", { lifecycle })] })],
  });
  const status = await node.until(async () => {
    const found = (await node.pod("badhook"))?.status.containerStatuses?.[0];
    return (found?.restartCount ?? 0) >= 1 && found;
  }, "it is started again");
  expect(status.name).toBe("main");
});
