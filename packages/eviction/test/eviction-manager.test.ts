// SPDX-License-Identifier: Apache-2.0

import { parseThresholdConfig } from "@holdfast/eviction";
import { describe, expect, it, test } from "vitest";
import { disk, GI, pod, Rig } from "./builders.ts";

const ONLY = { allocatableMemory: false };
const HARD_MEMORY = { ...ONLY, evictionHard: { "memory.available": "1Gi" } };
const SOFT_AND_HARD = {
  ...ONLY,
  evictionHard: { "memory.available": "1Gi" },
  evictionSoft: { "memory.available": "2Gi" },
  evictionSoftGracePeriod: { "memory.available": "2m" },
};

function memoryPods(rig: Rig): void {
  rig.add(
    "guaranteed-low",
    { priority: -1, requests: { memory: "1Gi" }, limits: { memory: "1Gi" } },
    { memory: "900Mi" },
  );
  rig.add("burstable-below", { requests: { memory: "100Mi" } }, { memory: "50Mi" });
  rig.add("burstable-above", { requests: { memory: "100Mi" } }, { memory: "400Mi" });
  rig.add("best-effort-high-pri", { priority: 5 }, { memory: "400Mi" });
  rig.add("best-effort-low-pri", { priority: -5, grace: 30 }, { memory: "500Mi" });
}

