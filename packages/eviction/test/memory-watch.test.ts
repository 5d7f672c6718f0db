// SPDX-License-Identifier: Apache-2.0

import { usageAtThreshold } from "@holdfast/eviction";
import { describe, expect, it } from "vitest";
import { GI, MI, Rig } from "./builders.ts";

const value = (amount: number) => ({ value: { kind: "quantity", amount, format: "binary" } as const });

// kubelet: TestUpdateThreshold
it("page cache that can be given back is in use and available at once", () => {
  const figures = { availableBytes: 3 * GI, workingSetBytes: GI, usageBytes: 2 * GI };
  expect(usageAtThreshold(value(GI), figures)).toBe(4 * GI);
  expect(usageAtThreshold({ value: { kind: "percentage", fraction: 0.5 } }, figures)).toBe(3 * GI);
  expect(usageAtThreshold(value(GI), { availableBytes: 3 * GI, workingSetBytes: GI })).toBeUndefined();
});

describe("between two rounds", () => {
  /** 4 GiB, of which 1 is the working set; 1 GiB of page cache beside it. A threshold of 1 GiB is crossed at 4 GiB in use. */
  function rig(used: { node?: number | Error; pods?: number }) {
    const asked: string[] = [];
    const node = new Rig(
      { evictionHard: { "memory.available": "1Gi" } },
      {
        memoryUsage: {
          usageBytes: (of) => {
            asked.push(of);
            const found = used[of];
            if (found instanceof Error) throw found;
            return found;
          },
        },
      },
    );
    let looks = 0;
    node.onNode = async () => {
      looks += 1;
    };
    node.node = { memory: { availableBytes: 3 * GI, workingSetBytes: GI, usageBytes: 2 * GI } };
    return { node, asked, used, looks: () => looks };
  }

  it("a threshold that is crossed begins a round at once, and once", async () => {
    const { node, used, looks } = rig({ node: 2 * GI });
    await node.manager.start();
    await node.clock.advance(1000);
    expect(looks()).toBe(1);
    used.node = 4 * GI + MI;
    await node.clock.advance(250);
    expect(looks()).toBe(2);
    // It stays above: the next round is the usual one.
    await node.clock.advance(5000);
    expect(looks()).toBe(2);
    used.node = 3 * GI;
    await node.clock.advance(250);
    used.node = 5 * GI;
    await node.clock.advance(250);
    expect(looks()).toBe(3);
    await node.clock.advance(10_000);
    expect(looks()).toBe(4);
    await node.manager.stop();
  });

  it("whoever uses most goes within a quarter of a second", async () => {
    const { node, used } = rig({ node: 2 * GI });
    node.add("greedy", {}, { memory: "1Gi" });
    await node.manager.start();
    await node.clock.advance(250);
    used.node = 5 * GI;
    node.node = { memory: { availableBytes: GI / 2, workingSetBytes: 3.5 * GI, usageBytes: 5 * GI } };
    await node.clock.advance(250);
    expect(node.killed.map(({ pod }) => pod)).toEqual(["greedy"]);
    await node.manager.stop();
  });

  it("all pods together are watched, too", async () => {
    const { node, used, looks } = rig({ pods: GI });
    const pods = { availableBytes: 3 * GI, workingSetBytes: GI, usageBytes: GI };
    node.node = { systemContainers: [{ name: "pods", memory: pods }] };
    await node.manager.start();
    await node.clock.advance(250);
    used.pods = 3 * GI + MI;
    await node.clock.advance(250);
    expect(looks()).toBe(2);
    await node.manager.stop();
  });

  // kubelet: TestUpdateMemcgThreshold
  it("reckons anew at most every 10 s; figures or files that are missing are borne", async () => {
    const { node, used, looks } = rig({ node: 2 * GI });
    await node.round();
    // Within 10 s: the amount stays 4 GiB although more page cache is there.
    node.node = { memory: { availableBytes: 3 * GI, workingSetBytes: GI, usageBytes: 4 * GI } };
    await node.round(5000);
    await node.manager.start();
    used.node = 4 * GI + MI;
    await node.clock.advance(250);
    expect(looks()).toBe(4);
    // Later: 6 GiB.
    await node.clock.advance(10_000);
    used.node = 5 * GI;
    await node.clock.advance(500);
    const before = looks();
    used.node = 6 * GI + MI;
    await node.clock.advance(250);
    expect(looks()).toBe(before + 1);
    node.node = {};
    used.node = new Error("no such file");
    await node.clock.advance(20_000);
    used.node = 5 * GI;
    await node.clock.advance(250);
    const later = looks();
    used.node = 6 * GI + MI;
    await node.clock.advance(250);
    expect(looks()).toBe(later + 1);
    await node.manager.stop();
  });

  it("is not looked at without a threshold on memory", async () => {
    const { node, asked } = rig({ node: 2 * GI });
    const other = new Rig(
      { evictionHard: { "pid.available": "1k" } },
      { memoryUsage: { usageBytes: (of) => asked.push(of) } },
    );
    await other.manager.start();
    await other.clock.advance(20_000);
    await node.clock.advance(1000);
    expect(asked).toEqual([]);
    await other.manager.stop();
  });
});
