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

  it("lost events: a gap looks at all pods", async () => {
    await startNode();
    await node.want(staticPod("web"));
    node.agent.cache.mute = true;
    node.fake.kill(node.fake.containers()[0]?.id ?? "");
    await node.agent.cache.relist();
    await node.settle();
    expect(node.running()).toEqual([]);
    node.agent.manager.readinessChanged();
    await node.advance(95_000, 1000);
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