describe("memory", () => {
  // kubelet: TestMemoryPressure
  it("a soft threshold sets the condition at once and ends a pod after its grace; a hard one at once", async () => {
    const rig = new Rig(SOFT_AND_HARD, { maxPodGraceSeconds: 5 });
    memoryPods(rig);
    rig.memory("3Gi", "9Gi");
    expect(await rig.round()).toEqual([]);
    expect(rig.manager.conditions()).toEqual([]);
    // Below the soft one.
    rig.memory("1500Mi", "9Gi");
    expect(await rig.round()).toEqual([]);
    expect(rig.manager.conditions()).toEqual(["MemoryPressure"]);
    expect(rig.conditionChanges).toBe(1);
    expect(await rig.round(119_000)).toEqual([]);
    expect(await rig.round(1000)).toEqual(["best-effort-low-pri"]);
    expect(rig.killed[0]?.request).toMatchObject({ graceSeconds: 5, disruption: true, reason: "Evicted" });
    // Over: the condition stays for the transition period.
    rig.memory("3Gi", "9Gi");
    expect(await rig.round(1000)).toEqual([]);
    expect(rig.manager.conditions()).toEqual(["MemoryPressure"]);
    // Below the hard one.
    rig.memory("500Mi", "9Gi");
    expect(await rig.round(60_000)).toEqual(["burstable-above"]);
    expect(rig.killed[1]?.request.graceSeconds).toBe(1);
    expect(rig.manager.admit(pod("newcomer"))?.message).toBe("The node had condition: [MemoryPressure]. ");
    expect(rig.manager.admit(pod("burstable", { requests: { memory: "1Mi" } }))).toBeUndefined();
    rig.memory("3Gi", "9Gi");
    expect(await rig.round(299_999)).toEqual([]);
    expect(rig.manager.conditions()).toEqual(["MemoryPressure"]);
    expect(await rig.round(1)).toEqual([]);
    expect(rig.manager.conditions()).toEqual([]);
    expect(rig.manager.admit(pod("newcomer"))).toBeUndefined();
  });

  // kubelet: LocalStorageSoftEvictionNotOverwriteTerminationGracePeriodSeconds
  test.each([
    [30, 5],
    [3, 3],
    [undefined, 5],
  ])("a soft threshold leaves a pod with %s s of grace %d s", async (own, expected) => {
    const rig = new Rig({ ...SOFT_AND_HARD, evictionHard: {} }, { maxPodGraceSeconds: 5 });
    rig.add("one", own === undefined ? {} : { grace: own }, { memory: "1Gi" });
    rig.memory("1500Mi");
    await rig.round();
    expect(await rig.round(120_000)).toEqual(["one"]);
    expect(rig.killed[0]?.request.graceSeconds).toBe(expected);
  });

  // kubelet: TestMemoryPressure_VerifyPodStatus
  it("says why, in status, event and annotations, and what came first", async () => {
    const rig = new Rig({ ...ONLY, evictionHard: { "memory.available": "2Gi" } });
    rig.add("above-requests", { requests: { memory: "100Mi" } }, { memory: "900Mi" });
    rig.add("below-requests", { requests: { memory: "1Gi" } }, { memory: "300Mi" });
    rig.memory("1500Mi");
    expect(await rig.round()).toEqual(["above-requests"]);
    const message =
      "The node was low on resource: memory. Threshold quantity: 2Gi, available: 1500Mi. Container main was using 900Mi, request is 100Mi, has larger consumption of memory. ";
    const events = rig.events();
    const [changed, met, evicting] = events;
    expect(events.map(({ type }) => type)).toEqual([
      "eviction/PressureChanged",
      "eviction/ThresholdMet",
      "eviction/PodEvicting",
    ]);
    expect(changed?.data).toMatchObject({
      eventType: "Normal",
      reason: "NodeHasInsufficientMemory",
      message: "Node here status is now: NodeHasInsufficientMemory",
    });
    expect(met).toMatchObject({
      subject: { node: "here" },
      data: { eventType: "Warning", reason: "EvictionThresholdMet", message: "Attempting to reclaim memory" },
    });
    expect(evicting).toMatchObject({
      subject: { podUid: "above-requests", pod: "default/above-requests" },
      causes: [met?.seq],
      data: {
        message,
        signal: "memory.available",
        annotations: {
          starved_resource: "memory",
          offending_containers: "main",
          offending_containers_usage: "900Mi",
        },
      },
    });
    expect(rig.killed).toEqual([
      {
        pod: "above-requests",
        request: { reason: "Evicted", message, graceSeconds: 1, disruption: true, causes: [evicting?.seq] },
      },
    ]);
    expect(rig.metrics.exposition()).toContain('kubelet_evictions{eviction_signal="memory.available"} 1');
    expect(rig.metrics.exposition()).toContain("kubelet_eviction_stats_age_seconds_count");
    expect(rig.manager.nodeConditions()[0]).toEqual({
      type: "MemoryPressure",
      status: "True",
      reason: "KubeletHasInsufficientMemory",
      message: "kubelet has insufficient memory available",
      lastTransitionAt: rig.clock.now(),
    });
  });

  // kubelet: TestAllocatableMemoryPressure
  it("the limit of all pods together counts like the machine's memory", async () => {
    const rig = new Rig({ evictionHard: { "memory.available": "1Gi" } });
    memoryPods(rig);
    rig.memory("8Gi", "9Gi");
    rig.node = {
      ...rig.node,
      systemContainers: [{ name: "pods", memory: { availableBytes: GI / 2, workingSetBytes: 2 * GI } }],
    };
    expect(await rig.round()).toEqual(["best-effort-low-pri"]);
    expect(rig.metrics.exposition()).toContain('eviction_signal="allocatableMemory.available"');
  });

  it("one pod a round, and none on figures that are not new", async () => {
    const rig = new Rig(HARD_MEMORY);
    memoryPods(rig);
    rig.memory("100Mi");
    expect(await rig.round()).toHaveLength(1);
    expect(await rig.round(0)).toEqual([]);
    expect(await rig.round(1)).toHaveLength(1);
    expect(rig.killed).toHaveLength(2);
  });

  it("tells a threshold once until it is over", async () => {
    const rig = new Rig(HARD_MEMORY);
    memoryPods(rig);
    const told = (): number => rig.events().filter(({ type }) => type === "eviction/ThresholdMet").length;
    rig.memory("100Mi");
    await rig.round();
    await rig.round();
    expect(told()).toBe(1);
    rig.memory("2Gi");
    await rig.round();
    rig.memory("100Mi");
    await rig.round();
    expect(told()).toBe(1);
  });
});

// kubelet: TestPIDPressure, TestPIDPressure_VerifyPodStatus, PriorityPidEvictionOrdering (node e2e)
it("processes: who matters least and has most goes, and nobody new is let in", async () => {
  const rig = new Rig({ evictionHard: { "pid.available": "1200" } });
  rig.add("few", { priority: -1 }, { processes: 10 });
  rig.add("many", { priority: -1 }, { processes: 800 });
  rig.add("most", { priority: 0 }, { processes: 2000 });
  rig.node = { rlimit: { maxpid: 32_768, curproc: 32_000 } };
  expect(await rig.round()).toEqual(["many"]);
  expect(rig.killed[0]?.request.message).toBe(
    "The node was low on resource: pids. Threshold quantity: 1200, available: 768. ",
  );
  expect(rig.manager.conditions()).toEqual(["PIDPressure"]);
  expect(rig.manager.admit(pod("burstable", { requests: { memory: "1Mi" } }))).toMatchObject({
    reason: "Evicted",
  });
  expect(rig.reclaimed).toEqual([]);
});

