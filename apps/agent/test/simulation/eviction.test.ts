// SPDX-License-Identifier: Apache-2.0

// Disk pressure in virtual time, with the whole agent: who goes, who stays, who waits; and agents that are killed in the midst of it.
import { seededRandom } from "@holdfast/core/random";
import type { StatsHost } from "@holdfast/stats";
import { describe, expect, it } from "vitest";
import { parseConfig } from "../../src/config/parse-config.ts";
import { manifest } from "./pods.ts";
import type { Fields } from "./pods.ts";
import { NODE_NAME, SimulatedNode } from "./simulated-node.ts";

const BLOCKS = 1000;
const BLOCK_BYTES = 4096;

/** A disk that pods' volumes fill: what each takes is said by the volume's name. */
class FillingDisk {
  readonly blocksByVolume = new Map<string, number>();
  /** What others than pods take. */
  others = 0;
  /** A mount that is dead. */
  hangs = false;
  readonly #volumes: () => ReadonlySet<string>;

  constructor(volumes: () => ReadonlySet<string>) {
    this.#volumes = volumes;
  }

  get host(): StatsHost {
    return {
      files: { read: () => undefined, folders: () => [], link: () => undefined },
      breathe: async () => {},
      listFolders: async () => [],
      statfs: async () => {
        if (this.hangs) await new Promise(() => {});
        const taken = [...this.#volumes()].reduce(
          (sum, name) => sum + (this.blocksByVolume.get(name) ?? 0),
          this.others,
        );
        const free = Math.max(BLOCKS - taken, 0);
        return {
          blockBytes: BLOCK_BYTES,
          blocks: BLOCKS,
          blocksFree: free,
          blocksAvailable: free,
          inodes: 1000,
          inodesFree: 900,
          device: 1,
        };
      },
      measureTree: async (path) => {
        const name = path.slice(path.lastIndexOf("/") + 1);
        const blocks = this.blocksByVolume.get(name) ?? 0;
        return { usedBytes: blocks * BLOCK_BYTES, inodesUsed: 1, complete: true };
      },
    };
  }
}

const CONFIG = parseConfig(
  `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
evictionHard: { nodefs.available: 30% }
evictionPressureTransitionPeriod: 60s
---
apiVersion: holdfast.agent/v1alpha1
kind: AgentConfiguration
evictStaticPods: true
`,
  "config",
  NODE_NAME,
).config;

function nodeOn(seed: number): { readonly node: SimulatedNode; readonly disk: FillingDisk } {
  // A volume's folder goes when its pod has ended.
  const disk = new FillingDisk(
    () =>
      new Set(
        node.runtime
          .containers()
          .filter(({ alive }) => alive)
          .map(({ name }) => `vol-${name}`),
      ),
  );
  const node = new SimulatedNode({
    seed,
    config: { eviction: CONFIG.eviction },
    ports: { stats: disk.host },
  });
  return { node, disk };
}

/** The container bears the pod's name, and so does its volume. */
function podWith(name: string, over: Fields = {}): string {
  return manifest(name, {
    containers: [{ name, image: "holdfast.local/busybox:1", command: ["run", "{}"] }],
    volumes: [{ name: `vol-${name}`, emptyDir: {} }],
    ...over,
  });
}

async function phases(node: SimulatedNode): Promise<Record<string, string>> {
  const pods = await node.pods();
  return Object.fromEntries(
    pods.map(({ metadata, status }) => [
      metadata.name.replace(`-${NODE_NAME}`, ""),
      `${status.phase} ${status.reason ?? ""}`.trim(),
    ]),
  );
}

async function pressure(node: SimulatedNode): Promise<string | undefined> {
  return (await node.node()).conditions.find(({ type }) => type === "DiskPressure")?.status;
}

describe("disk pressure", () => {
  it("the one that takes most goes and stays, who comes meanwhile waits, and comes in when it is over", async () => {
    const { node, disk } = nodeOn(1);
    for (const name of ["small", "large", "critical"])
      node.manifests.write(
        `${name}.json`,
        podWith(name, name === "critical" ? { priority: 2_000_000_000 } : {}),
      );
    await node.start();
    await node.until("all run", () => node.running().length === 3);
    disk.blocksByVolume.set("vol-small", 100).set("vol-large", 300).set("vol-critical", 350);
    await node.until("the large one has ended", () => node.running().length === 2, 30_000);
    expect(await pressure(node)).toBe("True");
    node.manifests.write("late.json", podWith("late"));
    await node.advance(20_000);
    expect(await phases(node)).toEqual({
      small: "Running",
      critical: "Running",
      large: "Failed Evicted",
      late: "Pending Evicted",
    });
    expect((await node.pod("large")).status.conditions).toContainEqual(
      expect.objectContaining({ type: "DisruptionTarget", reason: "TerminationByKubelet" }),
    );
    // 60 s after it was seen last.
    await node.until("the late one runs", () => node.running().length === 3, 60_000);
    expect(await pressure(node)).toBe("False");
    expect(await phases(node)).toMatchObject({ large: "Failed Evicted", late: "Running" });
    expect(await node.stop()).toBe(0);
    await node.start();
    await node.advance(30_000);
    expect(await phases(node)).toMatchObject({ large: "Failed Evicted", small: "Running", late: "Running" });
    await node.stop();
    expect(node.troubles).toEqual([]);
  });

  it("a file system that hangs evicts nobody, is named, and blocks nothing", async () => {
    const { node, disk } = nodeOn(2);
    disk.hangs = true;
    disk.others = 990;
    node.manifests.write("one.json", podWith("one"));
    await node.start();
    await node.until("it runs", () => node.running().length === 1);
    await node.advance(60_000);
    expect(await phases(node)).toEqual({ one: "Running" });
    expect(await pressure(node)).toBe("False");
    expect((await node.podList()).node.join("\n")).toMatch(
      /eviction: node\.fs: statfs of .* has not answered/,
    );
    node.manifests.write("two.json", podWith("two"));
    await node.until("the next one runs", () => node.running().length === 2);
    await node.stop();
    expect(node.troubles).toEqual([]);
  });
});

it("with agents killed at random moments: critical pods and those within their means stay, evicted ones stay Failed", async () => {
  for (let seed = 1; seed <= 15; seed++) {
    const random = seededRandom(seed);
    const { node, disk } = nodeOn(seed);
    const names = ["a", "b", "c", "critical"];
    for (const name of names)
      node.manifests.write(
        `${name}.json`,
        podWith(name, name === "critical" ? { priority: 2_000_000_000 } : {}),
      );
    await node.start();
    await node.until("all run", () => node.running().length === names.length);
    disk.blocksByVolume.set("vol-a", 50).set("vol-b", 320).set("vol-c", 330).set("vol-critical", 340);
    for (let round = 0; round < 6; round++) {
      await node.advance(Math.floor(random() * 15_000));
      node.kill({ carriedOut: random() < 0.5 });
      await node.advance(Math.floor(random() * 2000));
      await node.start();
    }
    await node.advance(120_000);
    const shown = await phases(node);
    // 1040 of 1000 are taken: without c it is 710, without b too 390.
    expect(shown, `seed ${seed}`).toEqual({
      a: "Running",
      b: "Failed Evicted",
      c: "Failed Evicted",
      critical: "Running",
    });
    expect(node.running().length, `seed ${seed}`).toBe(2);
    await node.stop();
    expect(node.troubles, `seed ${seed}`).toEqual([]);
  }
});
