// SPDX-License-Identifier: Apache-2.0

import { PodSeen } from "./fakes.ts";
import { afterEach, describe, expect, it } from "vitest";
import { staticPod, TestNode } from "./node-harness.ts";
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

describe("what does not work", () => {
  // kubelet: TestNetworkErrorsWithoutHostNetwork
  it("a network that is not ready delays new pods by name, and harms none that runs", async () => {
    await startNode();
    await node.want(staticPod("old"));
    node.readiness.network = "cni plugin not initialized";
    await node.want(staticPod("old"), staticPod("new"), staticPod("host", { hostNetwork: true }));
    expect(node.running()).toEqual(["host/app", "old/app"]);
    expect(node.problemOf("new")).toBe("network is not ready: cni plugin not initialized");
    const [app] = node.fake.containers().filter(({ podUid }) => podUid === "old");
    node.fake.kill(app?.id ?? "");
    await node.advance(2000);
    expect(node.running()).toEqual(["host/app", "old/app"]);
    node.readiness.network = undefined;
    node.agent.manager.readinessChanged();
    await node.settle();
    expect(node.running()).toEqual(["host/app", "new/app", "old/app"]);
  });

  it("a volume that hangs for one pod delays no other, nor its own end for ever", async () => {
    await startNode();
    node.beforeVolumes = ({ metadata }) =>
      metadata.name === "stuck" ? new Promise(() => {}) : Promise.resolve();
    await node.want(staticPod("stuck"), staticPod("web"));
    expect(node.running()).toEqual(["web/app"]);
    await node.want(staticPod("web"));
    await node.advance(200_000, 1000);
    expect(node.leftovers("stuck")).toEqual([]);
    expect(node.running()).toEqual(["web/app"]);
  });

  it("eight pods at most are made ready at once; one that hangs makes room after a second", async () => {
    await startNode();
    const begun: string[] = [];
    node.beforeVolumes = ({ metadata }) => {
      begun.push(metadata.name);
      return begun.length <= 8 ? new Promise(() => {}) : Promise.resolve();
    };
    await node.want(...Array.from({ length: 12 }, (_, index) => staticPod(`pod-${index}`)));
    expect(begun).toHaveLength(8);
    await node.advance(1000);
    expect(begun).toHaveLength(12);
    expect(node.running()).toHaveLength(4);
  });

  it("a runtime that hangs in one pod's calls delays no other", async () => {
    await startNode({
      fake: { faults: [{ match: { method: "RunPodSandbox", podName: "stuck" }, hang: true }] },
    });
    await node.want(staticPod("stuck"), staticPod("web"), staticPod("db"));
    await node.advance(1000);
    expect(node.running()).toEqual(["db/app", "web/app"]);
  });

  it("looks that never come are named, and the pod goes on when they do", async () => {
    await startNode();
    node.agent.cache.hung.add("web");
    await node.want(staticPod("web"), staticPod("db"));
    await node.advance(31_000, 1000);
    expect(node.running()).toEqual(["db/app"]);
    expect(node.problemOf("web")).toContain("no look at the pod for 30 s");
    node.agent.cache.hung.clear();
    await node.advance(20_000, 1000);
    expect(node.running()).toEqual(["db/app", "web/app"]);
  });

  it("a volume that cannot be made ready is tried again", async () => {
    await startNode();
    let failures = 1;
    node.beforeVolumes = async () => {
      if (failures-- > 0) throw new Error("hostPath type check failed: /data is not a directory");
    };
    await node.want(staticPod("web"));
    expect(node.problemOf("web")).toContain("hostPath type check failed");
    await node.advance(16_000);
    expect(node.running()).toEqual(["web/app"]);
    expect(node.problemOf("web")).toBeUndefined();
  });

  it.each([
    ["by a gap: every pod is looked after at once", true, 0],
    ["without a trace: the resync finds it", false, 95_000],
  ])("events lost %s", async (_name, gap, waitMs) => {
    await startNode();
    await node.want(staticPod("web"));
    const { bus, cache } = node.agent;
    cache.mute = true;
    node.fake.kill(node.fake.containers()[0]?.id ?? "");
    await cache.relist();
    await node.settle();
    expect(node.running()).toEqual([]);
    // More pods than the queue holds: what was lost is not known.
    if (gap)
      for (let pod = 0; pod < 5000; pod++) bus.publish(PodSeen, {}, { subject: { podUid: `other-${pod}` } });
    await node.settle();
    await node.advance(waitMs, 1000);
    expect(node.running()).toEqual(["web/app"]);
  });

  it("a pod that never settles is slowed down, and can still be ended", async () => {
    await startNode();
    await node.want(staticPod("web"), staticPod("calm"));
    // As if each new sandbox were found wrong: the network's mode is not what the pod wants.
    node.agent.cache.distort = (status) => ({
      ...status,
      sandboxes: status.sandboxes.map((sandbox) => ({ ...sandbox, hostNetwork: status.uid === "web" })),
    });
    node.agent.cache.requestRelist("web");
    await node.advance(60_000, 1000);
    const runs = node.fake.calls["RunPodSandbox"] ?? 0;
    expect(runs).toBeGreaterThan(10);
    expect(runs).toBeLessThan(200);
    await node.want(staticPod("calm"));
    await node.advance(2000);
    expect(node.leftovers("web")).toEqual([]);
    expect(node.running()).toEqual(["calm/app"]);
  });

  it("containerd dies and comes back", async () => {
    await startNode();
    await node.want(staticPod("web"));
    node.fake.crash();
    await node.want(staticPod("web"), staticPod("db"));
    await node.advance(10_000, 1000);
    expect(node.running()).toEqual(["web/app"]);
    node.fake.restart();
    node.agent.manager.readinessChanged();
    await node.advance(2000);
    expect(node.running()).toEqual(["db/app", "web/app"]);
    expect(node.fake.containers()).toHaveLength(2);
  });
});

describe("stop", () => {
  it("during syncs is bounded, touches no container and leaves no timer", async () => {
    await startNode({
      fake: { faults: [{ match: { method: "RunPodSandbox", podName: "stuck" }, hang: true }] },
    });
    await node.want(staticPod("web"), staticPod("stuck"));
    await node.advance(1000);
    await node.stop();
    expect(node.running()).toEqual(["web/app"]);
    await node.advance(700_000, 10_000);
    expect(node.running()).toEqual(["web/app"]);
    expect(node.clock.waiting).toBe(0);
  });

  it("during a termination leaves the rest to the next agent", async () => {
    await startNode({ programs: { app: { exitOnSigtermAfterMs: 3000 } } });
    await node.want(staticPod("web"));
    await node.want();
    await node.stop();
    await node.start();
    await node.advance(10_000);
    expect(node.leftovers("web")).toEqual([]);
  });
});
