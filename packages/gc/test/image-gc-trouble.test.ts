// SPDX-License-Identifier: Apache-2.0

import { describe, expect, it } from "vitest";
import { idOf, ImageWorld, MINUTE } from "./environment.ts";

const FULL = { capacityBytes: 1000, availableBytes: 50 };

describe("a disk that reports nonsense", () => {
  it.each([
    {
      figures: { capacityBytes: 0, availableBytes: 0 },
      code: "GC_INVALID_CAPACITY",
      message: "invalid capacity 0 on image filesystem",
    },
    {
      figures: { capacityBytes: Number.NaN, availableBytes: 5 },
      code: "GC_INVALID_CAPACITY",
      message: "invalid figures on image filesystem: capacity NaN, available 5",
    },
    {
      figures: { capacityBytes: 1000, availableBytes: 5000 },
      code: "GC_INVALID_CAPACITY",
      message: "invalid figures on image filesystem: capacity 1000, available 5000",
    },
    {
      figures: new Error("EIO: i/o error, statfs"),
      code: "GC_FILESYSTEM",
      message: "no figures of /var/lib/containerd/io.containerd.snapshotter.v1.overlayfs",
    },
  ])("$message: nothing is removed", async ({ figures, code, message }) => {
    // kubelet: TestGarbageCollectCadvisorFailure
    await using world = new ImageWorld({ images: { a: 450 } });
    world.figures = figures;
    await world.clock.advance(10);
    const { error, removed } = await world.gc.collect();
    expect([error?.code, error?.message, removed]).toEqual([code, message, []]);
    const events = world.events("gc/ImageGcFailed").map(({ data }) => data);
    if (code === "GC_INVALID_CAPACITY")
      expect(events).toMatchObject([{ eventType: "Warning", reason: "InvalidDiskCapacity", message }]);
    await expect(world.gc.plan()).rejects.toThrow(message);
    // Eviction does not ask the disk.
    expect((await world.gc.deleteUnusedImages()).removed).toEqual([idOf("a")]);
  });

  it("a statfs that hangs is given up after 10 s", async () => {
    await using world = new ImageWorld({ images: { a: 450 } });
    world.figures = "hangs";
    const pass = world.gc.collect();
    await world.clock.advance(10_000);
    const { error, removed } = await pass;
    expect([error?.code, removed]).toEqual(["GC_FILESYSTEM", []]);
  });
});

describe("a runtime in trouble", () => {
  it("an image that cannot be removed gives its place to the next, and fails the pass", async () => {
    await using world = new ImageWorld({ images: { a: 200, b: 200, c: 200 } });
    world.figures = FULL;
    await world.clock.advance(10);
    world.fake.addFault({ match: { method: "RemoveImage", target: idOf("a") }, error: { message: "busy" } });
    const { removed, spared, error } = await world.gc.collect();
    expect(removed).toEqual([idOf("b")]);
    expect(await world.left()).toEqual(["a", "c"]);
    expect(spared.get(idOf("a"))).toMatch(/busy/);
    expect([error?.code, error?.message]).toEqual(["GC_REMOVE", expect.stringMatching(/busy/)]);
  });

  it("a failure of the age pass ends the pass", async () => {
    await using world = new ImageWorld({
      images: { old: 10, young: 500 },
      policy: { minAgeMs: 0, maxAgeMs: MINUTE },
    });
    world.figures = FULL;
    await world.fake.removeImage({ image: { image: idOf("young") } });
    await world.gc.plan();
    await world.clock.advance(MINUTE + 1);
    world.fake.addImage({ reference: "young", id: idOf("young"), size: 500 });
    await world.gc.plan();
    await world.clock.advance(1);
    world.fake.addFault({ match: { method: "RemoveImage", target: idOf("old") }, error: {} });
    const { removed, error } = await world.gc.collect();
    expect([removed, error?.code]).toEqual([[], "GC_REMOVE"]);
  });

  it("one that hangs ends the pass after three removals without an answer", async () => {
    const images = Object.fromEntries(["a", "b", "c", "d", "e"].map((name) => [name, 100]));
    await using world = new ImageWorld({ images });
    await world.clock.advance(10);
    world.fake.addFault({ match: { method: "RemoveImage" }, hang: true });
    const pass = world.gc.deleteUnusedImages();
    await world.clock.advance(10 * MINUTE);
    const { removed, spared } = await pass;
    expect([removed.length, spared.size]).toEqual([0, 3]);
    expect(world.fake.calls["RemoveImage"]).toBe(3);
  });

  it("the first failure in a row is only logged, the second is an event; a success resets", async () => {
    await using world = new ImageWorld({ images: { a: 450 } });
    const fault = world.fake.addFault({ match: { method: "ListImages" }, error: { message: "down" } });
    await world.gc.start();
    await world.clock.advance(1);
    expect(world.gc.health().failures).toEqual([]);
    expect(world.events("gc/ImageGcFailed")).toEqual([]);
    await world.clock.advance(5 * MINUTE);
    expect(world.gc.health().failures).toEqual([expect.stringMatching(/down/)]);
    expect(world.events("gc/ImageGcFailed")).toMatchObject([
      { data: { reason: "ImageGCFailed", message: expect.stringMatching(/down/) as string } },
    ]);
    fault.lift();
    await world.clock.advance(5 * MINUTE);
    expect(world.gc.health().failures).toEqual([]);
  });
});

