// SPDX-License-Identifier: Apache-2.0

// containerd dies, or is not there yet. Each test has a containerd of its own.
import { expect, test } from "vitest";
import { pod } from "./harness/manifests.ts";
import { PrivateInstance } from "./harness/private-instance.ts";
import { startNode } from "./harness/test-node.ts";
import { until } from "./harness/until.ts";

const NAMES = Array.from({ length: 20 }, (_, index) => `c${String(index).padStart(2, "0")}`);

test("kill -9 of containerd with 20 pods running, and a start: the same containers, no restart", async () => {
  await using instance = new PrivateInstance("crash");
  instance.up();
  await using node = await startNode({ endpoint: instance.endpoint, pods: NAMES.map((name) => pod(name)) });
  await node.until(async () => (await node.running()).length === NAMES.length, "20 pods run");
  const before = (await node.containers()).map(({ id }) => id).sort();

  await instance.kill9();
  await node.until(
    async () =>
      (await node.nodeObject()).conditions.some(({ type, status }) => type === "Ready" && status !== "True"),
    "the node tells that its runtime is away",
    90_000,
  );
  instance.up();
  await node.until(() => node.isReady(), "the node is Ready again");
  await node.until(
    async () => (await node.podList()).items.every(({ status }) => status.phase === "Running"),
    "all pods are shown as running",
  );
  // Something new still works, and comes after whatever the agent does to the old ones.
  node.write(pod("after"));
  const after = await node.runningContainer("after");
  const now = (await node.containers()).map(({ id }) => id).filter((id) => id !== after.id);
  expect(now.sort()).toEqual(before);
  expect((await node.running()).length).toBe(NAMES.length + 1);
  expect(
    (await node.podList()).items.every(({ status }) => status.containerStatuses?.[0]?.restartCount === 0),
  ).toBe(true);

  for (const name of [...NAMES, "after"]) node.remove(name);
  await node.assertNothingLeft();
});

test("without containerd the agent waits, says for what, and goes on when it appears", async () => {
  await using instance = new PrivateInstance("absent");
  await using node = await startNode({
    endpoint: instance.endpoint,
    pods: [pod("early")],
    awaitReady: false,
  });
  const said = await node.until(async () => {
    const { stdout } = await node.cli("get", "pods");
    return stdout.includes(instance.endpoint.replace("unix://", "")) && stdout;
  }, "`get pods` names the socket that is waited for");
  expect(said).toMatch(/runtime|containerd/i);
  const shown = await node.cli("get", "node");
  expect(shown.stdout).toMatch(/Ready:\s+(False|Unknown)/);
  expect(node.agent?.exitCode).toBeUndefined();

  instance.up();
  await node.runningContainer("early");
  await node.until(() => node.isReady(), "the node is Ready");
  await node.until(async () => (await node.podList()).node.length === 0, "nothing is waited for any more");
  node.remove("early");
  await node.assertNothingLeft();
});

test("the harness's own condition tells what was waited for", async () => {
  await expect(until(() => false, "pigs fly", 1)).rejects.toThrow(/in vain: pigs fly/);
});
