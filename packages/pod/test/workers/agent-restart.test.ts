// SPDX-License-Identifier: Apache-2.0

import { afterEach, describe, expect, it } from "vitest";
import { LOGS_DIR, PODS_DIR, staticPod, TestNode, withHostPort } from "./node-harness.ts";
import type { TestNodeOptions } from "./node-harness.ts";

let node: TestNode;
async function startNode(options: TestNodeOptions = {}): Promise<TestNode> {
  node = new TestNode(options);
  await node.start();
  return node;
}
afterEach(() => {
  const [violation] = node.fake.violations;
  if (violation !== undefined) throw new Error(violation.text);
});

describe("an agent's restart", () => {
  const mutations = (): Record<string, number> =>
    Object.fromEntries(
      [
        "RunPodSandbox",
        "StopPodSandbox",
        "RemovePodSandbox",
        "CreateContainer",
        "StartContainer",
        "StopContainer",
        "RemoveContainer",
      ].map((method) => [method, node.fake.calls[method] ?? 0]),
    );

  it("is a non-event: nothing is changed on the runtime", async () => {
    await startNode();
    await node.want(staticPod("web"), staticPod("db"));
    await node.stop();
    const before = mutations();
    const writes = node.disk.writes;
    await node.start();
    await node.advance(100_000, 5000);
    expect(mutations()).toEqual(before);
    expect(node.disk.writes).toBe(writes);
    expect(node.running()).toEqual(["db/app", "web/app"]);
    const added = node.events.filter(({ type }) => type === "pod/PodAdded").slice(-2);
    expect(node.agent.manager.health().failures).toEqual([]);
    expect(added.map(({ data }) => data)).toEqual([
      { source: "file", adopted: true },
      { source: "file", adopted: true },
    ]);
  });

  it("does not run a completed job again, also when its containers are gone", async () => {
    await startNode({ programs: { app: { exitAfterMs: 1000 } } });
    await node.want(staticPod("job", { restartPolicy: "OnFailure" }));
    await node.advance(3000);
    await node.stop();
    const [sandbox] = node.fake.sandboxes();
    await node.fake.removePodSandbox({ podSandboxId: sandbox?.id ?? "" });
    const before = mutations();
    await node.start();
    await node.advance(100_000, 5000);
    expect(mutations()).toEqual(before);
    expect(node.status.get("job")?.phase).toBe("Succeeded");
    expect(node.story("job").filter((type) => type === "PodTerminating")).toHaveLength(1);
  });

  it("ends what was removed while it was down by the stored manifest: grace and preStop", async () => {
    await startNode({ programs: { app: { exitOnSigtermAfterMs: 8000 } } });
    await node.want(
      staticPod("web", {
        terminationGracePeriodSeconds: 10,
        containers: [
          {
            name: "app",
            image: "holdfast.local/busybox:1",
            imagePullPolicy: "IfNotPresent",
            lifecycle: { preStop: { exec: { command: ["bye"] } } },
          },
        ],
      }),
      staticPod("db"),
    );
    await node.stop();
    node.wanted = [staticPod("db")];
    await node.start();
    await node.advance(7000);
    expect(node.running()).toEqual(["db/app", "web/app"]);
    expect(node.fake.calls["ExecSync"]).toBe(1);
    await node.advance(3000);
    expect(node.leftovers("web")).toEqual([]);
    expect(node.running()).toEqual(["db/app"]);
  });

  it("a changed manifest while it was down: the old pod ends first", async () => {
    await startNode({ programs: { app: { exitOnSigtermAfterMs: 4000 } } });
    await node.want(staticPod("web", withHostPort(80), { uid: "old" }));
    await node.stop();
    node.wanted = [staticPod("web", withHostPort(80), { uid: "new" })];
    await node.start();
    await node.advance(3000);
    expect(node.running()).toEqual(["old/app"]);
    await node.advance(3000);
    expect(node.running()).toEqual(["new/app"]);
    expect(node.leftovers("old")).toEqual([]);
  });

  // kubelet: HandlePodCleanups "missing pod is requested for termination with short grace period": here with the grace of its annotations
  it("ends a pod of ours without a folder by its annotations", async () => {
    await startNode({ programs: { app: { ignoreSigterm: true } } });
    await node.want(staticPod("web", { terminationGracePeriodSeconds: 7 }));
    await node.stop();
    node.disk.files.clear();
    node.disk.folders.clear();
    node.wanted = [];
    await node.start();
    await node.advance(6000);
    expect(node.running()).toEqual(["web/app"]);
    await node.advance(3000);
    expect(node.running()).toEqual([]);
    expect(node.fake.sandboxes()).toEqual([]);
  });

  it("removes nothing before every source has listed, and holds the name meanwhile", async () => {
    await startNode();
    await node.want(staticPod("web", {}, { uid: "old" }));
    await node.stop();
    node.wanted = [staticPod("web", {}, { uid: "new" })];
    const agent = await node.start({ deliver: false });
    agent.config.update({ source: "file", pods: node.wanted, ready: false, unknown: [] });
    await node.advance(60_000, 1000);
    expect(node.running()).toEqual(["old/app"]);
    expect(node.problemOf("old")).toBe("no source has listed this pod yet");
    node.deliver();
    await node.advance(5000);
    expect(node.running()).toEqual(["new/app"]);
    expect(node.leftovers("old")).toEqual([]);
  });

  it("a pod that may belong to a file that cannot be read is no orphan", async () => {
    await startNode();
    await node.want(staticPod("web"));
    await node.stop();
    node.wanted = [];
    await node.start({ deliver: false });
    node.deliver(["/etc/holdfast/manifests/web.yaml"]);
    await node.advance(130_000, 5000);
    expect(node.running()).toEqual(["web/app"]);
    node.wanted = [staticPod("web")];
    node.deliver();
    await node.advance(5000);
    expect(node.fake.containers()).toHaveLength(1);
    expect(node.problemOf("web")).toBeUndefined();
  });

  it("cleans up what an agent left half removed", async () => {
    await startNode();
    await node.want(staticPod("web"));
    await node.want();
    await node.advance(1000);
    node.disk.folders.add(`${PODS_DIR}/half`);
    node.disk.files.set(`${LOGS_DIR}/default_half_half/app/0.log`, "");
    node.disk.files.set(`${LOGS_DIR}/default_other_foreign/app/0.log`, "not ours");
    node.cgroups.add("half").add("foreign");
    await node.stop();
    await node.start();
    await node.advance(2000);
    expect(node.leftovers("half")).toEqual([]);
    expect([...node.cgroups]).toEqual(["foreign"]);
    expect([...node.disk.files.keys()]).toEqual([`${LOGS_DIR}/default_other_foreign/app/0.log`]);
  });

  it("another agent's pods on the same runtime are never touched", async () => {
    await startNode();
    await node.fake.runPodSandbox({
      config: {
        metadata: { name: "foreign", namespace: "default", uid: "foreign", attempt: 0 },
        labels: {
          "io.kubernetes.pod.uid": "foreign",
          "holdfast.agent/node": "node-1",
          "holdfast.agent/instance": "other",
        },
      },
    });
    await node.want(staticPod("web"));
    await node.want();
    await node.advance(130_000, 5000);
    expect(node.fake.sandboxes().map(({ podUid }) => podUid)).toEqual(["foreign"]);
    expect(node.agent.manager.pods()).toEqual([]);
  });

  it("waits for a runtime that does not list", async () => {
    node = new TestNode();
    node.fake.crash();
    node.wanted = [staticPod("web")];
    await node.start();
    await node.advance(5000);
    expect(node.agent.manager.health().failures[0]).toContain("housekeeping failed");
    node.fake.restart();
    await node.advance(3000);
    expect(node.running()).toEqual(["web/app"]);
    expect(node.agent.manager.health().failures).toEqual([]);
  });

  it.each([1000, 4000, 12_000])(
    "in the midst of a start that takes %i ms more makes no second container",
    async (left) => {
      await startNode();
      node.fake.addFault({
        match: { method: "StartContainer", times: 1 },
        latencyMs: 15_000,
        ignoreCancel: true,
      });
      await node.want(staticPod("web"));
      await node.advance(15_000 - left);
      await node.stop({ politely: false });
      // As containerd does while it starts a container.
      node.fake.addFault({
        match: { method: "RemoveContainer", times: 5 },
        error: { code: "CRI_UNKNOWN" },
      });
      await node.start();
      for (let step = 0; step < 80; step++) {
        await node.advance(250);
        expect(node.running().length).toBeLessThanOrEqual(1);
      }
      expect(node.running()).toEqual(["web/app"]);
      // Either it was taken over, or it was removed before it ran.
      expect(node.fake.containers()).toHaveLength(1);
      expect(node.status.get("web")?.phase).toBe("Running");
    },
  );
});
