// SPDX-License-Identifier: Apache-2.0

import { ManualClock } from "@holdfast/core/manual-clock";
import type { Image } from "@holdfast/cri";
import { seededRandom } from "@holdfast/core/random";
import { ImageLocks } from "@holdfast/gc";
import { describe, expect, it } from "vitest";
import { idOf, ImageWorld, nameOf } from "./environment.ts";

describe("image locks", () => {
  it("a removal leaves alone what is held, under whatever name", async () => {
    const locks = new ImageLocks();
    const hold = await locks.hold("busybox", { by: "a create" });
    const names = ["sha256:1", "docker.io/library/busybox:latest"];
    expect(locks.beginRemoval(names)).toEqual({ heldBy: "a create" });
    hold[Symbol.dispose]();
    hold[Symbol.dispose]();
    expect(locks.beginRemoval(names)).toHaveProperty("extend");
  });

  it("who comes during a removal waits for its end, or for its signal", async () => {
    const locks = new ImageLocks();
    const removal = locks.beginRemoval(["sha256:1", "docker.io/library/a:latest"]);
    if ("heldBy" in removal) throw new Error("held");
    const giveUp = new AbortController();
    const order: string[] = [];
    const first = locks.use("a", async () => order.push("held"));
    const second = locks.hold("sha256:1", { signal: giveUp.signal });
    giveUp.abort(new Error("given up"));
    await expect(second).rejects.toThrow("given up");
    order.push("removed");
    removal[Symbol.dispose]();
    await first;
    expect(order).toEqual(["removed", "held"]);
    expect(locks.snapshot()).toEqual({ held: [], removing: [] });
  });

  it("a removal learns of who waits for it, and of holders of names found since", async () => {
    const locks = new ImageLocks();
    const removal = locks.beginRemoval(["sha256:1"]);
    if ("heldBy" in removal) throw new Error("held");
    const other = await locks.hold("b", { by: "a pull" });
    expect(removal.extend(["docker.io/library/b:latest"])).toBe("a pull");
    other[Symbol.dispose]();
    const waiting = locks.hold("sha256:1", { by: "a start" });
    expect(removal.extend(["sha256:1"])).toBe("a start");
    removal[Symbol.dispose]();
    (await waiting)[Symbol.dispose]();
  });

  it("a pull that comes back with an id that is just being removed is told", async () => {
    const locks = new ImageLocks();
    const removal = locks.beginRemoval(["sha256:1"]);
    if ("heldBy" in removal) throw new Error("held");
    using hold = await locks.hold("b:1");
    const added = hold.add("sha256:1");
    removal[Symbol.dispose]();
    expect(await added).toBe(true);
    expect(await hold.add("sha256:1")).toBe(false);
  });
});

