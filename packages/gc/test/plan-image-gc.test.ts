// SPDX-License-Identifier: Apache-2.0

import {
  computeUsage,
  DEFAULT_IMAGE_GC_POLICY,
  estimateImageLayers,
  formatBytes,
  imageGcPlanRows,
  imageGcPlanSummary,
  LayerAccount,
  matchesGlob,
  normalizeImageName,
  planImageGc,
  resolveImageGcPolicy,
} from "@holdfast/gc";
import type { GcImage, ImageGcFacts, ImageGcPlan, ImageGcPolicy, ImageRecord } from "@holdfast/gc";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

const NOW = 1_000_000;
const POLICY: ImageGcPolicy = { ...DEFAULT_IMAGE_GC_POLICY, images: "all", minAgeMs: 0 };

function image(id: string, sizeBytes: number, other: Partial<GcImage> = {}): GcImage {
  return { id, repoTags: [`docker.io/library/${id}:1`], repoDigests: [], sizeBytes, pinned: false, ...other };
}

function record(other: Partial<ImageRecord> = {}): ImageRecord {
  return { firstDetectedAt: NOW - 600_000, lastUsedAt: undefined, ours: true, ...other };
}

function facts(images: readonly GcImage[], other: Partial<ImageGcFacts> = {}): ImageGcFacts {
  return {
    images,
    users: new Map(),
    records: new Map(images.map(({ id }) => [id, record()])),
    sandboxImages: new Set(),
    held: new Map(),
    unreadableUsers: 0,
    filesystem: { capacityBytes: 1000, availableBytes: 50 },
    now: NOW,
    ...other,
  };
}

describe("policies", () => {
  // kubelet: TestValidateImageGCPolicy
  it.each([
    [{ highThresholdPercent: -1 }, "invalid HighThresholdPercent -1, must be in range [0-100]"],
    [{ highThresholdPercent: 101 }, "invalid HighThresholdPercent 101, must be in range [0-100]"],
    [{ lowThresholdPercent: -1 }, "invalid LowThresholdPercent -1, must be in range [0-100]"],
    [
      { highThresholdPercent: 1, lowThresholdPercent: 2 },
      "LowThresholdPercent 2 can not be higher than HighThresholdPercent 1",
    ],
    [{ minAgeMs: Number.NaN }, "imageMinimumGCAge is NaN ms, must not be negative"],
    [{ minAgeMs: 5, maxAgeMs: 5 }, "imageMaximumGCAge is 5 ms, must be more than imageMinimumGCAge, 5 ms"],
    [{ keep: [{ why: "no reason" }] }, "keep[0] says nothing: it would keep every image"],
  ])("%o is refused", (given, message) => {
    expect(() => resolveImageGcPolicy(given)).toThrow(message);
  });

  it("have the kubelet's defaults", () => {
    expect(resolveImageGcPolicy()).toMatchObject({
      highThresholdPercent: 85,
      lowThresholdPercent: 80,
      minAgeMs: 120_000,
      maxAgeMs: 0,
    });
    expect(resolveImageGcPolicy({ highThresholdPercent: 80 })).toMatchObject({ lowThresholdPercent: 80 });
  });
});

describe("how full a file system is", () => {
  it.each([
    [1000, 50, 95, 150],
    [1000, 159, 85, 41],
    [1000, 160, 84, 0],
    [100, 29, 71, 0],
    [3, 0, 100, 0],
    [10 * 2 ** 40, 2 ** 40, 90, 2 ** 40],
    [1000, 1000, 0, 0],
  ])(
    "%i bytes with %i available are %i %, and %i must go",
    (capacityBytes, availableBytes, percent, toFree) => {
      const usage = computeUsage({ capacityBytes, availableBytes }, POLICY);
      expect([usage.usagePercent, usage.toFreeBytes]).toEqual([percent, toFree]);
    },
  );
});

