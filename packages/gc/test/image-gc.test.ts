// SPDX-License-Identifier: Apache-2.0

import { ContainerStatusResponse, ImageFsInfoResponse, ListContainerStatsResponse } from "@holdfast/cri";
import type { ImageGcStep } from "@holdfast/gc";
import { describe, expect, it } from "vitest";
import { idOf, ImageWorld, MINUTE, nameOf } from "./environment.ts";

const FULL = { capacityBytes: 1000, availableBytes: 50 };

describe("detection", () => {
  it("an image that is not used any more keeps its last use; one that is gone is forgotten", async () => {
    // kubelet: TestDetectImagesInitialDetect, TestDetectImagesContainerStopped, TestDetectImagesWithRemovedImages
    await using world = new ImageWorld({ images: { a: 100, b: 100 } });
    const container = await world.create("a");
    await world.gc.plan();
    await world.clock.advance(MINUTE);
    await world.fake.removeContainer({ containerId: container });
    const { entries } = await world.gc.plan();
    const ages = entries.map(({ image, lastUsedAgoMs, firstSeenAgoMs }) => [
      nameOf(image.id),
      lastUsedAgoMs,
      firstSeenAgoMs,
    ]);
    expect(ages).toContainEqual(["a", MINUTE, MINUTE]);
    expect(ages).toContainEqual(["b", undefined, MINUTE]);
    await world.fake.removeImage({ image: { image: idOf("b") } });
    await world.gc.plan();
    expect(world.checkpoint.entries("image/").map(([key]) => key)).not.toContain(`image/${idOf("b")}`);
  });

  it("an image that is listed once for each runtime handler is one image, in use or not", async () => {
    // kubelet: TestDetectImagesInitialDetectWithRuntimeHandlerInImageCriAPIFeatureGate, with one record where the kubelet has one for each handler
    await using world = new ImageWorld({ images: { a: 100, b: 100 } });
    world.figures = FULL;
    const list = world.fake.listImages.bind(world.fake);
    Object.defineProperty(world.fake, "listImages", {
      value: async (): ReturnType<typeof list> => {
        const { images } = await list({});
        return { images: [...images, ...images.map((image) => ({ ...image, pinned: false }))] };
      },
    });
    await world.create("a");
    await world.clock.advance(1);
    expect((await world.gc.plan()).entries.map(({ image, rule }) => `${image.id.slice(-1)} ${rule}`)).toEqual(
      expect.arrayContaining(["a in-use", "b space"]),
    );
    expect((await world.gc.plan()).entries).toHaveLength(3);
    expect((await world.gc.plan()).entries.filter(({ rule }) => rule === "pinned")).toHaveLength(1);
    const { removed } = await world.gc.deleteUnusedImages();
    expect(removed).toEqual([idOf("b")]);
    expect(await world.left()).toEqual(["a", "a"]);
  });

  // kubelet: ImageGarbageCollect (node e2e)
  it("ages live over a restart of the agent, and a stepped clock makes none longer than it can be", async () => {
    await using world = new ImageWorld({ images: { a: 100, b: 100 } });
    await world.create("a");
    await world.gc.plan();
    await world.clock.advance(30 * MINUTE);
    await world.gc.plan();
    await world.gc.stop();
    world.clock.stepWall(-60 * MINUTE);
    const back = await world.manager().plan();
    expect(back.entries.find(({ image }) => image.id === idOf("b"))?.firstSeenAgoMs).toBe(0);
    world.clock.stepWall(60 * MINUTE);
    await world.clock.advance(5 * MINUTE);
    const again = await world.manager().plan();
    expect(again.entries.find(({ image }) => image.id === idOf("b"))?.firstSeenAgoMs).toBe(35 * MINUTE);
  });

  it("a clock that is stepped while the agent runs changes no age", async () => {
    await using world = new ImageWorld({ images: { a: 100 }, policy: { minAgeMs: 2 * MINUTE } });
    world.figures = FULL;
    await world.gc.plan();
    for (const step of [60 * MINUTE, -120 * MINUTE]) {
      world.clock.stepWall(step);
      expect(await world.ruleOf("a")).toBe("too-young");
    }
    await world.clock.advance(2 * MINUTE);
    expect(await world.ruleOf("a")).toBe("space");
  });

  it("a damaged checkpoint makes images new, and fails nothing", async () => {
    await using world = new ImageWorld({ images: { a: 100 } });
    world.checkpoint.set(`image/${idOf("a")}`, "{");
    const { entries } = await world.gc.plan();
    expect(entries.find(({ image }) => image.id === idOf("a"))?.firstSeenAgoMs).toBe(0);
  });
});

