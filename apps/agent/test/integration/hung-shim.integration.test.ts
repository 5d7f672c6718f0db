// SPDX-License-Identifier: Apache-2.0

// A pod's shim that stands still (SIGSTOP; on a real node: a process in state D, a FUSE mount without its server): what is called for that pod never
// answers. It is named, it harms nobody else, and the pod goes on when the shim does.
import { readFileSync } from "node:fs";
import process from "node:process";
import { expect, test } from "vitest";
import { pod } from "./harness/manifests.ts";
import { startNode } from "./harness/test-node.ts";
import type { TestNode } from "./harness/test-node.ts";

const OTHERS = ["a", "b", "c", "d", "e"];

/** The shim is the parent of the container's main process. */
function parentOf(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, "utf8");
  // What stands in brackets may contain anything.
  return Number(text.slice(text.lastIndexOf(")") + 2).split(" ")[1]);
}

/** Stops the shim of a pod; it goes on at the end of the scope at the latest. */
async function standStill(node: TestNode, name: string): Promise<{ goOn(): void } & Disposable> {
  const { id } = await node.runningContainer(name);
  const shim = parentOf((await node.containerStatus(id)).pid);
  expect(readFileSync(`/proc/${shim}/cmdline`, "utf8")).toContain("containerd-shim");
  process.kill(shim, "SIGSTOP");
  let stopped = true;
  const goOn = (): void => {
    if (stopped) process.kill(shim, "SIGCONT");
    stopped = false;
  };
  return { goOn, [Symbol.dispose]: goOn };
}

/** What `holdfast get node` says, which must be that the node is Ready. */
async function readyText(node: TestNode): Promise<string> {
  const { stdout } = await node.cli("get", "node");
  expect(stdout).toMatch(/Ready:\s+True/);
  return stdout;
}

test("a shim that stands still: pod, container, call and duration are named, the node stays Ready, others restart, and it recovers", async () => {
  await using node = await startNode({ pods: ["hung", ...OTHERS].map((name) => pod(name)) });
  for (const name of ["hung", ...OTHERS]) await node.runningContainer(name);
  using shim = await standStill(node, "hung");

  node.remove("hung");
  const named = new RegExp(
    `pod default/hung-${node.name}: StopContainer of container "main" \\([0-9a-f]+\\) has not answered for (\\d+)s`,
  );
  const seconds = Number(
    (await node.until(async () => named.exec(await readyText(node)), "get node names the call"))[1],
  );
  expect(seconds).toBeGreaterThanOrEqual(10);

  // Everybody else dies and comes back, is made and removed.
  for (const name of OTHERS) await node.killContainer((await node.runningContainer(name)).id);
  for (const name of OTHERS) await node.runningContainer(name, "main", 1);
  node.write(pod("fresh"));
  await node.runningContainer("fresh");
  node.remove("fresh");
  await node.until(async () => (await node.sandboxes("fresh")).length === 0, "another pod is removed");
  expect(Number(named.exec(await readyText(node))?.[1])).toBeGreaterThan(seconds);
  expect((await node.cli("get", "pods")).stdout).toMatch(
    /! .*hung-\S+.*StopContainer of container "main".*has not answered for \d+s/,
  );

  shim.goOn();
  await node.until(async () => (await node.sandboxes("hung")).length === 0, "the pod goes away by itself");
  await node.until(async () => !/has not answered/.test(await readyText(node)), "nothing is named any more");
  for (const name of OTHERS) node.remove(name);
  await node.assertNothingLeft();
});

test("the main process dies while the shim stands still: nobody can know; it is restarted when the shim goes on", async () => {
  await using node = await startNode({ pods: ["hung", ...OTHERS].map((name) => pod(name)) });
  for (const name of ["hung", ...OTHERS]) await node.runningContainer(name);
  using shim = await standStill(node, "hung");
  const before = await node.runningContainer("hung");
  await node.killContainer(before.id);
  for (const name of OTHERS) await node.killContainer((await node.runningContainer(name)).id);
  for (const name of OTHERS) await node.runningContainer(name, "main", 1);
  // The runtime itself does not know better.
  expect((await node.runningContainer("hung")).id).toBe(before.id);
  await readyText(node);

  shim.goOn();
  await node.runningContainer("hung", "main", 1);
  const status = await node.until(
    async () =>
      (await node.pod("hung"))?.status.containerStatuses?.find(({ restartCount }) => restartCount === 1),
    "the restart is counted",
  );
  expect(status.lastState?.terminated?.exitCode).toBe(137);
  for (const name of ["hung", ...OTHERS]) node.remove(name);
  await node.assertNothingLeft();
});
