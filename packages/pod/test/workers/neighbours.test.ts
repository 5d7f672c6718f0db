// SPDX-License-Identifier: Apache-2.0

import { afterEach, describe, expect, it } from "vitest";
import { PODS_DIR, staticPod, TestNode, withHostPort } from "./node-harness.ts";
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

describe("namesakes", () => {
  // kubelet: TestStaticPodExclusion
  it("a changed manifest: the old pod is wholly gone before the new one starts", async () => {
    await startNode({ programs: { app: { exitOnSigtermAfterMs: 5000 } } });
    await node.want(staticPod("web", {}, { uid: "old" }));
    await node.want(staticPod("web", {}, { uid: "new" }));
    expect(node.stateOf("new")).toBe("waiting");
    expect(node.problemOf("new")).toContain("old");
    expect(node.running()).toEqual(["old/app"]);
    await node.advance(4000);
    expect(node.running()).toEqual(["old/app"]);
    await node.advance(2000);
    expect(node.leftovers("old")).toEqual([]);
    expect(node.running()).toEqual(["new/app"]);
    expect(node.agent.manager.getPod("default/web")?.pod.metadata.uid).toBe("new");
  });

  it("a file edited twice quickly: the one between never starts", async () => {
    await startNode({ programs: { app: { exitOnSigtermAfterMs: 5000 } } });
    await node.want(staticPod("web", {}, { uid: "v1" }));
    await node.want(staticPod("web", {}, { uid: "v2" }));
    await node.want(staticPod("web", {}, { uid: "v3" }));
    await node.advance(8000);
    expect(node.running()).toEqual(["v3/app"]);
    expect(node.story("v2")).not.toContain("SandboxCreating");
    for (const uid of ["v1", "v2"]) expect(node.leftovers(uid)).toEqual([]);
  });

  // kubelet: HandlePodCleanups "pod that is terminating is recreated by config with the same UID"
  it("the same UID comes back while it ends: it is restarted when it is gone", async () => {
    await startNode({ programs: { app: { exitOnSigtermAfterMs: 5000 } } });
    await node.want(staticPod("web"));
    const [before] = node.fake.containers();
    await node.want();
    await node.want(staticPod("web"));
    expect(node.stateOf("web")).toBe("terminating");
    await node.advance(8000);
    expect(node.running()).toEqual(["web/app"]);
    expect(node.fake.containers().map(({ id }) => id)).not.toContain(before?.id);
  });

  it("a removal that fails does not hold the name for ever", async () => {
    await startNode();
    await node.want(staticPod("web", {}, { uid: "old" }));
    node.disk.stuck.add(`${PODS_DIR}/old`);
    await node.want(staticPod("web", {}, { uid: "new" }));
    await node.advance(2000);
    expect(node.running()).toEqual(["new/app"]);
    expect(node.problemOf("old")).toContain("busy");
    node.disk.stuck.clear();
    await node.advance(16_000);
    expect(node.leftovers("old")).toEqual([]);
  });

  it("pods of the API are not serialised by name", async () => {
    await startNode({ sources: ["api"] });
    const deliver = async (...uids: string[]): Promise<void> => {
      const pods = uids.map((uid) => staticPod(uid === "a" ? "web" : "db", {}, { uid, source: "api" }));
      node.agent.config.update({ source: "api", pods, ready: true, unknown: [] });
      await node.settle();
    };
    await deliver("a", "b");
    expect(node.running()).toEqual(["a/app", "b/app"]);
  });
});

describe("host ports", () => {
  it("are waited for by name, and taken over when they are free", async () => {
    await startNode({ programs: { app: { exitOnSigtermAfterMs: 2000 } } });
    await node.want(
      staticPod("a", withHostPort(80)),
      staticPod("b", withHostPort(80)),
      staticPod("c", withHostPort(81)),
    );
    expect(node.running()).toEqual(["a/app", "c/app"]);
    expect(node.problemOf("b")).toBe("host port 80/TCP is held by pod default/a");
    expect(node.status.get("b")).toMatchObject({ phase: "Pending", reason: "HostPortConflict" });
    await node.want(staticPod("b", withHostPort(80)), staticPod("c", withHostPort(81)));
    await node.advance(3000);
    expect(node.running()).toEqual(["b/app", "c/app"]);
    expect(node.problemOf("b")).toBeUndefined();
  });

  it("of what runs already are kept over an agent's restart", async () => {
    await startNode();
    await node.want(staticPod("b", withHostPort(80)));
    await node.stop();
    node.wanted = [staticPod("a", withHostPort(80)), ...node.wanted];
    await node.start();
    expect(node.running()).toEqual(["b/app"]);
    expect(node.problemOf("a")).toContain("default/b");
  });

  it("maxPods makes the rest wait", async () => {
    await startNode({ manager: { maxPods: 2 } });
    await node.want(staticPod("a"), staticPod("b"), staticPod("c"));
    expect(node.running()).toEqual(["a/app", "b/app"]);
    expect(node.problemOf("c")).toContain("maxPods");
    await node.want(staticPod("b"), staticPod("c"));
    await node.advance(1000);
    expect(node.running()).toEqual(["b/app", "c/app"]);
  });
});
