// SPDX-License-Identifier: Apache-2.0

// Image GC and starting pods in one agent: an image that a pod of ours begins to use is never removed.
import { seededRandom } from "@holdfast/core/random";
import type { LogFiles } from "@holdfast/gc";
import { expect, it } from "vitest";
import { container, manifest } from "./pods.ts";
import { SimulatedNode } from "./simulated-node.ts";

const NAMES = ["a", "b", "c"];
const NO_LOGS: LogFiles = {
  size: async () => 0,
  list: async () => [],
  folders: async () => [],
  rename: async () => {},
  remove: async () => {},
  removeTree: async () => {},
  compress: async () => {},
};

/** An agent whose images' disk is always too full, with images that can be pulled again. */
function fullNode(seed: number): SimulatedNode {
  const random = seededRandom(seed);
  const upTo = (most: number): number => Math.floor(random() * most);
  return new SimulatedNode({
    seed,
    fake: {
      latencyMs: {
        ImageStatus: upTo(10),
        ListContainers: upTo(10),
        RemoveImage: upTo(60),
        CreateContainer: upTo(60),
        PullImage: upTo(100),
        RunPodSandbox: upTo(100),
      },
      registry: (reference) => ({ reference, id: `sha256:${reference}`, size: 1000 }),
    },
    config: { imageMinimumGCAgeMs: 0 },
    ports: {
      logFiles: NO_LOGS,
      filesystem: async () => ({ capacityBytes: 1_000_000, availableBytes: 1 }),
    },
  });
}

it("in random interleavings of pods that come and go with passes, no image of a container is missing", async () => {
  let removed = 0;
  for (let seed = 1; seed <= 60; seed++) {
    const random = seededRandom(seed);
    const upTo = (most: number): number => Math.floor(random() * most);
    const node = fullNode(seed);
    await node.start();
    const passes: Promise<unknown>[] = [];
    const wanted = new Set<string>();
    for (let step = 0; step < 30; step++) {
      const name = NAMES[upTo(NAMES.length)] ?? "a";
      if (wanted.has(name)) {
        node.manifests.remove(`${name}.json`);
        wanted.delete(name);
      } else {
        const image = `registry.test/${NAMES[upTo(NAMES.length)] ?? "a"}:1`;
        node.manifests.write(
          `${name}.json`,
          manifest(name, { containers: [container("main", {}, { image })] }, step),
        );
        wanted.add(name);
      }
      await node.advance(upTo(400));
      passes.push(
        node
          .collectImages()
          .then((lines) => (removed += lines.filter((line) => line.includes('"removed"')).length)),
      );
      await node.advance(upTo(400));
    }
    await node.until("all that is wanted runs", () => node.running().length === wanted.size);
    await node.advance(20_000);
    await Promise.all(passes);
    const images = new Set((await node.runtime.listImages({})).images.map(({ id }) => id));
    for (const { id } of node.running()) {
      const { status } = await node.runtime.containerStatus({ containerId: id });
      expect(images, `seed ${seed}`).toContain(`sha256:${status?.image?.image ?? ""}`);
    }
    const { recent } = await node.snapshot();
    expect(
      JSON.stringify(recent, (_key, value: unknown) => (typeof value === "bigint" ? String(value) : value)),
      `seed ${seed}`,
    ).not.toContain("gc/RemovedImageUsed");
    expect(node.log.join("\n"), `seed ${seed}`).not.toMatch(/image .* not found|CreateContainerError/i);
    await node.stop();
    expect(node.troubles, `seed ${seed}`).toEqual([]);
  }
  // Passes have had something to do.
  expect(removed).toBeGreaterThan(60);
}, 60_000);

it.each([
  [
    "a capacity of 0",
    async () => ({ capacityBytes: 0, availableBytes: 0 }),
    /invalid capacity 0 on image filesystem/,
  ],
  [
    "figures that are none",
    async () => ({ capacityBytes: 10, availableBytes: -1 }),
    /invalid figures on image filesystem/,
  ],
  [
    "a statfs that hangs",
    () => new Promise<never>(() => {}),
    /no figures of .*reading the figures of .* within 10 s|no figures of/,
  ],
])(
  "a disk that reports nonsense: %s. No image goes, it is told, and pods go on",
  async (_what, filesystem, told) => {
    const node = new SimulatedNode({
      fake: { registry: (reference) => ({ reference, id: `sha256:${reference}`, size: 1000 }) },
      config: { imageMinimumGCAgeMs: 0, imageGCScope: "all" },
      ports: { logFiles: NO_LOGS, filesystem },
    });
    const before = (await node.runtime.listImages({})).images.length;
    await node.start();
    await node.advance(11 * 60_000);
    node.manifests.write("web.json", manifest("web"));
    await node.until("a pod starts as ever", () => node.running().length === 1, 5000);
    expect((await node.runtime.listImages({})).images).toHaveLength(before);
    expect(node.log.join("\n")).toMatch(told);
    const { conditions } = await node.node();
    expect(conditions.find(({ type }) => type === "Ready")?.status).toBe("True");
    expect((await node.podList()).node.join("\n")).toMatch(told);
    await node.stop();
    expect(node.troubles).toEqual([]);
  },
);
