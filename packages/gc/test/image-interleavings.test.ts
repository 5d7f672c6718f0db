// SPDX-License-Identifier: Apache-2.0

// Others than this agent hold nothing: what they begin to use while image GC runs stays, or its loss is told.
import { ManualClock } from "@holdfast/core/manual-clock";
import { seededRandom } from "@holdfast/core/random";
import { describe, expect, it } from "vitest";
import { idOf, ImageWorld, MINUTE } from "./environment.ts";

const NAMES = ["a", "b", "c", "d"];

describe("others' creates, in 1,000 random interleavings with passes", () => {
  it("an image that one of them uses is there, or its loss was told, once and with its cause", async () => {
    let lost = 0;
    for (let seed = 1; seed <= 1000; seed++) {
      const random = seededRandom(seed);
      const clock = new ManualClock();
      const between = (most: number): number => Math.floor(random() * most);
      await using world = new ImageWorld({
        clock,
        images: Object.fromEntries(NAMES.map((name) => [name, 100])),
        fake: {
          random,
          latencyMs: {
            ListContainers: between(6),
            ImageStatus: between(6),
            RemoveImage: between(20),
            CreateContainer: between(40),
          },
        },
      });
      const used = new Map<string, string>();
      const start = async (name: string): Promise<void> => {
        await clock.sleep(between(60));
        const container = await world.create(name).catch(() => undefined);
        if (container !== undefined) used.set(container, idOf(name));
      };
      const collect = async (): Promise<void> => {
        await clock.sleep(between(30));
        await world.gc.deleteUnusedImages();
      };
      const work = Promise.all([
        ...Array.from({ length: 3 }, () => start(NAMES[between(NAMES.length)] ?? "a")),
        collect(),
      ]);
      await clock.advance(1000);
      await work;
      // A create may have been under way at the end of the pass: the next one tells.
      const next = world.gc.collect();
      await clock.advance(MINUTE);
      await next;
      const left = new Set((await world.left()).map(idOf));
      const events = world.bus.recent();
      const told = events.filter(({ type }) => type === "gc/RemovedImageUsed");
      const missing = [...used].filter(([, imageId]) => !left.has(imageId)).map(([id]) => id);
      expect(
        told.map(({ data }) => (data as { containerId: string }).containerId).toSorted(),
        `seed ${seed}`,
      ).toEqual(missing.toSorted());
      for (const event of told)
        expect(events.find(({ seq }) => seq === event.causes[0])?.type, `seed ${seed}`).toBe(
          "gc/ImageRemoved",
        );
      lost += missing.length;
    }
    // The case that is told of has come about.
    expect(lost).toBeGreaterThan(0);
  });
});