describe("disk", () => {
  const HARD_DISK = {
    evictionHard: { "nodefs.available": "1Gi", "nodefs.inodesFree": "5%", "imagefs.available": "2Gi" },
  };

  // kubelet: TestDiskPressureNodeFs, TestDiskPressureNodeFs_VerifyPodStatus
  it("the node gives up its own first, and a pod goes when that was not enough", async () => {
    const rig = new Rig(HARD_DISK);
    rig.add("below", { requests: { "ephemeral-storage": "1Gi" } }, { rootfs: "500Mi" });
    rig.add("above", { requests: { "ephemeral-storage": "100Mi" } }, { rootfs: "100Mi", logs: "400Mi" });
    rig.fs("fs", disk("500Mi", "10Gi"));
    rig.fs("imageFs", disk("5Gi", "10Gi"));
    rig.onReclaim = (step) => {
      if (step === "images") rig.fs("fs", disk("2Gi", "10Gi"));
    };
    expect(await rig.round()).toEqual([]);
    expect(rig.reclaimed).toEqual(["containers", "images"]);
    expect(rig.manager.conditions()).toEqual(["DiskPressure"]);
    rig.onReclaim = () => {};
    rig.fs("fs", disk("500Mi", "10Gi"));
    expect(await rig.round()).toEqual(["above"]);
    expect(rig.killed[0]?.request.message).toBe(
      "The node was low on resource: ephemeral-storage. Threshold quantity: 1Gi, available: 500Mi. Container main was using 500Mi, request is 100Mi, has larger consumption of ephemeral-storage. ",
    );
  });

  // kubelet: TestNodeReclaimFuncs
  test.each([
    ["single", false, false, "nodefs", ["containers", "images"]],
    ["image fs, node short", true, false, "nodefs", []],
    ["image fs, images short", true, false, "imagefs", ["containers", "images"]],
    ["split, node short", true, true, "nodefs", ["containers"]],
    ["split, images short", true, true, "imagefs", ["images"]],
  ])("%s", async (_name, dedicatedImageFs, splitContainerFs, short, expected) => {
    const rig = new Rig(HARD_DISK);
    rig.layout = { dedicatedImageFs, splitContainerFs };
    rig.fs("fs", disk(short === "nodefs" ? "500Mi" : "5Gi", "10Gi"));
    rig.fs("imageFs", disk(short === "imagefs" ? "500Mi" : "5Gi", "10Gi"));
    await rig.round();
    expect(rig.reclaimed).toEqual(expected);
  });

  // kubelet: TestMinReclaim
  it("goes on until so much more is free", async () => {
    const rig = new Rig({ ...HARD_DISK, evictionMinimumReclaim: { "nodefs.available": "500Mi" } });
    rig.add("one", {}, { rootfs: "800Mi" });
    rig.add("two", {}, { rootfs: "700Mi" });
    rig.add("three", {}, { rootfs: "600Mi" });
    rig.fs("imageFs", disk("5Gi", "10Gi"));
    rig.fs("fs", disk("500Mi", "10Gi"));
    expect(await rig.round()).toEqual(["one"]);
    rig.fs("fs", disk("1200Mi", "10Gi"));
    expect(await rig.round()).toEqual(["two"]);
    rig.fs("fs", disk("1600Mi", "10Gi"));
    expect(await rig.round()).toEqual([]);
    // Without having been short before it is not short.
    rig.fs("fs", disk("1200Mi", "10Gi"));
    expect(await rig.round()).toEqual([]);
  });

  // kubelet: TestInodePressureFsInodes
  it("inodes", async () => {
    const rig = new Rig(HARD_DISK);
    rig.add("few", {}, { inodes: 1000 });
    rig.add("many", {}, { inodes: 90_000 });
    rig.fs("fs", disk("5Gi", "10Gi", "10k", "1M"));
    rig.fs("imageFs", disk("5Gi", "10Gi"));
    expect(await rig.round()).toEqual(["many"]);
    expect(rig.killed[0]?.request.message).toBe(
      "The node was low on resource: inodes. Threshold quantity: 50000, available: 10k. ",
    );
  });

  it("room that the runtime frees a moment after its answer is waited for; who is beyond it still goes", async () => {
    const rig = new Rig(HARD_DISK);
    rig.add("one", {}, { rootfs: "800Mi" });
    rig.add("two", {}, { rootfs: "700Mi" });
    rig.removes = 1;
    rig.fs("fs", disk("500Mi", "10Gi"));
    await rig.clock.advance(1);
    const round = rig.manager.synchronize();
    await rig.clock.advance(300);
    rig.fs("fs", disk("5Gi", "10Gi"));
    await rig.clock.advance(400);
    expect(await round).toEqual([]);
    rig.fs("fs", disk("500Mi", "10Gi"));
    const next = rig.manager.synchronize();
    await rig.clock.advance(6299);
    expect(rig.killed).toEqual([]);
    await rig.clock.advance(1);
    expect((await next).map(({ metadata }) => metadata.name)).toEqual(["one"]);
    expect(rig.clock.waiting).toBe(0);
  });

  // kubelet: ImageGCNoEviction
  it("a reclaim that fails or hangs keeps nothing up", async () => {
    const rig = new Rig(HARD_DISK, {
      reclaim: {
        deleteUnusedContainers: () => Promise.reject(new Error("no")),
        deleteUnusedImages: () => new Promise(() => {}),
      },
      reclaimDeadlineMs: 50,
    });
    rig.add("one", {}, { rootfs: "800Mi" });
    rig.fs("fs", disk("500Mi", "10Gi"));
    await rig.clock.advance(1);
    const round = rig.manager.synchronize();
    await rig.clock.advance(50);
    expect((await round).map(({ metadata }) => metadata.name)).toEqual(["one"]);
    expect(rig.clock.waiting).toBe(0);
  });
});

