// SPDX-License-Identifier: Apache-2.0

import { ManualClock } from "@holdfast/core/manual-clock";
import type { Pod } from "@holdfast/core/pod-types";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { computePodUpdates, podDifference } from "../../src/config/compute-pod-updates.ts";
import { isManifestName } from "../../src/config/manifest-name.ts";
import { PodConfig } from "../../src/config/pod-config.ts";
import type { PodUpdate } from "../../src/config/pod-update.ts";

function pod(
  uid: string,
  parts: {
    name?: string;
    image?: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
    phase?: "Pending" | "Running";
    deleted?: boolean;
  } = {},
): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: parts.name ?? uid,
      namespace: "default",
      uid,
      ...(parts.labels && { labels: parts.labels }),
      ...(parts.annotations && { annotations: parts.annotations }),
      ...(parts.deleted && { deletionTimestamp: "2026-01-01T00:00:00Z" }),
    },
    spec: { containers: [{ name: "c", image: parts.image ?? "a:1" }] },
    status: { phase: parts.phase ?? "Pending" },
  };
}

describe("the difference of a pod", () => {
  it.each<[string, Pod, Pod, string | undefined]>([
    ["nothing", pod("a"), pod("a"), undefined],
    ["spec", pod("a"), pod("a", { image: "a:2" }), "UPDATE"],
    ["labels", pod("a"), pod("a", { labels: { a: "b" } }), "UPDATE"],
    ["annotations", pod("a"), pod("a", { annotations: { a: "b" } }), "UPDATE"],
    [
      "local annotations",
      pod("a"),
      pod("a", { annotations: { "kubernetes.io/config.seen": "x", "kubernetes.io/config.source": "api" } }),
      undefined,
    ],
    ["deletion", pod("a"), pod("a", { deleted: true }), "DELETE"],
    ["status", pod("a"), pod("a", { phase: "Running" }), "RECONCILE"],
    ["spec and status", pod("a"), pod("a", { image: "b", phase: "Running" }), "UPDATE"],
  ])("%s", (_name, before, after, op) => {
    expect(podDifference(before, after)).toBe(op);
  });
});

describe("computePodUpdates", () => {
  const uid = fc.constantFrom(..."abcdef");
  const anyPod = fc
    .record({
      uid,
      image: fc.constantFrom("a:1", "a:2"),
      phase: fc.constantFrom("Pending" as const, "Running" as const),
      deleted: fc.boolean(),
    })
    .map(({ uid: id, ...parts }) => pod(id, parts));
  const set = fc
    .uniqueArray(anyPod, { selector: ({ metadata }) => metadata.uid })
    .map((pods) => new Map(pods.map((item) => [item.metadata.uid, item])));

  it("leads from the old set to the new one, naming each pod at most once", () => {
    fc.assert(
      fc.property(set, set, (before, after) => {
        const updates = computePodUpdates("file", before, after);
        const named = updates.flatMap(({ pods }) => pods.map(({ metadata }) => metadata.uid));
        expect(new Set(named).size).toBe(named.length);
        expect(applied(before, updates)).toEqual(after);
      }),
    );
  });

  it("says nothing when nothing changed", () => {
    fc.assert(
      fc.property(set, (pods) => {
        expect(computePodUpdates("file", pods, structuredClone(pods))).toEqual([]);
      }),
    );
  });
});

function applied(before: ReadonlyMap<string, Pod>, updates: readonly PodUpdate[]): Map<string, Pod> {
  const result = new Map(before);
  for (const { op, pods } of updates)
    for (const item of pods) {
      if (op === "REMOVE") expect(result.delete(item.metadata.uid)).toBe(true);
      else {
        expect(result.has(item.metadata.uid)).toBe(op !== "ADD");
        result.set(item.metadata.uid, item);
      }
    }
  return result;
}

