// SPDX-License-Identifier: Apache-2.0

// Pods that end: crash loops, jobs, deadlines, and what their last words were.
import { expect, test } from "vitest";
import { container, forever, pod, script } from "./harness/manifests.ts";
import { startNode } from "./harness/test-node.ts";
import type { TestNode } from "./harness/test-node.ts";

function withCommand(name: string, command: readonly string[], spec: Record<string, unknown> = {}) {
  return pod(name, { containers: [container("main", { command })], ...spec });
}

/** The last words come a moment after the exit: when the runtime's own list has confirmed it. */
function lastWords(node: TestNode, name: string) {
  return node.until(async () => {
    const status = (await node.pod(name))?.status.containerStatuses?.[0];
    return [status?.state, status?.lastState].find((state) => state?.terminated?.message)?.terminated;
  }, `${name} has last words`);
}

function phase(node: TestNode, name: string, wanted: string) {
  return node.until(async () => {
    const found = await node.pod(name);
    return found?.status.phase === wanted && found;
  }, `${name} is ${wanted}`);
}

test("a container that ends again and again is restarted with growing waits, which are shown", async () => {
  await using node = await startNode({
    pods: [withCommand("loops", script("echo bye > /dev/termination-log; exit 3"))],
  });
  const status = await node.until(async () => {
    const found = (await node.pod("loops"))?.status.containerStatuses?.[0];
    return found?.state?.waiting?.reason === "CrashLoopBackOff" && found.restartCount >= 1 && found;
  }, "it is in CrashLoopBackOff");
  expect(status.state?.waiting?.message).toMatch(/back-off \d+s restarting failed container=main/);
  expect(await lastWords(node, "loops")).toMatchObject({ exitCode: 3, reason: "Error", message: "bye\n" });
  expect((await node.cli("get", "pods")).stdout).toMatch(/loops-\S+\s+0\/1\s+CrashLoopBackOff\s+[1-9]/);
});

test("one dead container is kept for each name, with its log", async () => {
  await using node = await startNode({
    kubelet: { crashLoopBackOff: { maxContainerRestartPeriod: "1s" } },
    pods: [pod("dies")],
  });
  for (let attempt = 0; attempt < 4; attempt++) {
    const { id } = await node.runningContainer("dies", "main", attempt);
    await node.killContainer(id);
  }
  await node.runningContainer("dies", "main", 4);
  const attempts = await node.until(async () => {
    const found = (await node.containers("dies")).map(({ metadata }) => metadata?.attempt);
    return found.length === 2 && found;
  }, "only the last dead container is kept");
  expect(attempts).toEqual([3, 4]);
});

test("a job completes, and is not run again over a restart of the agent", async () => {
  await using node = await startNode({
    pods: [
      withCommand("done", script("echo worked > /dev/termination-log"), { restartPolicy: "Never" }),
      withCommand("failed", script("exit 7"), { restartPolicy: "Never" }),
    ],
  });
  await phase(node, "done", "Succeeded");
  expect(await lastWords(node, "done")).toMatchObject({
    exitCode: 0,
    reason: "Completed",
    message: "worked\n",
  });
  const failed = await phase(node, "failed", "Failed");
  expect(failed.status.containerStatuses?.[0]?.state?.terminated).toMatchObject({
    exitCode: 7,
    reason: "Error",
  });
  await node.kill9();
  await node.start();
  await phase(node, "done", "Succeeded");
  await phase(node, "failed", "Failed");
  // Something after it in the same agent's life: had it started the job again, that would show by now.
  node.write(pod("later"));
  await node.runningContainer("later");
  for (const name of ["done", "failed"]) {
    const attempts = (await node.containers(name)).map(({ metadata }) => metadata?.attempt);
    expect(attempts.every((attempt) => attempt === 0)).toBe(true);
    expect((await node.pod(name))?.status.containerStatuses?.[0]?.restartCount).toBe(0);
  }
  for (const name of ["done", "failed", "later"]) node.remove(name);
  await node.assertNothingLeft();
});

test("OnFailure restarts failures only", async () => {
  const once = script("test -e /seen/it && exit 0; touch /seen/it; exit 1");
  await using node = await startNode({
    pods: [
      pod("retries", {
        restartPolicy: "OnFailure",
        containers: [
          container("main", { command: once, volumeMounts: [{ name: "seen", mountPath: "/seen" }] }),
        ],
        volumes: [{ name: "seen", emptyDir: {} }],
      }),
    ],
  });
  const found = await phase(node, "retries", "Succeeded");
  expect(found.status.containerStatuses?.[0]?.restartCount).toBe(1);
});

test("activeDeadlineSeconds ends a pod as Failed, DeadlineExceeded", async () => {
  await using node = await startNode({ pods: [pod("late", { activeDeadlineSeconds: 2 })] });
  await node.runningContainer("late");
  const { status } = await phase(node, "late", "Failed");
  expect(status.reason).toBe("DeadlineExceeded");
  await node.until(async () => (await node.running("late")).length === 0, "its container is stopped");
});

test("the grace period is given, and SIGKILL follows it", async () => {
  const deaf = pod("deaf", {
    containers: [container("main", { command: script("trap '' TERM; echo up; while :; do sleep 1; done") })],
  });
  await using node = await startNode({ pods: [deaf] });
  await node.runningContainer("deaf");
  node.remove("deaf");
  await node.assertNothingLeft();
  expect(await node.sandboxes("deaf")).toEqual([]);
});

test("last words can come from the log", async () => {
  const command = script("echo from the log; exit 4");
  await using node = await startNode({
    pods: [
      pod("words", {
        restartPolicy: "Never",
        containers: [container("main", { command, terminationMessagePolicy: "FallbackToLogsOnError" })],
      }),
    ],
  });
  await phase(node, "words", "Failed");
  expect((await lastWords(node, "words"))?.message).toBe("from the log\n");
});

test("a changed manifest: the old pod is gone before the new one starts", async () => {
  const volumes = [{ name: "lock", hostPath: { path: "/tmp", type: "Directory" } }];
  const volumeMounts = [{ name: "lock", mountPath: "/lock" }];
  // Each version takes a folder that only one can have, and gives it back when it ends.
  const command = (lock: string): string[] =>
    script(`mkdir /lock/${lock} || exit 9; trap "rmdir /lock/${lock}; exit 0" TERM; sleep 1000000 & wait`);
  await using node = await startNode();
  const lock = `holdfast-${node.name}`;
  const version = (value: string) =>
    pod("exclusive", {
      volumes,
      terminationGracePeriodSeconds: 10,
      containers: [container("main", { command: command(lock), volumeMounts, env: [{ name: "V", value }] })],
    });
  node.write(version("1"));
  const first = await node.runningContainer("exclusive");
  node.write(version("2"));
  const second = await node.until(
    async () => (await node.running("exclusive")).find(({ id }) => id !== first.id),
    "version 2 runs",
  );
  expect(second.metadata?.attempt).toBe(0);
  expect((await node.containers("exclusive")).every(({ metadata }) => metadata?.attempt === 0)).toBe(true);
  node.remove("exclusive");
  await node.assertNothingLeft();
});

test("unchanged content is no change: touching a file restarts nothing", async () => {
  await using node = await startNode({ pods: [withCommand("same", forever())] });
  const before = await node.runningContainer("same");
  node.write(withCommand("same", forever()));
  node.write(pod("marker"));
  await node.runningContainer("marker");
  expect((await node.runningContainer("same")).id).toBe(before.id);
});