describe("an image that is just taken into use", () => {
  it("is seen by the last look before its removal, when another owner's create came in between", async () => {
    await using world = new ImageWorld({ images: { a: 100, b: 100 } });
    await world.clock.advance(10);
    let creating: Promise<string> | undefined;
    const runtime = {
      ...world.fake,
      imageStatus: (...args: Parameters<typeof world.fake.imageStatus>) => {
        creating ??= world.create("a");
        return world.fake.imageStatus(...args);
      },
    };
    const gc = world.manager({ manager: { runtime } });
    const { removed, spared } = await gc.deleteUnusedImages();
    expect(removed).toEqual([idOf("b")]);
    expect(spared.get(idOf("a"))).toMatch(/^used by app .* since$/);
    expect(world.events("gc/ImageSpared")).toHaveLength(1);
  });

  it.each([
    ["id as containerd has it", "imageRef", (image: Image) => image.id],
    ["digest as others have it", "imageRef", (image: Image) => image.repoDigests[0] ?? ""],
    ["imageId as the newest have it", "imageId", (image: Image) => image.id],
  ] as const)(
    "is told by its %s when another owner's create came after the last look",
    async (_what, field, told) => {
      await using world = new ImageWorld({ images: { a: 100 } });
      await world.clock.advance(10);
      const { images } = await world.fake.listImages({});
      const value = images.filter(({ id }) => id === idOf("a")).map(told)[0] ?? "";
      const runtime = {
        ...world.fake,
        removeImage: async (...args: Parameters<typeof world.fake.removeImage>) => {
          await world.create("a");
          return world.fake.removeImage(...args);
        },
        listContainers: async (...args: Parameters<typeof world.fake.listContainers>) => {
          const { containers } = await world.fake.listContainers(...args);
          return { containers: containers.map((one) => ({ ...one, imageRef: "", [field]: value })) };
        },
      };
      const { removed } = await world.manager({ manager: { runtime } }).deleteUnusedImages();
      expect(removed).toEqual([idOf("a")]);
      const [event] = world.events("gc/RemovedImageUsed");
      expect(event?.data).toMatchObject({ imageId: idOf("a") });
      expect(event?.causes).toHaveLength(1);
    },
  );

  it("stays when it is tagged anew or pinned meanwhile", async () => {
    await using world = new ImageWorld({ images: { a: 100, b: 100 } });
    await world.clock.advance(10);
    const runtime = {
      ...world.fake,
      imageStatus: async (...args: Parameters<typeof world.fake.imageStatus>) => {
        world.fake.addImage({ reference: "again:1", id: idOf("a"), size: 100 });
        world.fake.addImage({ reference: "b", id: idOf("b"), size: 100, pinned: true });
        return world.fake.imageStatus(...args);
      },
    };
    const gc = world.manager({ manager: { runtime } });
    const hold = await gc.locks.hold("again:1", { by: "a pull of again:1" });
    const { spared } = await gc.deleteUnusedImages();
    expect(Object.fromEntries(spared)).toEqual({
      [idOf("a")]: "about to be used by a pull of again:1",
      [idOf("b")]: "pinned meanwhile",
    });
    hold[Symbol.dispose]();
  });

  it("is never removed in 1,000 random interleavings of starts and passes", async () => {
    const names = ["a", "b", "c", "d"];
    for (let seed = 1; seed <= 1000; seed++) {
      const random = seededRandom(seed);
      const clock = new ManualClock();
      const between = (most: number): number => Math.floor(random() * most);
      const images = Object.fromEntries(names.map((name) => [name, 100]));
      await using world = new ImageWorld({
        clock,
        images,
        fake: {
          random,
          latencyMs: {
            ListContainers: between(6),
            ImageStatus: between(6),
            RemoveImage: between(20),
            CreateContainer: between(20),
            PullImage: between(30),
          },
          registry: (reference) => {
            const name = reference.slice("docker.io/library/".length, -":latest".length);
            return { reference, id: idOf(name), size: 100 };
          },
        },
      });
      const created = new Map<string, string>();
      const start = async (name: string): Promise<void> => {
        await clock.sleep(between(60));
        await world.gc.locks.use(name, async (hold) => {
          const { image } = await world.fake.imageStatus({ image: { image: name } });
          const began = clock.monotonic();
          let id = image?.id;
          if (id === undefined) {
            id = (await world.fake.pullImage({ image: { image: name } })).imageRef;
            world.gc.imagePulled(id, began);
          }
          await hold.add(id);
          created.set(await world.create(id), id);
        });
      };
      const collect = async (): Promise<void> => {
        await clock.sleep(between(30));
        await world.gc.deleteUnusedImages();
      };
      const work = Promise.all([
        ...Array.from({ length: 3 }, () => start(names[between(names.length)] ?? "a")),
        collect(),
        collect(),
      ]);
      await clock.advance(2000);
      await work.catch((cause: unknown) => {
        throw new Error(`seed ${seed}`, { cause });
      });
      const left = new Set(await world.left());
      for (const id of created.values())
        expect(left, `seed ${seed}: ${nameOf(id)} is used`).toContain(nameOf(id));
      expect(world.events("gc/RemovedImageUsed"), `seed ${seed}`).toEqual([]);
    }
  });
});
