// SPDX-License-Identifier: Apache-2.0

// An agent that ends, in whatever way, is a non-event for its pods.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { expect, test } from "vitest";
import { repo } from "./harness/agent-process.ts";
import { container, pod } from "./harness/manifests.ts";
import { startNode } from "./harness/test-node.ts";
import type { TestNode } from "./harness/test-node.ts";

const NAMES = Array.from({ length: 20 }, (_, index) => `a${String(index).padStart(2, "0")}`);

/** Every container of the node, as `id attempt state`. */
async function picture(node: TestNode): Promise<string[]> {
  const containers = await node.containers();
  return containers.map(({ id, metadata, state }) => `${id} ${metadata?.attempt} ${state}`).sort();
}

/** Waits until the agent shows all pods with their containers running, which it only does once it has looked at them. */
async function takenUp(node: TestNode, count: number): Promise<void> {
  await node.until(async () => {
    const { items } = await node.podList();
    return (
      items.length === count &&
      items.every(
        ({ status }) =>
          status.phase === "Running" && status.containerStatuses?.every(({ state }) => state?.running),
      )
    );
  }, `${count} pods are shown as running`);
}

test("kill -9 of the agent with 20 pods running, and a start: the same containers, no restart", async () => {
  await using node = await startNode({ pods: NAMES.map((name) => pod(name)) });
  await node.until(async () => (await node.running()).length === NAMES.length, "20 pods run");
  await takenUp(node, NAMES.length);
  const before = await picture(node);

  await node.kill9();
  expect(await picture(node)).toEqual(before);
  await node.start();
  await takenUp(node, NAMES.length);
  expect(await picture(node)).toEqual(before);
  expect((await node.sandboxes()).length).toBe(NAMES.length);
  expect(
    (await node.podList()).items.map(({ status }) => status.containerStatuses?.[0]?.restartCount),
  ).toEqual(NAMES.map(() => 0));

  for (const name of NAMES) node.remove(name);
  await node.assertNothingLeft();
});

test.each(["SIGTERM", "SIGINT"] as const)(
  "%s ends the agent with 0 and leaves the pods running",
  async (signal) => {
    await using node = await startNode({ pods: [pod("stays-1"), pod("stays-2")] });
    await node.until(async () => (await node.running()).length === 2, "two pods run");
    const before = await picture(node);
    expect(await node.stop(signal)).toBe(0);
    expect(await picture(node)).toEqual(before);
    await node.start();
    await takenUp(node, 2);
    expect(await picture(node)).toEqual(before);
  },
);

test("what happened while the agent was away is made good: it converges to what the folder says", async () => {
  const names = ["dies-1", "dies-2", "changes", "goes", "stays"];
  await using node = await startNode({ pods: names.map((name) => pod(name)) });
  await node.until(async () => (await node.running()).length === names.length, "five pods run");
  const [changes, stays] = [await node.runningContainer("changes"), await node.runningContainer("stays")];
  await node.stop();

  for (const name of ["dies-1", "dies-2"]) {
    const { id } = await node.runningContainer(name);
    await node.killContainer(id);
    await node.until(async () => (await node.running(name)).length === 0, `${name} is dead`);
  }
  node.write(pod("changes", { containers: [container("main", { env: [{ name: "VERSION", value: "2" }] })] }));
  node.remove("goes");
  node.write(pod("comes"));
  await node.start();

  for (const name of ["dies-1", "dies-2"])
    expect((await node.runningContainer(name, "main", 1)).metadata?.attempt).toBe(1);
  await node.until(async () => {
    const running = await node.running("changes");
    return running.length === 1 && running[0]?.id !== changes.id;
  }, "the changed pod was replaced");
  await node.until(async () => (await node.sandboxes("goes")).length === 0, "the removed pod is gone");
  await node.runningContainer("comes");
  expect((await node.runningContainer("stays")).id).toBe(stays.id);
  const { stdout } = await node.cli("exec", `changes-${node.name}`, "--", "sh", "-c", "echo $VERSION");
  expect(stdout).toBe("2\n");
  await node.until(async () => (await node.sandboxes()).length === 5, "one sandbox for each pod");
});

test("restart counts and back-off are not forgotten by a restart of the agent", async () => {
  await using node = await startNode({
    pods: [pod("loops", { containers: [container("main", { command: ["sh", "-c", "exit 3"] })] })],
  });
  const looping = async (): Promise<number | undefined> => {
    const status = (await node.pod("loops"))?.status.containerStatuses?.[0];
    return status?.state?.waiting?.reason === "CrashLoopBackOff" ? status.restartCount : undefined;
  };
  const count = await node.until(async () => ((await looping()) ?? 0) >= 1 && (await looping()), "it loops");
  await node.kill9();
  await node.start();
  await node.until(async () => ((await looping()) ?? -1) >= count, "it still waits, with its count");
  // The first wait is 10 s: an agent that had forgotten it would restart the container at once.
  const attempts = (await node.containers("loops")).map(({ metadata }) => metadata?.attempt ?? 0);
  expect(Math.max(...(await node.containers("loops")).map(({ metadata }) => metadata?.attempt ?? 0))).toBe(
    Math.max(...attempts),
  );
});

test("building the bundle again, as npm start and npm test do, does not touch an agent that runs from it", async () => {
  await using node = await startNode({ pods: [pod("first")] });
  await node.runningContainer("first");
  const built = spawnSync(process.execPath, ["build.mjs"], {
    cwd: join(repo, "apps/agent"),
    encoding: "utf8",
  });
  expect(built.status, built.stderr).toBe(0);
  // A new pod and its end go through every part of it, the native store as well.
  node.write(pod("second"));
  await node.runningContainer("second");
  for (const name of ["first", "second"]) node.remove(name);
  await node.assertNothingLeft();
  expect(node.agent?.exitCode).toBeUndefined();
});