describe("shared layers", () => {
  const layers = new Map([
    [
      "a",
      [
        { digest: "base", bytes: 100 },
        { digest: "a", bytes: 10 },
      ],
    ],
    [
      "b",
      [
        { digest: "base", bytes: 100 },
        { digest: "b", bytes: 20 },
        { digest: "b", bytes: 20 },
      ],
    ],
  ]);
  const images = [image("a", 110), image("b", 140), image("c", 30)];

  it("count once, with the last image that has them", () => {
    const account = new LayerAccount(images, layers);
    expect(images.map((one) => account.frees(one))).toEqual([10, 20, 30]);
    expect(images.map((one) => account.remove(one))).toEqual([10, 120, 30]);
  });

  it("have the sizes that manifests tell; those of others are reckoned beside them", () => {
    const layered = [
      { id: "a", sizeBytes: 80, diffIds: ["base", "a"], layerBytes: [60, 20] },
      { id: "b", sizeBytes: 75, diffIds: ["base", "b"] },
      { id: "odd", sizeBytes: 90, diffIds: ["x", "y"], layerBytes: [1] },
    ];
    const found = Object.fromEntries(estimateImageLayers(layered));
    expect(found["a"]).toEqual([
      { digest: "base", bytes: 60 },
      { digest: "a", bytes: 20 },
    ]);
    expect(found["b"]).toEqual([
      { digest: "base", bytes: 60 },
      { digest: "b", bytes: 15 },
    ]);
    expect(found["odd"]?.map(({ bytes }) => bytes)).toEqual([45, 45]);
  });

  it("are reckoned from sizes: exactly where images build on one another", () => {
    const layered = [
      { id: "app", sizeBytes: 130, diffIds: ["base", "app"] },
      { id: "base", sizeBytes: 100, diffIds: ["base"] },
      { id: "twin", sizeBytes: 131, diffIds: ["base", "app"] },
    ];
    expect(Object.fromEntries(estimateImageLayers(layered))).toEqual({
      base: [{ digest: "base", bytes: 100 }],
      app: [
        { digest: "base", bytes: 100 },
        { digest: "app", bytes: 30 },
      ],
      twin: [
        { digest: "base", bytes: 100 },
        { digest: "app", bytes: 30 },
      ],
    });
  });

  it("never count more than all sizes together, whatever is removed in whatever order", () => {
    const layered = fc.array(
      fc.record({
        sizeBytes: fc.integer({ min: 0, max: 1000 }),
        diffIds: fc.array(fc.constantFrom("a", "b", "c", "d", "e"), { maxLength: 5 }),
      }),
      { maxLength: 8 },
    );
    fc.assert(
      fc.property(layered, (specs) => {
        const all = specs.map((spec, at) => image(String(at), spec.sizeBytes));
        const estimated = estimateImageLayers(specs.map((spec, at) => ({ id: String(at), ...spec })));
        const account = new LayerAccount(all, estimated);
        const freed = all.reduce((sum, one) => sum + account.remove(one), 0);
        expect(freed).toBeLessThanOrEqual(specs.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0));
        for (const one of estimated.values())
          for (const { bytes } of one) expect(bytes).toBeGreaterThanOrEqual(0);
      }),
    );
  });

  it("make a plan take as many images as it needs", () => {
    const used = { records: new Map(images.map(({ id }, at) => [id, record({ lastUsedAt: at })])) };
    const going = (given: ImageGcFacts): string[] =>
      planImageGc(given, POLICY).entries.flatMap((entry) =>
        entry.verdict === "remove" ? [`${entry.image.id} ${entry.freesBytes}`] : [],
      );
    const filesystem = { capacityBytes: 1000, availableBytes: 100 };
    expect(going(facts(images, { ...used, filesystem }))).toEqual(["a 110"]);
    expect(going(facts(images, { ...used, filesystem, layers }))).toEqual(["a 10", "b 120"]);
  });
});

describe("an image whose layers others have, too", () => {
  const layers = new Map(["a", "b", "c"].map((id) => [id, [{ digest: "base", bytes: 100 }]]));
  const images = ["a", "b", "c"].map((id) => image(id, 100));
  const rules = (given: Partial<ImageGcFacts>): string[] =>
    planImageGc(facts(images, { layers, ...given }), POLICY).entries.map(
      (entry) => `${entry.image.id} ${entry.rule} ${entry.freesBytes}`,
    );

  it("stays when one of those stays: its removal would free nothing", () => {
    const users = new Map([["c", [{ containerId: "x", name: "x", how: "image" as const }]]]);
    expect(rules({ users })).toEqual(["a frees-nothing 0", "b frees-nothing 0", "c in-use 0"]);
  });

  it("goes with them when all may go", () => {
    expect(rules({})).toEqual(["a space 0", "b space 0", "c space 100"]);
  });
});

