// SPDX-License-Identifier: Apache-2.0

// What keeps the disk from filling up, on a real runtime.
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { container, pod, script } from "./harness/manifests.ts";
import { startNode } from "./harness/test-node.ts";

const MAX_BYTES = 64 * 1024;

test("a chatty container's log is rotated, bounded, and read on by logs", async () => {
  const chat = script(
    'i=0; while :; do i=$((i+1)); echo "line $i $(printf %0200d 0)"; [ $((i % 50)) = 0 ] && sleep 0.1; done',
  );
  await using node = await startNode({
    kubelet: { containerLogMaxSize: "64Ki", containerLogMaxFiles: 3, containerLogMonitorInterval: "3s" },
    pods: [pod("chatty", { containers: [container("main", { command: chat })] })],
  });
  await node.runningContainer("chatty");
  const uid = (await node.pod("chatty"))?.metadata.uid;
  const folder = join(node.places.podLogs, `default_chatty-${node.name}_${uid}`, "main");
  const files = (): string[] => readdirSync(folder).filter((name) => name.startsWith("0.log"));
  // More rotations than files are kept.
  const seen = new Set<string>();
  await node.until(async () => {
    for (const name of files()) seen.add(name);
    return seen.size >= 5;
  }, "the log was rotated again and again");
  await node.until(async () => files().length <= 3, "old files are gone");
  // The writer goes on into a file that began anew.
  // Between its renaming and its reopening there is none.
  const size = statSync(join(folder, "0.log"), { throwIfNoEntry: false })?.size ?? 0;
  expect(size).toBeLessThan(100 * MAX_BYTES);
  const tail = await node.cli("logs", `chatty-${node.name}`, "--tail", "1");
  expect(tail.stdout).toMatch(/^line \d+ 0+$/m);
  expect((await node.pod("chatty"))?.status.containerStatuses?.[0]?.restartCount).toBe(0);
  node.remove("chatty");
  await node.assertNothingLeft();
});

test("logs of a crashing container outlive their containers, as many as retention keeps", async () => {
  const crash = container("main", { command: script('echo "attempt speaks"; exit 1') });
  await using node = await startNode({
    kubelet: { crashLoopBackOff: { maxContainerRestartPeriod: "1s" } },
    agent: { podLogRetention: { attempts: 2 } },
    pods: [pod("crashing", { containers: [crash] })],
  });
  const folder = async (): Promise<string> => {
    const uid = (await node.pod("crashing"))?.metadata.uid;
    return join(node.places.podLogs, `default_crashing-${node.name}_${uid}`, "main");
  };
  const logs = async (): Promise<string[]> => readdirSync(await folder()).sort();
  await node.until(async () => (await logs()).length >= 6, "six attempts have written");
  await node.until(
    async () => (await node.containers("crashing")).length <= 2,
    "older dead containers are gone",
  );
  expect(await logs()).toEqual(expect.arrayContaining(["0.log", "1.log", "2.log", "3.log"]));
  // Retention looks at once when the agent starts.
  await node.restart();
  await node.until(async () => !(await logs()).includes("0.log"), "the oldest are removed");
  await node.until(async () => {
    const present = (await node.containers("crashing")).map(({ metadata }) => `${metadata?.attempt}.log`);
    return (await logs()).filter((name) => !present.includes(name)).length >= 1;
  }, "the newest without a container stay");
  node.remove("crashing");
  await node.assertNothingLeft();
});
