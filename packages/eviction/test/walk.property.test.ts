// SPDX-License-Identifier: Apache-2.0

// Random walks of a node: whatever its figures say, the invariants at the top of eviction-manager.ts hold.
import fc from "fast-check";
import { expect, it } from "vitest";
import { GI, MI, Rig } from "./builders.ts";

const CAPACITY = 10 * GI;
const step = fc.record({
  ms: fc.integer({ min: 1, max: 120_000 }),
  /** Undefined: not known; more than there is and less than nothing: nonsense. */
  memory: fc.option(fc.integer({ min: -100, max: 3000 }), { nil: undefined }),
  disk: fc.option(fc.integer({ min: -100, max: 12_000 }), { nil: undefined }),
  layoutKnown: fc.boolean(),
  reclaimFrees: fc.boolean(),
});
const shape = fc.record({
  isStatic: fc.boolean(),
  priority: fc.constantFrom(-1, 0, 5, 2_000_000_000),
  memory: fc.integer({ min: 0, max: 2000 }),
});

it("critical pods stay, one pod goes at a time, nobody without a reason that can be true, and the node gives up its own first", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(shape, { maxLength: 8 }),
      fc.array(step, { minLength: 1, maxLength: 25 }),
      fc.boolean(),
      async (shapes, steps, evictStaticPods) => {
        const settings = { evictionHard: { "memory.available": "1Gi", "nodefs.available": "2Gi" } };
        const rig = new Rig({ ...settings, allocatableMemory: false }, { evictStaticPods });
        for (const [index, { isStatic, priority, memory }] of shapes.entries())
          rig.add(`p${index}`, { isStatic, priority }, { memory: `${memory}Mi`, rootfs: `${memory}Mi` });
        let wasKnown = false;
        for (const { ms, memory, disk, layoutKnown, reclaimFrees } of steps) {
          wasKnown ||= layoutKnown;
          rig.layout = layoutKnown ? { dedicatedImageFs: false, splitContainerFs: false } : undefined;
          rig.node = {
            ...(memory !== undefined && {
              memory: { availableBytes: memory * MI, workingSetBytes: GI },
            }),
            ...(disk !== undefined && { fs: { availableBytes: disk * MI, capacityBytes: CAPACITY } }),
          };
          rig.onReclaim = () => {
            if (reclaimFrees && disk !== undefined)
              rig.node = { ...rig.node, fs: { availableBytes: 5 * GI, capacityBytes: CAPACITY } };
          };
          rig.reclaimed.length = 0;
          const before = rig.pods.length;
          const evicted = await rig.round(ms);
          expect(evicted.length).toBeLessThanOrEqual(1);
          expect(before - rig.pods.length).toBe(evicted.length);
          const memoryShort = memory !== undefined && memory >= 0 && memory < 1024;
          const diskShort = disk !== undefined && disk >= 0 && disk < 2048 && wasKnown;
          if (evicted.length > 0) expect(memoryShort || diskShort).toBe(true);
          // Disk alone: not before the node gave up its own, and not when that was enough.
          if (evicted.length > 0 && !memoryShort) {
            expect(rig.reclaimed).toEqual(["containers", "images"]);
            expect(reclaimFrees).toBe(false);
          }
        }
        for (const { pod } of rig.killed) {
          const { isStatic, priority } = shapes[Number(pod.slice(1))]!;
          expect(priority).toBeLessThan(2_000_000_000);
          if (isStatic) expect(evictStaticPods).toBe(true);
        }
        expect(rig.clock.waiting).toBe(0);
      },
    ),
    { numRuns: 150 },
  );
});
