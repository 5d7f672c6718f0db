// SPDX-License-Identifier: Apache-2.0

import { afterEach, describe, expect, it } from "vitest";
import { PODS_DIR, staticPod, TestNode } from "./node-harness.ts";
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

describe("a pod's life", () => {
  it("starts, runs, and leaves nothing when its manifest goes", async () => {
    await startNode();
    await node.want(staticPod("web"));
    expect(node.running()).toEqual(["web/app"]);
    expect(node.status.get("web")?.phase).toBe("Running");
    expect([...node.cgroups]).toEqual(["web"]);
    expect(node.disk.files.has(`${PODS_DIR}/web/manifest.json`)).toBe(true);
    await node.want();
    await node.advance(1000);
    expect(node.leftovers("web")).toEqual([]);
    expect(node.agent.manager.pods()).toEqual([]);
    expect(node.story("web").filter((type) => type.startsWith("Pod"))).toEqual([
      "PodAdded",
      "PodRemoved",
      "PodTerminating",
      "PodTerminated",
    ]);
  });

  it("restarts a container that exits, on the event alone", async () => {
    await startNode();
    await node.want(staticPod("web"));
    const [first] = node.fake.containers();
    node.fake.kill(first?.id ?? "");
    // The look is what an event stream would bring; no time passes.
    await node.agent.cache.relist();
    await node.settle();
    expect(node.running()).toEqual(["web/app"]);
    expect(node.fake.containers()).toHaveLength(2);
    await node.want();
    await node.advance(1000);
    expect(node.leftovers("web")).toEqual([]);
  });

  it("carries causes from the event to what follows", async () => {
    await startNode();
    await node.want(staticPod("web"));
    const added = node.events.find(({ type }) => type === "pod/PodAdded");
    const creating = node.events.find(({ type }) => type === "pod/SandboxCreating");
    expect(creating?.causes).toContain(added?.seq);
    await node.want();
    await node.advance(1000);
    const removed = node.events.find(({ type }) => type === "pod/PodRemoved");
    const terminating = node.events.find(({ type }) => type === "pod/PodTerminating");
    const killing = node.events.find(({ type }) => type === "pod/ContainerKilling");
    expect(terminating?.causes).toContain(removed?.seq);
    expect(killing?.causes).toContain(terminating?.seq);
  });

  it("retry ends the wait of a crashing container, and is its cause", async () => {
    await startNode({ programs: { app: { exitAfterMs: 10, exitCode: 3 } } });
    await node.want(staticPod("web"));
    await node.advance(3000);
    const { manager } = node.agent;
    const [wait] = manager.pods()[0]?.waits ?? [];
    expect(wait).toMatchObject({ container: "app", reason: "CrashLoopBackOff" });
    expect(wait?.nextAttemptAt).toBeGreaterThan(node.clock.monotonic() + 5000);
    const before = node.fake.containers().length;
    expect(manager.retry("web", "ann", "other")).toBeUndefined();
    node.programs["app"] = {};
    expect(manager.retry("web", "ann")).toEqual(["app"]);
    await node.settle();
    expect(node.running()).toEqual(["web/app"]);
    expect(node.fake.containers().length).toBeLessThanOrEqual(before + 1);
    expect(manager.pods()[0]?.waits).toEqual([]);
    expect(manager.retry("web", "ann")).toBeUndefined();
    const retried = node.events.find(({ type }) => type === "pod/PodRetried");
    expect(retried?.data).toMatchObject({ by: "ann", containers: ["app"] });
    const creating = node.events.findLast(({ type }) => type === "pod/ContainerCreating");
    expect(creating?.causes).toContain(retried?.seq);
    await node.want();
    await node.advance(1000);
  });

  it("keeps a job that is done: containers for its logs, nothing that costs", async () => {
    await startNode({ programs: { app: { exitAfterMs: 5000 } } });
    await node.want(staticPod("job", { restartPolicy: "Never" }));
    await node.advance(7000);
    expect(node.status.get("job")?.phase).toBe("Succeeded");
    expect(node.stateOf("job")).toBe("terminated");
    expect(node.fake.containers()).toHaveLength(1);
    expect(node.fake.sandboxes().map(({ ready }) => ready)).toEqual([false]);
    expect([...node.cgroups, ...node.volumes]).toEqual([]);
    await node.advance(300_000, 5000);
    expect(node.fake.containers()).toHaveLength(1);
    await node.want();
    await node.advance(1000);
    expect(node.leftovers("job")).toEqual([]);
  });

  it("is removed while it is still being put away after its end", async () => {
    await startNode({ programs: { app: { exitAfterMs: 1000 } } });
    let release = (): void => {};
    node.beforeTearDown = () => new Promise((resolve) => (release = resolve));
    await node.want(staticPod("job", { restartPolicy: "Never" }));
    await node.advance(3000);
    expect(node.stateOf("job")).toBe("terminated");
    node.beforeTearDown = async () => {};
    await node.want();
    release();
    await node.settle();
    expect(node.leftovers("job")).toEqual([]);
    expect(node.agent.manager.pods()).toEqual([]);
  });

  it("takes up a changed spec of the same UID", async () => {
    await startNode();
    await node.want(staticPod("web"));
    const image = { image: "holdfast.local/busybox:1", imagePullPolicy: "IfNotPresent" as const };
    await node.want(
      staticPod("web", {
        containers: [
          { name: "app", ...image },
          { name: "second", ...image },
        ],
      }),
    );
    expect(node.story("web")).toContain("PodUpdated");
    expect(node.running()).toEqual(["web/app", "web/second"]);
    expect(node.disk.files.get(`${PODS_DIR}/web/manifest.json`)).toContain("second");
  });

  // kubelet: TestTerminalPhaseTransition
  it("moves on by itself when the phase is terminal", async () => {
    await startNode({ programs: { app: { exitAfterMs: 1000, exitCode: 3 } } });
    await node.want(staticPod("job", { restartPolicy: "Never" }));
    await node.advance(3000);
    expect(node.status.get("job")?.phase).toBe("Failed");
    expect(node.stateOf("job")).toBe("terminated");
  });

  it("ends a pod at its deadline, whatever the clock on the wall does", async () => {
    await startNode();
    await node.want(staticPod("slow", { activeDeadlineSeconds: 60 }));
    node.clock.stepWall(3_600_000);
    await node.advance(30_000, 1000);
    expect(node.running()).toEqual(["slow/app"]);
    node.clock.stepWall(-7_200_000);
    await node.advance(29_000, 1000);
    expect(node.running()).toEqual(["slow/app"]);
    await node.advance(3000);
    expect(node.running()).toEqual([]);
    expect(node.status.get("slow")).toMatchObject({ phase: "Failed", reason: "DeadlineExceeded" });
  });

  it("costs nothing when idle: no call but housekeeping, and few timers", async () => {
    await startNode();
    await node.want(...Array.from({ length: 10 }, (_, index) => staticPod(`p${index}`)));
    await node.advance(5000);
    const creates = node.fake.calls["CreateContainer"];
    const updates = node.status.updates;
    await node.advance(59_000, 1000);
    expect(node.fake.calls["CreateContainer"]).toBe(creates);
    // One resync each at the most.
    expect(node.status.updates - updates).toBeLessThanOrEqual(10);
    // The due queue, housekeeping and the relist of the test.
    expect(node.clock.waiting).toBe(3);
  });
});

