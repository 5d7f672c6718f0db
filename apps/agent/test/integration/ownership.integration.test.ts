// SPDX-License-Identifier: Apache-2.0

// Holdfast owns what it made, and nothing else on the runtime.
import { spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { rmSync, writeFileSync } from "node:fs";
import { PodSandboxState } from "@holdfast/cri";
import { expect, test } from "vitest";
import { holdfastBin } from "./harness/agent-process.ts";
import { removeCgroups } from "./harness/cgroups.ts";
import { pod } from "./harness/manifests.ts";
import { startNode } from "./harness/test-node.ts";
import type { TestNode } from "./harness/test-node.ts";

/** A sandbox as a kubelet would have made it, by a client that knows nothing of Holdfast. */
async function foreignSandbox(node: TestNode, cgroupParent: string): Promise<string> {
  const uid = randomUUID();
  const metadata = { name: `foreign-${uid.slice(0, 8)}`, namespace: "default", uid, attempt: 0 };
  const labels = {
    "io.kubernetes.pod.name": metadata.name,
    "io.kubernetes.pod.namespace": metadata.namespace,
    "io.kubernetes.pod.uid": uid,
  };
  const config = {
    metadata,
    labels,
    logDirectory: `${node.places.podLogs}-foreign`,
    linux: { cgroupParent },
  };
  const { podSandboxId } = await node.client.runPodSandbox({ config });
  return podSandboxId;
}

async function state(node: TestNode, podSandboxId: string): Promise<PodSandboxState | undefined> {
  return (await node.client.podSandboxStatus({ podSandboxId })).status?.state;
}

test("two agents on one containerd do not touch each other's pods", async () => {
  await using one = await startNode({ pods: [pod("same"), pod("mine")] });
  await using two = await startNode({ pods: [pod("same"), pod("theirs")] });
  await one.runningContainer("mine");
  await two.runningContainer("theirs");
  const [left, right] = [await one.runningContainer("same"), await two.runningContainer("same")];
  expect(left.id).not.toBe(right.id);

  for (const name of ["same", "mine"]) one.remove(name);
  await one.assertNothingLeft();
  expect((await two.runningContainer("same")).id).toBe(right.id);
  expect((await two.running()).length).toBe(2);
  expect((await one.podList()).items).toEqual([]);
});

test("sandboxes of other clients are not touched, also below the agent's own cgroup", async () => {
  await using node = await startNode({ pods: [pod("own")] });
  await node.runningContainer("own");
  const elsewhere = `/hf-foreign-${node.name}`;
  const ids: string[] = [];
  // Before the node's own end: it removes its cgroups, and can only when nobody lives in them.
  await using foreign = new AsyncDisposableStack();
  foreign.defer(async () => {
    for (const podSandboxId of ids) {
      await node.client.stopPodSandbox({ podSandboxId });
      await node.client.removePodSandbox({ podSandboxId });
    }
    removeCgroups(elsewhere);
  });
  ids.push(await foreignSandbox(node, elsewhere));
  ids.push(await foreignSandbox(node, `${node.places.cgroupRoot}/kubepods/besteffort/pod${randomUUID()}`));
  node.remove("own");
  await node.until(async () => (await node.sandboxes()).length === 0, "the own pod is gone");
  // A new life cleans up what is its own, and only that.
  await node.restart();
  node.write(pod("next"));
  await node.runningContainer("next");
  for (const id of ids) expect(await state(node, id)).toBe(PodSandboxState.SANDBOX_READY);
  expect((await node.podList()).items.map(({ metadata }) => metadata.name)).toEqual([`next-${node.name}`]);
});

test("a second agent on the same state folder is refused, and says why", async () => {
  await using node = await startNode({ pods: [pod("only")] });
  const before = await node.runningContainer("only");
  const second = spawnSync(holdfastBin, ["run", "--config", node.places.config], {
    encoding: "utf8",
    timeout: 30_000,
  });
  expect(second.status).toBe(1);
  const said = `${second.stdout}${second.stderr}`;
  expect(said).toContain(node.places.state);
  expect(said).toMatch(/another|in use|locked/i);
  expect(await node.isReady()).toBe(true);
  expect((await node.runningContainer("only")).id).toBe(before.id);
});

test("an agent that lost its state folder's database still knows its pods", async () => {
  await using node = await startNode({ pods: [pod("known")] });
  const before = await node.runningContainer("known");
  await node.kill9();
  for (const suffix of ["", "-wal", "-shm"])
    rmSync(`${node.places.state}/state.db${suffix}`, { force: true });
  writeFileSync(
    `${node.places.state}/state.db`,
    "this is no database, and long enough to be looked at as one".repeat(100),
  );
  await node.start();
  await node.until(
    async () => (await node.pod("known"))?.status.phase === "Running",
    "it is shown as running",
  );
  expect((await node.runningContainer("known")).id).toBe(before.id);
  node.remove("known");
  await node.assertNothingLeft();
});