describe("pods' own limits", () => {
  // kubelet: TestStorageLimitEvictions, TestManagerWithLocalStorageCapacityIsolationOpen
  it("all violators go in one round, with a grace of 1 and no condition", async () => {
    const rig = new Rig({ evictionHard: {} });
    const limits = (text: string) => ({ limits: { "ephemeral-storage": text } });
    rig.add("rootfs", limits("500Mi"), { rootfs: "501Mi" });
    rig.add("logs", limits("500Mi"), { rootfs: "300Mi", logs: "201Mi" });
    rig.add(
      "volume",
      { volumes: [{ name: "cache", emptyDir: { sizeLimit: "1024Mi" } }] },
      { volumes: { cache: "2Gi" } },
    );
    rig.add(
      "memory-volume",
      { volumes: [{ name: "m", emptyDir: { medium: "Memory", sizeLimit: "1Mi" } }] },
      { volumes: { m: "2Mi" } },
    );
    rig.add("within", limits("1Gi"), { rootfs: "1Gi" });
    rig.add("unlimited", {}, { rootfs: "9Gi" });
    rig.add("static", { ...limits("1Mi"), isStatic: true }, { rootfs: "9Gi" });
    expect(await rig.round()).toEqual(["rootfs", "logs", "volume", "memory-volume"]);
    expect(rig.killed.map(({ request }) => request.message)).toEqual([
      "Pod ephemeral local storage usage exceeds the total limit of containers 500Mi. ",
      "Pod ephemeral local storage usage exceeds the total limit of containers 500Mi. ",
      'Usage of EmptyDir volume "cache" exceeds the limit "1Gi". ',
      'Usage of EmptyDir volume "m" exceeds the limit "1Mi". ',
    ]);
    for (const { request } of rig.killed)
      expect(request).toMatchObject({ graceSeconds: 1, disruption: false });
    expect(rig.manager.conditions()).toEqual([]);
    expect(rig.metrics.exposition()).toContain('kubelet_evictions{eviction_signal="ephemeralpodfs.limit"} 2');
    expect(rig.metrics.exposition()).toContain('kubelet_evictions{eviction_signal="emptydirfs.limit"} 2');
  });

  it("one container's limit holds where the pod's sum is not reached", async () => {
    const rig = new Rig({ evictionHard: {} });
    const one = pod("one", { limits: { "ephemeral-storage": "100Mi" } });
    one.spec.containers.push({
      name: "other",
      image: "x",
      resources: { limits: { "ephemeral-storage": "1Gi" } },
    });
    rig.pods = [one];
    rig.usage = [
      { podRef: { uid: "one" }, containers: [{ name: "main", rootfs: { usedBytes: 101 * 2 ** 20 } }] },
    ];
    expect(await rig.round()).toEqual(["one"]);
    expect(rig.killed[0]?.request.message).toBe(
      'Container main exceeded its local ephemeral storage limit "100Mi". ',
    );
  });
});

