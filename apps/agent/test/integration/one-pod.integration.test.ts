// SPDX-License-Identifier: Apache-2.0

// One pod on a real containerd: what anybody who looks at the runtime (crictl, a log collector) sees is what the kubelet would have made.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { PodSandboxState } from "@holdfast/cri";
import { expect, test } from "vitest";
import { container, forever, pod } from "./harness/manifests.ts";
import { startNode } from "./harness/test-node.ts";

test("a pod runs, and its container is restarted when its main process is killed", async () => {
  await using node = await startNode({ pods: [pod("one")] });
  const first = await node.runningContainer("one");
  expect(first.metadata).toMatchObject({ name: "main", attempt: 0 });

  await node.killContainer(first.id);
  const second = await node.runningContainer("one", "main", 1);
  expect(second.metadata).toMatchObject({ name: "main", attempt: 1 });
  expect(second.podSandboxId).toBe(first.podSandboxId);
  await node.until(async () => {
    const status = (await node.pod("one"))?.status.containerStatuses?.[0];
    return (
      status?.restartCount === 1 && status.lastState?.terminated?.exitCode === 137 && status.state?.running
    );
  }, "the status tells of the restart");
  expect((await node.sandboxes("one")).length).toBe(1);

  node.remove("one");
  await node.assertNothingLeft();
});

test("labels, annotations, names and log paths are the kubelet's", async () => {
  const spec = {
    containers: [container("main", { command: forever("echo hello"), ports: [{ containerPort: 80 }] })],
  };
  await using node = await startNode({
    pods: [pod("facts", spec, { labels: { app: "x" }, annotations: { note: "y" } })],
  });
  const running = await node.runningContainer("facts");
  const [sandbox] = await node.sandboxes("facts");
  const uid = sandbox?.metadata?.uid ?? "";
  const name = `facts-${node.name}`;
  // kubelet: a static pod's name carries the node's; its UID is a hash.
  expect(sandbox).toMatchObject({
    metadata: { name, namespace: "default", attempt: 0 },
    state: PodSandboxState.SANDBOX_READY,
    labels: {
      app: "x",
      "io.kubernetes.pod.name": name,
      "io.kubernetes.pod.namespace": "default",
      "io.kubernetes.pod.uid": uid,
      "holdfast.agent/node": node.name,
    },
    annotations: { note: "y", "kubernetes.io/config.source": "file" },
  });
  expect(uid).toMatch(/^[0-9a-f]{32}$|^[0-9a-f-]{36}$/);
  expect(sandbox?.annotations["kubernetes.io/config.hash"]).toBe(uid);
  expect(sandbox?.annotations["kubernetes.io/config.seen"]).toMatch(/^\d{4}-\d\d-\d\dT/);

  expect(running.labels).toMatchObject({
    "io.kubernetes.container.name": "main",
    "io.kubernetes.pod.name": name,
    "io.kubernetes.pod.namespace": "default",
    "io.kubernetes.pod.uid": uid,
  });
  expect(running.annotations).toMatchObject({
    "io.kubernetes.container.restartCount": "0",
    "io.kubernetes.container.terminationMessagePath": "/dev/termination-log",
    "io.kubernetes.container.terminationMessagePolicy": "File",
    "io.kubernetes.pod.terminationGracePeriod": "1",
  });
  expect(running.annotations["io.kubernetes.container.hash"]).toMatch(/^[0-9a-f]+$/);
  expect(JSON.parse(running.annotations["io.kubernetes.container.ports"] ?? "")).toEqual([
    { containerPort: 80, protocol: "TCP" },
  ]);

  const { status } = await node.containerStatus(running.id);
  expect(status.logPath).toBe(join(node.places.podLogs, `default_${name}_${uid}`, "main", "0.log"));
  await node.until(
    () => existsSync(status.logPath) && readFileSync(status.logPath, "utf8").includes("hello"),
    "it logs",
  );
});

test("the attempt's log has the attempt's number, and the one before is kept", async () => {
  await using node = await startNode({
    pods: [pod("logs", { containers: [container("main", { command: forever("echo up") })] })],
  });
  const first = await node.runningContainer("logs");
  await node.killContainer(first.id);
  const second = await node.runningContainer("logs", "main", 1);
  const [before, now] = [await node.containerStatus(first.id), await node.containerStatus(second.id)];
  expect(before.status.logPath).toMatch(/\/main\/0\.log$/);
  expect(now.status.logPath).toMatch(/\/main\/1\.log$/);
  expect(existsSync(before.status.logPath)).toBe(true);
});