describe("PodConfig", () => {
  const make = (): { clock: ManualClock; config: PodConfig; told: string[] } => {
    const clock = new ManualClock();
    const config = new PodConfig({ sources: ["file", "api"], clock });
    const told: string[] = [];
    config.subscribe(
      (updates) =>
        void told.push(
          ...updates.map(
            ({ op, source, pods }) => `${op} ${source} ${pods.map(({ metadata }) => metadata.uid).join()}`,
          ),
        ),
    );
    return { clock, config, told };
  };
  const deliver = (config: PodConfig, source: "file" | "api", pods: readonly Pod[]): void =>
    config.update({ source, pods, ready: true, unknown: [] });

  // kubelet: TestPodConfigTests (ADD, UPDATE, REMOVE in one delivery)
  it("tells REMOVE before ADD before UPDATE", () => {
    const { config, told } = make();
    deliver(config, "file", [pod("a"), pod("b")]);
    deliver(config, "file", [pod("b", { image: "b:2" }), pod("c")]);
    expect(told).toEqual(["ADD file a,b", "REMOVE file a", "ADD file c", "UPDATE file b"]);
    expect(
      config
        .pods()
        .map(({ metadata }) => metadata.uid)
        .toSorted(),
    ).toEqual(["b", "c"]);
  });

  // kubelet: TestPodUpdateAnnotations
  it("stamps the source and the first time that a UID was seen", async () => {
    const { clock, config } = make();
    deliver(config, "file", [pod("a")]);
    const seen = config.get("a")?.metadata.annotations;
    expect(seen).toEqual({
      "kubernetes.io/config.source": "file",
      "kubernetes.io/config.seen": "2026-01-01T00:00:00.000Z",
    });
    await clock.advance(5000);
    deliver(config, "file", [pod("a", { image: "a:2" })]);
    expect(config.get("a")?.metadata.annotations).toEqual(seen);
  });

  it("keeps the object of a pod that did not change", () => {
    const { config, told } = make();
    deliver(config, "file", [pod("a")]);
    const before = config.get("a");
    deliver(config, "file", [pod("a")]);
    expect(config.get("a")).toBe(before);
    expect(told).toHaveLength(1);
  });

  it("takes the second pod of one UID once the first is gone, also when the source gives the same objects again", () => {
    const { config } = make();
    const [first, second] = [pod("a", { image: "a:1" }), pod("a", { name: "b", image: "a:2" })];
    const image = (): string | undefined => config.get("a")?.spec.containers[0]?.image;
    deliver(config, "file", [first, second]);
    deliver(config, "file", [first, second]);
    expect(image()).toBe("a:1");
    deliver(config, "file", [second]);
    expect(image()).toBe("a:2");
    deliver(config, "file", [first]);
    expect(image()).toBe("a:1");
  });

  // kubelet: TestInvalidPodFiltered
  it("drops the second pod of one name, and a UID that another source has", () => {
    const { config } = make();
    deliver(config, "file", [pod("a"), pod("b", { name: "a" })]);
    deliver(config, "api", [pod("a", { name: "x" }), pod("c")]);
    expect(config.pods().map(({ metadata }) => metadata.uid)).toEqual(["a", "c"]);
  });

  // kubelet: TestNewPodAddedSnapshotAndUpdates
  it("begins with what is known, and ends when disposed", () => {
    const { config } = make();
    deliver(config, "file", [pod("a")]);
    const late: string[] = [];
    const subscription = config.subscribe((updates) => void late.push(...updates.map(({ op }) => op)));
    subscription[Symbol.dispose]();
    deliver(config, "file", []);
    expect(late).toEqual(["ADD"]);
  });

  it("has seen all sources when each was ready once, and survives a listener that throws", () => {
    const { config, told } = make();
    config.subscribe(() => {
      throw new Error("bad listener");
    });
    config.update({ source: "file", pods: [pod("a")], ready: false, unknown: ["/x"] });
    deliver(config, "api", []);
    expect([config.seenAllSources(), config.unknownInputs()]).toEqual([false, ["/x"]]);
    deliver(config, "file", [pod("a"), pod("b")]);
    expect([config.seenAllSources(), config.unknownInputs()]).toEqual([true, []]);
    expect(told).toEqual(["ADD file a", "ADD file b"]);
  });
});

describe("names of manifests", () => {
  it.each(["a.yaml", "a.yml", "a.json", "a", "static-web"])("%s is read", (name) => {
    expect(isManifestName(name)).toBe(true);
  });
  it.each([
    ".a.yaml",
    ".a.yaml.swp",
    "a.yaml~",
    "a.swp",
    "#a.yaml#",
    ".#a.yaml",
    "4913",
    "a.yaml.tmp",
    "a.yaml.bak",
    "a.yaml.dpkg-new",
    "..data",
    "",
  ])("%j is left out", (name) => {
    expect(isManifestName(name)).toBe(false);
  });
});