describe("pressure stall information", () => {
  it("ends one pod, and no other for what the average still has in it of the first", async () => {
    const rig = new Rig({ evictionHard: {}, evictionPressure: { "memory.psi.full.avg60": "20%" } });
    memoryPods(rig);
    const psi = (avg60: number): void => {
      const averages = { avg10: 0, avg60, avg300: 0 };
      rig.node = { memory: { psi: { some: averages, full: averages } } };
    };
    psi(20);
    expect(await rig.round()).toEqual([]);
    psi(90.5);
    expect(await rig.round()).toEqual(["best-effort-low-pri"]);
    expect(rig.killed[0]?.request.message).toContain(
      "low on resource: memory. Threshold: memory.psi.full.avg60>20%, time lost: 90.5%. ",
    );
    expect(rig.manager.conditions()).toEqual(["MemoryPressure"]);
    expect(await rig.round(1000)).toEqual([]);
    expect(await rig.round(58_999)).toEqual([]);
    // 90.5 have become 33.9 by now: what is beyond that is new.
    psi(33.9);
    expect(await rig.round(1)).toEqual([]);
    psi(53);
    expect(await rig.round(0)).toEqual([]);
    psi(55);
    expect(await rig.round(1)).toHaveLength(1);
  });
});

it("a pod that ended by itself while figures were read is left alone", async () => {
  const rig: Rig = new Rig(HARD_MEMORY, {
    stats: {
      node: async () => ({ at: rig.clock.monotonic(), node: rig.node, layout: rig.layout, problems: [] }),
      pods: async () => {
        rig.pods = rig.pods.filter(({ metadata }) => metadata.name !== "large");
        return rig.usage;
      },
    },
  });
  rig.add("large", {}, { memory: "2Gi" });
  rig.add("small", {}, { memory: "1Gi" });
  rig.memory("100Mi");
  expect(await rig.round()).toEqual(["small"]);
});

describe("the loop", () => {
  it("waits until what the pod held is free, and looks again at once", async () => {
    const rig = new Rig(HARD_MEMORY);
    memoryPods(rig);
    rig.memory("100Mi");
    rig.cleanedUp = false;
    await rig.manager.start();
    await rig.clock.advance(5000);
    // The first round only looks.
    expect(rig.manager.conditions()).toEqual(["MemoryPressure"]);
    expect(rig.killed).toEqual([]);
    await rig.clock.advance(5000);
    expect(rig.killed).toHaveLength(1);
    rig.memory("2Gi");
    rig.cleanedUp = true;
    await rig.clock.advance(1000);
    expect(rig.killed).toHaveLength(1);
    rig.cleanedUp = false;
    rig.memory("100Mi");
    await rig.clock.advance(10_000);
    expect(rig.killed).toHaveLength(2);
    // For 30 s at most.
    await rig.clock.advance(29_000);
    expect(rig.killed).toHaveLength(2);
    await rig.clock.advance(1000);
    expect(rig.killed).toHaveLength(3);
    await rig.manager.stop();
    await rig.manager.stop();
    expect(rig.clock.waiting).toBe(0);
  });

  it("does nothing without thresholds and limits", async () => {
    const rig = new Rig({}, { thresholds: parseThresholdConfig({ evictionHard: {} }) });
    rig.add("one", {}, { memory: "9Gi" });
    let asked = 0;
    rig.onNode = async () => void (asked += 1);
    expect(await rig.round()).toEqual([]);
    expect(asked).toBe(0);
  });
});