describe("a plan", () => {
  it("says of each image why it goes or stays, in rows for people", () => {
    const images = [image("a", 100), image("b", 2048), image("c", 30, { pinned: true })];
    const users = new Map([
      ["b", ["x", "y", "z", "q"].map((name) => ({ containerId: name, name, how: "image" as const }))],
    ]);
    const plan = planImageGc(facts(images, { users }), POLICY);
    expect(imageGcPlanRows(plan)).toEqual([
      [
        "docker.io/library/a:1",
        "100 B",
        "never",
        "-",
        "remove",
        "space",
        "100 B",
        "never used since it was first seen 10m ago; the image filesystem is 95% full and 150 B must go",
      ],
      [
        "docker.io/library/b:1",
        "2.0 KiB",
        "never",
        "x +3",
        "keep",
        "in-use",
        "-",
        "used by x, y, z and 1 more",
      ],
      ["docker.io/library/c:1", "30 B", "never", "-", "keep", "pinned", "-", "pinned in the runtime"],
    ]);
    expect(imageGcPlanSummary(plan)).toBe(
      "95% of 1000 B used; 1 of 3 images would go and free 100 B, 50 B short of the low threshold",
    );
  });

  it("tells about what comes free on the disk, where images lie packed and unpacked", () => {
    const images = [image("a", 100), image("b", 100)];
    const plan = planImageGc(facts(images, { unpackedBytes: 500 }), POLICY, "unused");
    expect([plan.wouldFreeBytes, plan.wouldFreeOnDiskBytes]).toEqual([200, 700]);
    expect(imageGcPlanSummary(plan)).toMatch(/free 200 B \(about 700 B on the disk\)$/);
    expect(planImageGc(facts(images), POLICY).wouldFreeOnDiskBytes).toBeUndefined();
  });

  it("counts packed sizes as the kubelet, or about what images take on the disk", () => {
    const images = ["a", "b", "c", "d"].map((name) => image(name, 50));
    // 150 must go; an image is 50 packed and 100 unpacked.
    const given = facts(images, { unpackedBytes: 400 });
    const rules = (plan: ImageGcPlan): readonly string[] => plan.entries.map(({ rule }) => rule);
    const asKubelet = planImageGc(given, POLICY);
    expect(rules(asKubelet)).toEqual(["space", "space", "space", "enough-freed"]);
    expect([asKubelet.countsPerByte, asKubelet.wouldFreeOnDiskBytes]).toEqual([1, 450]);
    const onDisk = planImageGc(given, { ...POLICY, amounts: "disk" });
    expect(rules(onDisk)).toEqual(["space", "enough-freed", "enough-freed", "enough-freed"]);
    expect([onDisk.countsPerByte, onDisk.wouldFreeBytes, onDisk.shortBytes]).toEqual([3, 50, 0]);
    const unknown = planImageGc(facts(images), { ...POLICY, amounts: "disk" });
    expect(rules(unknown)).toEqual(rules(asKubelet));
  });

  it("what the age pass frees is not freed again", () => {
    const images = [image("old", 100), image("young", 100)];
    const records = new Map([
      ["old", record()],
      ["young", record({ lastUsedAt: NOW - 1 })],
    ]);
    const policy = { ...POLICY, maxAgeMs: 300_000 };
    const plan = planImageGc(facts(images, { records }), policy);
    expect(plan.entries.map(({ rule }) => rule)).toEqual(["max-age", "space"]);
    const enough = planImageGc(
      facts(images, { records, filesystem: { capacityBytes: 1000, availableBytes: 140 } }),
      policy,
    );
    expect(enough.entries.map(({ rule }) => rule)).toEqual(["max-age", "enough-space"]);
  });

  it("an image that is used in the moment of the pass stays", () => {
    const images = [image("a", 100)];
    const records = new Map([["a", record({ lastUsedAt: NOW })]]);
    expect(planImageGc(facts(images, { records }), POLICY).entries[0]?.rule).toBe("just-used");
  });

  it("an image that is about to be used stays", () => {
    const held = new Map([["a", "a pull"]]);
    expect(planImageGc(facts([image("a", 100)], { held }), POLICY).entries[0]).toMatchObject({
      rule: "held",
      reason: "about to be used by a pull",
    });
  });

  const arbitrary = fc.record({
    images: fc.array(
      fc.record({
        sizeBytes: fc.integer({ min: 0, max: 300 }),
        pinned: fc.boolean(),
        used: fc.boolean(),
        ours: fc.boolean(),
        age: fc.integer({ min: 0, max: 1000 }),
        idle: fc.option(fc.integer({ min: 0, max: 1000 }), { nil: undefined }),
      }),
      { maxLength: 20 },
    ),
    availableBytes: fc.integer({ min: 0, max: 1000 }),
    minAgeMs: fc.integer({ min: 0, max: 500 }),
    maxAgeMs: fc.constantFrom(0, 600),
    mine: fc.boolean(),
    goal: fc.constantFrom("thresholds" as const, "unused" as const),
  });

  it("names each image once, takes none that must stay, no more than it needs, and in order", () => {
    fc.assert(
      fc.property(arbitrary, ({ images: specs, availableBytes, minAgeMs, maxAgeMs, mine, goal }) => {
        const images = specs.map(({ sizeBytes, pinned }, at) => image(String(at), sizeBytes, { pinned }));
        const records = new Map(
          specs.map(({ age, idle, ours }, at) => [
            String(at),
            {
              firstDetectedAt: NOW - Math.max(age, idle ?? 0),
              lastUsedAt: idle === undefined ? undefined : NOW - idle,
              ours,
            },
          ]),
        );
        const users = new Map(
          specs.flatMap(({ used }, at) =>
            used ? [[String(at), [{ containerId: "c", name: "c", how: "image" as const }]] as const] : [],
          ),
        );
        const filesystem = { capacityBytes: 1000, availableBytes };
        const policy: ImageGcPolicy = { ...POLICY, minAgeMs, maxAgeMs, images: mine ? "ours" : "all" };
        const plan = planImageGc(facts(images, { records, users, filesystem }), policy, goal);
        expect(plan.entries.map((entry) => entry.image.id).sort()).toEqual(images.map(({ id }) => id).sort());
        const going = plan.entries.filter(({ verdict }) => verdict === "remove");
        for (const { image: one, rule } of going) {
          const spec = specs[Number(one.id)];
          expect([spec?.used, spec?.pinned]).toEqual([false, false]);
          if (mine) expect(spec?.ours).toBe(true);
          const age = NOW - (records.get(one.id)?.firstDetectedAt ?? NOW);
          if (rule !== "max-age") expect(age).toBeGreaterThanOrEqual(minAgeMs);
          else expect(age).toBeGreaterThan(maxAgeMs);
        }
        const space = going.filter(({ rule }) => rule === "space");
        const butLast = space.slice(0, -1).reduce((sum, { freesBytes }) => sum + freesBytes, 0);
        if (space.length > 0) expect(butLast).toBeLessThan(plan.wantedBytes);
        if (goal === "unused") expect(plan.entries.some(({ rule }) => rule === "enough-freed")).toBe(false);
        const lastUses = space.map(({ lastUsedAgoMs }) => lastUsedAgoMs ?? Infinity);
        expect(lastUses).toEqual(lastUses.toSorted((a, b) => (a === b ? 0 : b - a)));
        expect(plan.wouldFreeBytes).toBe(going.reduce((sum, { freesBytes }) => sum + freesBytes, 0));
      }),
    );
  });
});

