// SPDX-License-Identifier: Apache-2.0

import { ManualClock } from "@holdfast/core/manual-clock";
import { seededRandom } from "@holdfast/core/random";
import type { Fault } from "@holdfast/cri-fake";
import { describe, expect, it } from "vitest";
import { idOf, ImageWorld, MINUTE, nameOf } from "./environment.ts";

const METHODS = [
  "ListImages",
  "ListContainers",
  "ImageStatus",
  "RemoveImage",
  "ImageFsInfo",
  "Status",
  "ContainerStatus",
];

/** What may go wrong with any call of GC. */
function faultsOf(random: () => number): Fault[] {
  const effects: Omit<Fault, "match">[] = [
    { error: { message: "injected" } },
    { hang: true },
    { after: { hang: true } },
    { after: { error: { code: "CRI_UNAVAILABLE", message: "lost" } } },
    { latencyMs: 15_000 },
  ];
  return effects.map((effect) => ({
    match: { method: METHODS.filter(() => random() < 0.5), probability: 0.08 },
    ...effect,
  }));
}

describe("image GC on a runtime that fails at random", () => {
  it("keeps what is used, ends each pass, and forgets nothing that it holds", async () => {
    for (let seed = 1; seed <= 200; seed++) {
      const random = seededRandom(seed);
      const clock = new ManualClock();
      const names = ["a", "b", "c", "d", "e", "f"];
      await using world = new ImageWorld({
        clock,
        images: Object.fromEntries(names.map((name) => [name, 100])),
        fake: { random },
      });
      world.figures = { capacityBytes: 1000, availableBytes: Math.floor(random() * 400) };
      const used = names.filter(() => random() < 0.4);
      for (const name of used) await world.create(name);
      const faults = faultsOf(random).map((fault) => world.fake.addFault(fault));
      await world.gc.start();
      await clock.advance(60 * MINUTE);
      const pass = world.gc.deleteUnusedImages();
      await clock.advance(60 * MINUTE);
      await pass;
      const left = await Promise.race([leftOf(world, faults), clock.advance(5 * MINUTE)]);
      expect(left, `seed ${seed}`).toEqual(expect.arrayContaining(used));
      expect(world.gc.locks.snapshot(), `seed ${seed}`).toEqual({ held: [], removing: [] });
      // Each removal that was told of was meant, and each that happened was told of before.
      const meant = world.bus.recent().filter(({ type }) => type === "gc/ImageRemoving");
      const told = new Set(meant.map(({ data }) => nameOf((data as { imageId: string }).imageId)));
      for (const name of names)
        if (left?.includes(name) !== true) expect(told, `seed ${seed}: ${idOf(name)}`).toContain(name);
      // In peace again, it ends what it began.
      await clock.advance(6 * MINUTE);
      expect(world.gc.health().failures.join(), `seed ${seed}`).not.toMatch(/injected|lost/);
      expect((await world.gc.deleteUnusedImages()).error, `seed ${seed}`).toBeUndefined();
      expect(await world.left(), `seed ${seed}`).toEqual(used.toSorted());
    }
  });
});

async function leftOf(world: ImageWorld, faults: readonly { lift(): void }[]): Promise<string[]> {
  for (const fault of faults) fault.lift();
  return world.left();
}