describe("many images", () => {
  it("500 images and 2,000 containers: a look is 6 calls at most, a removal 3 each", async () => {
    const images = Object.fromEntries(Array.from({ length: 500 }, (_, at) => [`i${at}`, 1]));
    await using world = new ImageWorld({
      images,
      manager: { imageVolumes: false, layers: "sizes" },
    });
    const sandbox = { metadata: { name: "pod", namespace: "default", uid: "pod", attempt: 0 } };
    const { podSandboxId } = await world.fake.runPodSandbox({ config: sandbox });
    for (let at = 0; at < 2000; at++)
      await world.fake.createContainer({
        podSandboxId,
        sandboxConfig: sandbox,
        config: { metadata: { name: `c${at}`, attempt: 0 }, image: { image: idOf(`i${at % 400}`) } },
      });
    const counted = (): number => Object.values(world.fake.calls).reduce((sum, count) => sum + count, 0);
    const before = counted();
    await world.gc.plan();
    // Images, containers, Status, sandboxes and the newest one's status, the file system, and what containers wrote.
    expect(counted() - before).toBe(7);
    const { removed } = await world.gc.deleteUnusedImages();
    expect(removed).toHaveLength(100);
    // One look less at the file system, and one more list at the end.
    expect(counted() - before).toBe(7 + 6 + 3 * 100);
  });
});

describe("life", () => {
  it("looks at once and every five minutes, starts and stops twice, and again", async () => {
    await using world = new ImageWorld({ images: { a: 10 } });
    await world.gc.start();
    await world.gc.start();
    await world.clock.advance(10 * MINUTE);
    expect(world.fake.calls["ListImages"]).toBe(3);
    await world.gc.stop();
    await world.gc.stop();
    expect(world.clock.waiting).toBe(0);
    await world.gc.start();
    await world.clock.advance(1);
    expect(world.fake.calls["ListImages"]).toBe(4);
  });

  it("with both triggers off it keeps ages and removes nothing", async () => {
    await using world = new ImageWorld({
      images: { a: 450 },
      policy: { highThresholdPercent: 100, lowThresholdPercent: 99 },
    });
    world.figures = { capacityBytes: 1000, availableBytes: 0 };
    await world.gc.start();
    await world.clock.advance(6 * MINUTE);
    expect(await world.left()).toEqual(["a"]);
    expect(world.gc.snapshot().images).toBe(2);
  });

  it("is stopped in the middle of a pass", async () => {
    await using world = new ImageWorld({ images: { a: 450 } });
    world.fake.addFault({ match: { method: "ListContainers" }, hang: true });
    await world.gc.start();
    await world.clock.advance(1);
    await world.gc.stop();
    expect(world.clock.waiting).toBe(0);
    await expect(world.gc.collect()).rejects.toMatchObject({ code: "GC_STOPPED" });
  });

  it("a list for the node's status is at most 30 s old, and the last one when the runtime fails", async () => {
    await using world = new ImageWorld({ images: { a: 10, b: 450 } });
    expect((await world.gc.images()).map(({ sizeBytes }) => sizeBytes)).toEqual([450, 10, 10]);
    await world.gc.images();
    expect(world.fake.calls["ListImages"]).toBe(1);
    await world.clock.advance(30_000);
    world.fake.addFault({ match: { method: "ListImages" }, error: {} });
    expect(await world.gc.images()).toHaveLength(3);
    expect(world.fake.calls["ListImages"]).toBe(2);
  });

  it("a checkpoint that fails costs ages, not passes", async () => {
    const fail = (): never => {
      throw new Error("disk full");
    };
    const checkpoint = { get: fail, set: fail, delete: fail, entries: fail };
    await using world = new ImageWorld({ images: { a: 450 }, manager: { checkpoint } });
    world.figures = FULL;
    await world.clock.advance(1);
    expect((await world.gc.collect()).removed).toEqual([idOf("a")]);
  });
});