describe("what comes later", () => {
  it("a new image has been seen since it was listed first, the others since before", async () => {
    // kubelet: TestDetectImagesWithNewImage
    await using world = new ImageWorld({ images: { a: 100 } });
    await world.gc.plan();
    await world.clock.advance(MINUTE);
    world.fake.addImage({ reference: "docker.io/library/b:latest", id: idOf("b"), size: 100 });
    await world.gc.plan();
    await world.clock.advance(MINUTE);
    const { entries } = await world.gc.plan();
    const seen = Object.fromEntries(entries.map(({ image, firstSeenAgoMs }) => [image.id, firstSeenAgoMs]));
    expect([seen[idOf("a")], seen[idOf("b")]]).toEqual([2 * MINUTE, MINUTE]);
  });

  it("an image goes once its pin is taken off", async () => {
    // kubelet: TestDeleteUnPinnedImage
    await using world = new ImageWorld({ images: { a: 100, b: 100 }, pinned: ["a", "b"] });
    world.figures = FULL;
    expect(await world.going("unused")).toEqual([]);
    world.fake.addImage({ reference: "docker.io/library/a:latest", id: idOf("a"), size: 100, pinned: false });
    await world.clock.advance(1);
    await world.gc.deleteUnusedImages();
    expect(await world.left()).toEqual(["b"]);
  });
});

describe("what stays", () => {
  it("pinned and sandbox images, also when the disk is full", async () => {
    // kubelet: TestDeleteUnusedImagesExemptSandboxImage, TestDeletePinnedImage, TestDoNotDeletePinnedImage, TestAllPinnedImages
    await using world = new ImageWorld({
      images: { a: 100, b: 100, c: 100 },
      pinned: ["a"],
      manager: { sandboxImages: ["docker.io/library/b:latest"] },
    });
    world.figures = FULL;
    expect(await world.ruleOf("a")).toBe("pinned");
    expect(await world.ruleOf("b")).toBe("sandbox-image");
    await world.gc.deleteUnusedImages();
    expect(await world.left()).toEqual(["a", "b"]);
  });

  it("images of containers of every owner, running or not, by id or by name", async () => {
    // kubelet: TestFreeSpaceImagesInUseContainersAreIgnored
    await using world = new ImageWorld({ images: { a: 100, b: 100, c: 100 } });
    world.figures = FULL;
    await world.create("a");
    const started = await world.create(idOf("b"));
    await world.fake.startContainer({ containerId: started });
    await world.gc.deleteUnusedImages();
    expect(await world.left()).toEqual(["a", "b"]);
    const { entries } = await world.gc.plan();
    expect(entries.find(({ image }) => image.id === idOf("a"))).toMatchObject({
      rule: "in-use",
      reason: expect.stringMatching(/^used by app/) as string,
    });
  });

  it("images that another owner brought, unless all may go", async () => {
    await using world = new ImageWorld({ images: { a: 100, b: 100 }, policy: { images: "ours" } });
    await world.gc.plan();
    await world.clock.advance(1);
    const began = world.clock.monotonic();
    await world.clock.advance(1);
    world.fake.addImage({ reference: "c", id: idOf("c"), size: 100 });
    world.gc.imagePulled(idOf("c"), began);
    world.gc.imagePulled(idOf("a"), began);
    await world.clock.advance(1);
    await world.gc.deleteUnusedImages();
    expect(await world.left()).toEqual(["a", "b"]);
    expect(await world.ruleOf("a")).toBe("not-ours");
  });

  it("an image of ours is ours after a restart of the agent, and when a detection came between pull and telling", async () => {
    await using world = new ImageWorld({ policy: { images: "ours" } });
    const began = world.clock.monotonic();
    await world.clock.advance(1);
    world.fake.addImage({ reference: "a", id: idOf("a"), size: 100 });
    await world.gc.plan();
    world.gc.imagePulled(idOf("a"), began);
    await world.gc.stop();
    await world.clock.advance(1);
    const { removed } = await world.manager({ policy: { images: "ours" } }).deleteUnusedImages();
    expect(removed).toEqual([idOf("a")]);
  });

  it("images that a rule keeps", async () => {
    await using world = new ImageWorld({
      images: { postgres: 100, tiny: 5, big: 500, other: 100, digest: 100 },
      policy: {
        keep: [
          { reference: "postgres:*", why: "slow to pull" },
          { maxSizeBytes: 9 },
          { reference: "docker.io/*", minSizeBytes: 400 },
          { digest: idOf("digest") },
        ],
      },
    });
    await world.gc.deleteUnusedImages();
    expect(await world.left()).toEqual(["big", "digest", "postgres", "tiny"]);
    const { entries } = await world.gc.plan();
    expect(entries.find(({ image }) => image.id === idOf("postgres"))?.reason).toBe(
      "kept by rule: name postgres:* (slow to pull)",
    );
  });

  it("an image that a container mounts as a volume", async () => {
    await using world = new ImageWorld({ images: { a: 100, data: 100 } });
    const container = await world.create("a");
    const failing = {
      ...world.fake,
      containerStatus: () => Promise.reject(new Error("hangs")),
    };
    const plan = await world.manager({ manager: { runtime: failing } }).plan({ goal: "unused" });
    expect(plan.entries.find(({ image }) => image.id === idOf("data"))?.rule).toBe("unknown-user");
    const runtime = {
      ...world.fake,
      containerStatus: async () =>
        ContainerStatusResponse.fromPartial({
          status: { id: container, mounts: [{ containerPath: "/data", image: { image: idOf("data") } }] },
        }),
    };
    const { removed } = await world.manager({ manager: { runtime } }).deleteUnusedImages();
    expect(removed).toEqual([]);
  });
});

