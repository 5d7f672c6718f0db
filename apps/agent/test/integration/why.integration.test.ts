// SPDX-License-Identifier: Apache-2.0

// Why containers ended, on a real runtime: each end has its own cause, and `holdfast why` tells it.
import type { Termination } from "@holdfast/journal";
import { expect, test } from "vitest";
import type { TerminationList, WhyAnswer } from "../../src/api/types.ts";
import { container, NONROOT, pod, script } from "./harness/manifests.ts";
import { startNode } from "./harness/test-node.ts";
import type { TestNode } from "./harness/test-node.ts";
import { getJson } from "./harness/unix-http.ts";

/** As PID 1 a shell without a handler does not hear SIGTERM. */
const deaf = script("sleep 1000000");

function ends(node: TestNode, name: string): Promise<readonly Termination[]> {
  const query = `pod=${encodeURIComponent(`default/${name}-${node.name}`)}`;
  return getJson<TerminationList>(node.socket, `/api/v1/journal/terminations?${query}`).then(
    ({ items }) => items,
  );
}

/** The newest end of the pod's container, when it has the runtime's word on it. */
function end(node: TestNode, name: string, atLeast = 1): Promise<Termination> {
  return node.until(async () => {
    const [newest, ...older] = await ends(node, name);
    return older.length + 1 >= atLeast && newest?.reason !== undefined && newest;
  }, `an end of ${name} is in the ledger`);
}

test("every end has its own cause", async () => {
  const limit = { resources: { limits: { memory: "16Mi" } } };
  const hungry = script("echo eats; x=a; while :; do x=$x$x; done");
  await using node = await startNode({
    pods: [
      pod("finishes", { containers: [container("main", { command: script("echo well; exit 0") })] }),
      pod("fails", { containers: [container("main", { command: script("echo bad; exit 3") })] }),
      pod("eats", { containers: [container("main", { command: hungry, ...limit })] }),
      pod("victim"),
      pod("deaf", { containers: [container("main", { command: deaf })] }),
      pod("polite"),
      pod("changes"),
    ],
  });
  for (const name of ["victim", "deaf", "polite", "changes"]) await node.runningContainer(name);
  await node.killContainer((await node.runningContainer("victim")).id);
  node.remove("deaf");
  node.remove("polite");
  node.write(pod("changes", { containers: [container("main", { image: NONROOT })] }));
  // The kernel's word comes a moment after the runtime's, which on containerd 1.6 is now and then nothing but "Error".
  await node.until(
    async () => (await end(node, "eats")).cause === "MemoryLimit",
    "the kernel's log was read",
  );
  const causes: Record<string, string> = {};
  for (const name of ["finishes", "fails", "eats", "victim", "deaf", "polite", "changes"])
    causes[name] = (await end(node, name)).cause;
  expect(causes).toEqual({
    finishes: "Finished",
    fails: "ApplicationError",
    eats: "MemoryLimit",
    victim: "Outside",
    deaf: "GracePeriodExceeded",
    polite: "Removed",
    changes: "SpecChanged",
  });
  expect((await end(node, "changes")).evidence[0]?.text).toContain("spec.containers[main].image");
  expect((await end(node, "fails")).exitCode).toBe(3);
  const why = await node.cli("why", "fails");
  expect(why.stdout).toContain("main (start 1) failed by itself (exit code 3)");
  expect(why.stdout).toContain("| bad");
  const gone = await node.cli("why", `default/deaf-${node.name}`, "-o", "json");
  expect((JSON.parse(gone.stdout) as WhyAnswer).story.chapters.some((one) => one.termination?.forced)).toBe(
    true,
  );
  expect((await node.cli("describe", "pod", "fails")).stdout).toMatch(
    /Warning +BackOff .*restarting failed container/,
  );
});

test("the ledger goes on over kill -9 of the agent: nothing twice, nothing lost", async () => {
  await using node = await startNode({ pods: [pod("victim")] });
  await node.killContainer((await node.runningContainer("victim")).id);
  await end(node, "victim");
  const { id } = await node.runningContainer("victim", "main", 1);
  await node.kill9();
  await node.killContainer(id);
  await node.start();
  const newest = await end(node, "victim", 2);
  expect(newest).toMatchObject({ cause: "Outside", restartCount: 1, containerId: id });
  await node.runningContainer("victim", "main", 2);
  const all = await ends(node, "victim");
  expect(all.map(({ restartCount }) => restartCount)).toEqual([1, 0]);
  expect((await node.cli("why", "node")).stdout.match(/the agent started/g)).toHaveLength(2);
});

test("a child that the kernel kills while the container goes on is told, with its name and the limit", async () => {
  const careful = script(
    "trap 'exit 0' TERM; sleep 1; sh -c 'x=a; while :; do x=$x$x; done'; sleep 1000000 & wait",
  );
  const limit = { resources: { limits: { memory: "24Mi" } } };
  await using node = await startNode({
    pods: [pod("parent", { containers: [container("main", { command: careful, ...limit })] })],
  });
  await node.until(
    async () =>
      /a process of main was killed by the kernel at a memory limit; the container goes on\n +sh \(pid \d+\) held [\d.]+ MiB; the limit is 24\.0 MiB/.test(
        (await node.cli("why", `parent-${node.name}`)).stdout,
      ),
    "why tells of the child",
  );
  expect((await node.pod("parent"))?.status.containerStatuses?.[0]).toMatchObject({
    restartCount: 0,
    state: { running: expect.anything() },
  });
});
