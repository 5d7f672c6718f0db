// SPDX-License-Identifier: Apache-2.0

// Figures that cannot be, pods that may not go, kills that do not end.
import { describe, expect, it, test } from "vitest";
import { deadline, disk, pod, Rig } from "./builders.ts";

const ONLY = { allocatableMemory: false };
const HARD_MEMORY = { ...ONLY, evictionHard: { "memory.available": "1Gi" } };

describe("figures that cannot be", () => {
  const DISK = { evictionHard: { "nodefs.available": "10%", "memory.available": "1Gi" }, ...ONLY };
  test.each([
    ["capacity 0", { availableBytes: 0, capacityBytes: 0 }, "its capacity is 0"],
    [
      "available > capacity",
      { availableBytes: 20, capacityBytes: 10 },
      "more is available than there is: 20 of 10",
    ],
    [
      "no number",
      { availableBytes: Number.NaN, capacityBytes: 10 },
      "figures that are none: NaN of 10 available",
    ],
  ])("%s: nobody goes for it, it is told once, and memory is looked after", async (_name, fs, problem) => {
    const rig = new Rig(DISK);
    rig.add("one", {}, { rootfs: "5Gi", memory: "1Gi" });
    rig.memory("2Gi");
    rig.fs("fs", fs);
    expect(await rig.round()).toEqual([]);
    await rig.round();
    expect(rig.manager.health().failures).toEqual([`nodefs.available: ${problem}`]);
    expect(rig.manager.conditions()).toEqual([]);
    expect(rig.reclaimed).toEqual([]);
    expect(rig.events().map(({ type }) => type)).toEqual(["eviction/SignalUnknown"]);
    rig.memory("100Mi");
    expect(await rig.round()).toEqual(["one"]);
    rig.fs("fs", disk("5Gi", "10Gi"));
    await rig.round();
    expect(rig.manager.health().failures).toEqual([]);
  });

  it("figures that are not there are named by who could not read them", async () => {
    const rig = new Rig(DISK);
    rig.layout = undefined;
    rig.problems = [{ part: "node.fs", message: "statfs of /x took longer than 2000 ms" }];
    rig.memory("2Gi");
    expect(await rig.round()).toEqual([]);
    expect(rig.manager.health().failures).toEqual(["node.fs: statfs of /x took longer than 2000 ms"]);
    rig.problems = [{ part: "node.fs", message: "statfs of /x has not answered for 12 s" }];
    await rig.round();
    expect(rig.manager.health().failures).toEqual(["node.fs: statfs of /x has not answered for 12 s"]);
    rig.problems = [];
    await rig.round();
    expect(rig.events().map(({ data }) => ("problem" in data ? data.problem : ""))).toEqual([
      "statfs of /x took longer than 2000 ms",
      undefined,
    ]);
  });

  it("while the layout of the disks is not known the condition is set, and nothing is done", async () => {
    const rig = new Rig(DISK);
    rig.layout = undefined;
    rig.add("one", {}, { rootfs: "5Gi" });
    rig.fs("fs", disk("1Mi", "10Gi"));
    rig.memory("2Gi");
    expect(await rig.round()).toEqual([]);
    expect(rig.manager.conditions()).toEqual(["DiskPressure"]);
    expect(rig.reclaimed).toEqual([]);
    rig.layout = { dedicatedImageFs: false, splitContainerFs: false };
    expect(await rig.round()).toEqual(["one"]);
  });

  it("figures that never come end the round, and the next one is made", async () => {
    const rig = new Rig(DISK);
    rig.memory("2Gi");
    rig.onNode = () => new Promise(() => {});
    await rig.manager.start();
    await rig.clock.advance(10_000);
    expect(rig.manager.health().failures).toEqual(["reading the node's figures took longer than 10 s"]);
    rig.onNode = async () => {};
    await rig.clock.advance(10_000);
    expect(rig.manager.health().failures).toEqual([]);
    await rig.manager.stop();
    expect(rig.clock.waiting).toBe(0);
  });
});

describe("who may not go", () => {
  // kubelet: TestStaticCriticalPodsAreNotEvicted
  it("static, mirror and system-critical pods stay, and looking for others rests", async () => {
    const rig = new Rig(HARD_MEMORY);
    rig.add("static", { isStatic: true }, { memory: "2Gi" });
    rig.add("critical", { priority: 2_000_000_000 }, { memory: "2Gi" });
    rig.memory("100Mi");
    let asked = 0;
    rig.onNode = async () => void (asked += 1);
    for (let round = 0; round < 30; round++) expect(await rig.round()).toEqual([]);
    expect(rig.killed).toEqual([]);
    expect(rig.manager.conditions()).toEqual(["MemoryPressure"]);
    // Memory has nothing to reclaim: only the rounds' own looks.
    expect(asked).toBe(30);
    expect(rig.manager.admit(pod("static2", { isStatic: true }))).toBeUndefined();
  });

  it("node-level reclaim that helps nobody is not repeated each round", async () => {
    const rig = new Rig({ evictionHard: { "nodefs.available": "1Gi" } });
    rig.add("static", { isStatic: true }, { rootfs: "2Gi" });
    rig.fs("fs", disk("500Mi", "10Gi"));
    for (let round = 0; round < 30; round++) await rig.round();
    // At 10, 20, 40, 80 seconds, and then every 60.
    expect(rig.reclaimed.length / 2).toBe(7);
    // A pod more: it is looked at again at once.
    rig.add("other", {}, { rootfs: "1Gi" });
    expect(await rig.round()).toEqual(["other"]);
  });

  it("static pods go where that is set, critical ones never", async () => {
    const rig = new Rig(HARD_MEMORY, { evictStaticPods: true });
    rig.add("critical", { priority: 2_000_000_000 }, { memory: "5Gi" });
    rig.add("static", { isStatic: true }, { memory: "2Gi" });
    rig.memory("100Mi");
    expect(await rig.round()).toEqual(["static"]);
    expect(await rig.round()).toEqual([]);
    expect(rig.manager.admit(pod("static2", { isStatic: true }))).toMatchObject({ reason: "Evicted" });
  });

  it("a pod that does not end in time is told, and counts as evicted", async () => {
    const rig = new Rig(HARD_MEMORY);
    rig.add("one", {}, { memory: "2Gi" });
    rig.memory("100Mi");
    rig.onKill = () => Promise.reject(deadline());
    expect(await rig.round()).toEqual(["one"]);
    expect(rig.events().at(-1)).toMatchObject({
      type: "eviction/ExceededGracePeriod",
      data: { message: "Container runtime did not kill the pod within specified grace period." },
    });
  });

  it("a kill that never answers is given up after 10 s", async () => {
    const rig = new Rig(HARD_MEMORY);
    rig.add("one", {}, { memory: "2Gi" });
    rig.memory("100Mi");
    rig.onKill = () => new Promise(() => {});
    await rig.clock.advance(1);
    const round = rig.manager.synchronize();
    await rig.clock.advance(10_000);
    expect(await round).toHaveLength(1);
    expect(rig.events().at(-1)?.type).toBe("eviction/ExceededGracePeriod");
  });
});