describe("the end of a pod", () => {
  it("gives the pod its grace and preStop", async () => {
    await startNode({ programs: { app: { ignoreSigterm: true } } });
    await node.want(staticPod("web", { terminationGracePeriodSeconds: 20 }));
    await node.want();
    await node.advance(19_000);
    expect(node.running()).toEqual(["web/app"]);
    await node.advance(2000);
    expect(node.leftovers("web")).toEqual([]);
  });

  // kubelet: TestUpdatePod "a running pod is terminated when ...", sync context cancelled
  it("is asked for while the pod starts", async () => {
    await startNode({ fake: { latencyMs: { CreateContainer: 3000 } } });
    await node.want(staticPod("web"));
    await node.advance(1000);
    await node.want();
    await node.advance(30_000);
    expect(node.leftovers("web")).toEqual([]);
    expect(node.fake.calls["StartContainer"] ?? 0).toBe(0);
  });

  it("is asked for while a sandbox hangs in creation", async () => {
    await startNode({ fake: { faults: [{ match: { method: "RunPodSandbox", nth: 1 }, hang: true }] } });
    await node.want(staticPod("web"));
    await node.advance(5000);
    await node.want();
    await node.advance(60_000);
    expect(node.leftovers("web")).toEqual([]);
  });

  it("of a create that happened after all is cleaned up too", async () => {
    await startNode({
      fake: {
        faults: [{ match: { method: "RunPodSandbox", nth: 1 }, latencyMs: 90_000, ignoreCancel: true }],
      },
    });
    await node.want(staticPod("web"));
    await node.advance(2000);
    await node.want();
    await node.advance(60_000, 1000);
    await node.advance(200_000, 5000);
    expect(node.leftovers("web")).toEqual([]);
  });

  // kubelet: TestUpdatePodDoesNotForgetSyncPodKill
  it("is not taken back by later updates", async () => {
    await startNode({ programs: { app: { ignoreSigterm: true } } });
    await node.want(staticPod("web"));
    await node.want();
    node.agent.manager.wake("web");
    await node.settle();
    expect(node.stateOf("web")).toBe("terminating");
    await node.advance(35_000, 1000);
    expect(node.leftovers("web")).toEqual([]);
  });

  // kubelet: TestUpdatePod "... grace period is shortened"
  it("comes sooner when the grace is shortened", async () => {
    await startNode({ programs: { app: { ignoreSigterm: true } } });
    await node.want(staticPod("web", { terminationGracePeriodSeconds: 600 }));
    await node.want();
    await node.advance(5000);
    const killed = node.agent.manager.killPodNow("web", {
      reason: "Evicted",
      message: "the node is low on memory",
      deleted: false,
      graceSeconds: 3,
    });
    await node.advance(5000);
    await killed;
    expect(node.running()).toEqual([]);
    await node.advance(1000);
    expect(node.leftovers("web")).toEqual([]);
  });

  // kubelet: ShouldPodContentBeRemoved
  it.each(["Evicted", "Preempting"])(
    "leaves nothing but the status of a pod that was %s, also over a restart of the agent",
    async (reason) => {
      await startNode();
      await node.want(staticPod("web"));
      // Its folder, which is small, goes with its manifest.
      const leftovers = (): string[] =>
        node.leftovers("web").filter((path) => !path.startsWith("/state/pods/web"));
      const logs = (): boolean => [...node.disk.folders].some((path) => path.includes("/default_web_web"));
      expect(logs()).toBe(true);
      await node.agent.manager.killPodNow("web", {
        reason: "Evicted",
        message: "the node is low on memory",
        deleted: false,
        failed: { reason, message: "the node is low on memory" },
      });
      await node.settle();
      expect(leftovers()).toEqual(["status"]);
      expect(logs()).toBe(false);
      await node.stop();
      await node.start();
      await node.advance(120_000, 10_000);
      expect(node.status.get("web")?.phase).toBe("Failed");
      expect(leftovers()).toEqual(["status"]);
    },
  );

  // kubelet: TestKillPodNowFunc
  it("can be waited for, in vain for a while only", async () => {
    await startNode({ programs: { app: { ignoreSigterm: true, ignoreSigkill: true } } });
    await node.want(staticPod("web"));
    const killed = node.agent.manager.killPodNow("web", {
      reason: "Evicted",
      message: "",
      deleted: false,
      graceSeconds: 2,
    });
    const failure = killed.catch((error: unknown) => error);
    await node.advance(12_000);
    expect(await failure).toMatchObject({ kind: "deadline" });
    await expect(
      node.agent.manager.killPodNow("nobody", { reason: "Evicted", message: "", deleted: false }),
    ).resolves.toBeUndefined();
  });

  it("is tried again when the runtime fails", async () => {
    await startNode({
      fake: { faults: [{ match: { method: "StopContainer", nth: 1 }, error: { code: "CRI_INTERNAL" } }] },
    });
    await node.want(staticPod("web"));
    await node.want();
    await node.advance(16_000);
    expect(node.story("web")).toContain("SyncFailed");
    expect(node.leftovers("web")).toEqual([]);
  });
});