describe("names", () => {
  it.each([
    ["busybox", "docker.io/library/busybox:latest"],
    ["team/app:2", "docker.io/team/app:2"],
    ["localhost/app", "localhost/app:latest"],
    ["registry:5000/app", "registry:5000/app:latest"],
    ["quay.io/a/b@sha256:1", "quay.io/a/b@sha256:1"],
    ["sha256:abc", "sha256:abc"],
  ])("%s is %s", (name, normal) => {
    expect(normalizeImageName(name)).toBe(normal);
    expect(normalizeImageName(normal)).toBe(normal);
  });

  it("globs match whole names, also long ones quickly", () => {
    expect(matchesGlob("docker.io/library/postgres:*", "docker.io/library/postgres:16")).toBe(true);
    expect(matchesGlob("*/postgres:1?", "docker.io/library/postgres:16")).toBe(true);
    expect(matchesGlob("postgres", "docker.io/library/postgres")).toBe(false);
    expect(matchesGlob("*a*a*a*a*a*a*a*a*a*b", "a".repeat(5000))).toBe(false);
    fc.assert(
      fc.property(fc.string(), fc.string(), (a, b) => {
        expect(matchesGlob("*", a + b)).toBe(true);
        const plain = a.replace(/[*?]/g, "");
        expect(matchesGlob(`${plain}*`, plain + b)).toBe(true);
      }),
    );
  });

  it.each([
    [0, "0 B"],
    [1023, "1023 B"],
    [1536, "1.5 KiB"],
    [10 * 2 ** 30, "10.0 GiB"],
    [5000 * 2 ** 40, "5000.0 TiB"],
  ])("%i bytes are %s", (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });
});