describe("order and amounts", () => {
  it("never used ones first, then least recently used, ties by first sight", async () => {
    // kubelet: TestFreeSpaceRemoveByLeastRecentlyUsed, TestFreeSpaceTiesBrokenByDetectedTime
    await using world = new ImageWorld({ images: { used: 450 } });
    const container = await world.create("used");
    await world.gc.plan();
    await world.clock.advance(MINUTE);
    world.fake.addImage({ reference: "first", id: idOf("first"), size: 50 });
    await world.gc.plan();
    await world.clock.advance(MINUTE);
    world.fake.addImage({ reference: "second", id: idOf("second"), size: 50 });
    await world.fake.removeContainer({ containerId: container });
    await world.gc.plan();
    expect(await world.going("unused")).toEqual(["first unused", "second unused", "used unused"]);
    world.figures = { capacityBytes: 1000, availableBytes: 120 };
    expect(await world.going()).toEqual(["first space", "second space"]);
    const { removed, error } = await world.gc.collect();
    expect(removed.map(nameOf)).toEqual(["first", "second"]);
    expect(error).toBeUndefined();
    expect(await world.left()).toEqual(["used"]);
  });

  it.each([
    // kubelet: TestGarbageCollectBelowLowThreshold, TestGarbageCollectBelowSuccess
    { available: 600, going: [] },
    { available: 160, going: [] },
    { available: 159, going: ["a space"] },
    { available: 50, going: ["a space"] },
  ])("at $available of 1000 available", async ({ available, going }) => {
    await using world = new ImageWorld({ images: { a: 450 } });
    world.figures = { capacityBytes: 1000, availableBytes: available };
    await world.clock.advance(1);
    expect(await world.going()).toEqual(going);
    const { error } = await world.gc.collect();
    expect(error).toBeUndefined();
    expect(await world.left()).toEqual(going.length === 0 ? ["a"] : []);
  });

  it("not enough to free: the kubelet's event, and who holds the space", async () => {
    // kubelet: TestGarbageCollectNotEnoughFreed
    await using world = new ImageWorld({ images: { a: 50, used: 400 } });
    world.figures = FULL;
    await world.create("used");
    const { error, freedBytes } = await world.gc.collect();
    expect(freedBytes).toBe(50);
    expect(error?.code).toBe("GC_FREE_DISK_SPACE_FAILED");
    const [started] = world.bus.recent().filter(({ type }) => type === "gc/ImageGcStarted");
    const [failed] = world.events("gc/ImageGcFailed");
    expect(failed?.causes).toEqual([started?.seq]);
    expect(failed?.data).toEqual({
      eventType: "Warning",
      reason: "FreeDiskSpaceFailed",
      message:
        "Insufficient free disk space on the node's image filesystem (95% of 1000 B used). Failed to free sufficient space by deleting unused images (freed 50 bytes). Investigate disk usage, as it could be used by active images, logs, volumes, or other data.",
      detail: "400 B in 1 image used by containers, 10 B in 1 image pinned, 540 B is not in listed images",
    });
  });

  it("not enough to free: the disk's ledger is asked who holds it, and only then", async () => {
    let asked = 0;
    const diskHeldBy = async (): Promise<string | undefined> => {
      asked += 1;
      return "logs 500.0 MiB (default/web)";
    };
    await using world = new ImageWorld({ images: { a: 50, used: 400 }, manager: { diskHeldBy } });
    await world.create("used");
    await world.gc.collect();
    expect(asked).toBe(0);
    world.figures = FULL;
    const { heldBy } = await world.gc.collect();
    expect(heldBy).toMatch(/540 B is not in listed images; on the disk: logs 500\.0 MiB \(default\/web\)$/);
    expect(world.events("gc/ImageGcFailed")[0]?.data).toMatchObject({ detail: heldBy });
  });

  it("an image goes when it is exactly as old as the minimum age", async () => {
    // kubelet: TestGarbageCollectImageNotOldEnough, TestDeleteUnusedImagesLimitByImageLiveTime
    await using world = new ImageWorld({ images: { a: 450 }, policy: { minAgeMs: MINUTE } });
    world.figures = FULL;
    await world.gc.plan();
    await world.clock.advance(MINUTE - 1);
    expect(await world.going()).toEqual([]);
    expect((await world.gc.deleteUnusedImages()).removed).toEqual([]);
    await world.clock.advance(1);
    expect(await world.going()).toEqual(["a space"]);
    expect((await world.gc.deleteUnusedImages()).removed).toEqual([idOf("a")]);
  });

  it("images that nobody used for more than the maximum age go whatever the usage is", async () => {
    // kubelet: TestGarbageCollectImageTooOld, TestGarbageCollectImageMaxAgeDisabled
    await using world = new ImageWorld({
      images: { a: 450, b: 450 },
      policy: { minAgeMs: MINUTE, maxAgeMs: 10 * MINUTE },
    });
    const container = await world.create("a");
    await world.gc.plan();
    await world.clock.advance(10 * MINUTE);
    await world.fake.removeContainer({ containerId: container });
    await world.gc.plan();
    expect(await world.going()).toEqual([]);
    await world.clock.advance(1);
    expect(await world.going()).toEqual(["b max-age", "a max-age"]);
    const off = await world.manager({ policy: { maxAgeMs: 0 } }).plan();
    expect(off.entries.filter(({ verdict }) => verdict === "remove")).toEqual([]);
    await world.gc.collect();
    expect(await world.left()).toEqual([]);
    expect(world.metrics.value("kubelet_image_garbage_collected_total", { reason: "age" })).toBe(2);
  });

  it("eviction has every unused image removed", async () => {
    // kubelet: TestDeleteUnusedImagesRemoveAllUnusedImages
    await using world = new ImageWorld({ images: { a: 100, b: 100, c: 100 } });
    await world.create("c");
    await world.gc.deleteUnusedImages({ causes: [7] });
    expect(await world.left()).toEqual(["c"]);
    const events = world.events();
    const started = events.find(({ type }) => type === "gc/ImageGcStarted");
    expect(started?.causes).toEqual([7]);
    for (const { type, causes, seq } of events) {
      if (type === "gc/ImageRemoving") expect(causes).toEqual([started?.seq]);
      if (type === "gc/ImageRemoved") expect(causes).toEqual([seq - 1]);
    }
    expect(events.filter(({ type }) => type === "gc/ImageRemoved")).toHaveLength(2);
  });

  it("what was planned is what happens", async () => {
    await using world = new ImageWorld({
      images: { a: 100, b: 100, c: 100, d: 100, e: 100 },
      pinned: ["b"],
      policy: { highThresholdPercent: 70, lowThresholdPercent: 60 },
    });
    await world.create("c");
    world.figures = { capacityBytes: 1000, availableBytes: 250 };
    const plan = await world.gc.plan();
    const planned = plan.entries.filter(({ verdict }) => verdict === "remove").map(({ image }) => image.id);
    const { removed, freedBytes } = await world.gc.collect();
    expect(planned).toEqual([idOf("a"), idOf("d")]);
    expect(removed).toEqual(planned);
    expect(freedBytes).toBe(plan.wouldFreeBytes);
    expect(await world.left()).toEqual(["b", "c", "e"]);
  });

  it("a person's target counts instead of the thresholds, and each step is told as it is made", async () => {
    await using world = new ImageWorld({ images: { a: 100, b: 100, c: 100 } });
    await world.create("b");
    // 40% are used: nothing would go by itself.
    expect(await world.going()).toEqual([]);
    const plan = await world.gc.plan({ targetPercent: 30 });
    expect([plan.wantedBytes, plan.wouldFreeBytes, plan.shortBytes]).toEqual([100, 100, 0]);
    const steps: ImageGcStep[] = [];
    const { removed, error } = await world.gc.collect({
      targetPercent: 25,
      by: "ada",
      onStep: (step) => {
        // Before anything is removed.
        if (step.kind === "plan") expect(world.fake.calls["RemoveImage"] ?? 0).toBe(0);
        steps.push(step);
      },
    });
    expect([removed, error]).toEqual([[idOf("a"), idOf("c")], undefined]);
    expect(steps.map(({ kind }) => kind)).toEqual(["plan", "removed", "removed"]);
    expect(world.events("gc/ImageGcStarted")[0]?.data).toMatchObject({ by: "ada", images: 2 });
    await expect(world.gc.collect({ targetPercent: 101 })).rejects.toThrow(/range \[0-100\]/);
  });

  it("counted by the disk, no more goes than is needed, and what containers wrote is no image's", async () => {
    await using world = new ImageWorld({ images: { a: 50, b: 50, c: 50 }, policy: { amounts: "disk" } });
    await world.create("c");
    const runtime = {
      ...world.fake,
      imageFsInfo: async () =>
        ImageFsInfoResponse.fromPartial({
          imageFilesystems: [{ fsId: { mountpoint: "/images" }, usedBytes: { value: 1320n } }],
        }),
      listContainerStats: async () =>
        ListContainerStatsResponse.fromPartial({
          stats: [{ writableLayer: { usedBytes: { value: 1000n } } }],
        }),
    };
    const gc = world.manager({ policy: { amounts: "disk" }, manager: { runtime, layers: "sizes" } });
    world.figures = FULL;
    await world.clock.advance(1);
    // 150 must go. 160 bytes packed (with pause) are 320 unpacked: an image of 50 takes 150.
    const { removed, freedBytes, freedBySpaceBytes, error } = await gc.collect();
    expect([removed, freedBytes, freedBySpaceBytes, error]).toEqual([[idOf("a")], 50, 150, undefined]);
  });

  it("what is spared is told as a step, with why", async () => {
    await using world = new ImageWorld({ images: { a: 100, b: 100 } });
    const hold = await world.gc.locks.hold("a", { by: "a pull" });
    const steps: ImageGcStep[] = [];
    const pass = world.gc.deleteUnusedImages({
      onStep: (step) => {
        steps.push(step);
        // Held after the plan was made.
        if (step.kind === "plan")
          void world.gc.locks.hold("b", { by: "a create" }).then((late) => holds.push(late));
      },
    });
    const holds: Disposable[] = [hold];
    await pass;
    expect(steps.slice(1)).toEqual([
      {
        kind: "spared",
        imageId: idOf("b"),
        name: expect.any(String),
        why: "about to be used by a create",
        failed: false,
      },
    ]);
    for (const one of holds) one[Symbol.dispose]();
  });

  it("a plan counts shared layers once also when nothing is to be freed yet", async () => {
    await using world = new ImageWorld({ images: { a: 100, b: 300 } });
    const layers = new Map([
      [idOf("a"), [{ digest: "base", bytes: 100 }]],
      [
        idOf("b"),
        [
          { digest: "base", bytes: 100 },
          { digest: "top", bytes: 200 },
        ],
      ],
    ]);
    const gc = world.manager({ manager: { layers: async () => layers } });
    const { entries } = await gc.plan();
    expect(Object.fromEntries(entries.map(({ image, freesBytes }) => [image.id, freesBytes]))).toMatchObject({
      [idOf("a")]: 0,
      [idOf("b")]: 200,
    });
  });
});
