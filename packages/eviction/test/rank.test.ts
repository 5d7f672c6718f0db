// SPDX-License-Identifier: Apache-2.0

import type { Pod } from "@holdfast/core/pod-types";
import { rankPods } from "@holdfast/eviction";
import type { FilesystemLayout, PodFigures, Signal } from "@holdfast/eviction";
import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import { byExceedingRequest, byPriority, byWeight, rankedPods } from "../src/compute-rank.ts";
import { figuresOf, pod } from "./builders.ts";
import type { PodShape, UsageShape } from "./builders.ts";

const SINGLE: FilesystemLayout = { dedicatedImageFs: false, splitContainerFs: false };
const IMAGE: FilesystemLayout = { dedicatedImageFs: true, splitContainerFs: false };
const SPLIT: FilesystemLayout = { dedicatedImageFs: true, splitContainerFs: true };

type Row = readonly [string, PodShape, UsageShape | undefined];

function rank(signal: Signal, rows: readonly Row[], layout = SINGLE): string[] {
  const pods: Pod[] = rows.map(([name, shape]) => pod(name, shape));
  const figures = new Map(
    rows.flatMap(([name, , usage]) => (usage === undefined ? [] : [[name, figuresOf(name, usage)] as const])),
  );
  return rankPods({ signal, pods, figures, layout }).map((ranked) => ranked.pod.metadata.name);
}

const LOW = { priority: -1 };
const HIGH = { priority: 1 };

describe("memory", () => {
  // kubelet: TestOrderedByExceedsRequestMemory
  it("takes who exceeds its request first", () => {
    expect(
      rank("memory.available", [
        ["below", { requests: { memory: "200Mi" } }, { memory: "100Mi" }],
        ["exceeds", { requests: { memory: "50Mi" } }, { memory: "100Mi" }],
      ]),
    ).toEqual(["exceeds", "below"]);
  });

  // kubelet: TestOrderedByPriority
  it("then who matters least", () => {
    expect(
      rank("memory.available", [
        ["high", HIGH, { memory: "9Gi" }],
        ["none", {}, { memory: "2Gi" }],
        ["low", LOW, { memory: "1Mi" }],
      ]),
    ).toEqual(["low", "none", "high"]);
  });

  // kubelet: TestOrderedByMemory
  it("then who uses most beyond its request", () => {
    expect(
      rank("allocatableMemory.available", [
        ["pod1", {}, { memory: "500Mi" }],
        ["pod2", {}, { memory: "300Mi" }],
        ["pod3", { requests: { memory: "100Mi" } }, { memory: "800Mi" }],
        ["pod4", { requests: { memory: "100Mi" } }, { memory: "300Mi" }],
        ["pod5", { requests: { memory: "1Gi" } }, { memory: "400Mi" }],
        ["pod6", { requests: { memory: "1Gi" } }, { memory: "1Gi" }],
      ]),
    ).toEqual(["pod3", "pod1", "pod2", "pod4", "pod6", "pod5"]);
  });

  // kubelet: TestOrderedByPriorityMemory
  it("in all keys together", () => {
    expect(
      rank("memory.available", [
        ["above-high-pri-much", { ...HIGH, requests: { memory: "100Mi" } }, { memory: "900Mi" }],
        ["above-high-pri-little", { ...HIGH, requests: { memory: "100Mi" } }, { memory: "200Mi" }],
        ["above-low-pri-much", { ...LOW, requests: { memory: "100Mi" } }, { memory: "900Mi" }],
        ["above-low-pri-little", { ...LOW, requests: { memory: "100Mi" } }, { memory: "200Mi" }],
        ["below-high-pri", { ...HIGH, requests: { memory: "1Gi" } }, { memory: "900Mi" }],
        ["below-low-pri", { ...LOW, requests: { memory: "1Gi" } }, { memory: "900Mi" }],
      ]),
    ).toEqual([
      "above-low-pri-much",
      "above-low-pri-little",
      "above-high-pri-much",
      "above-high-pri-little",
      "below-low-pri",
      "below-high-pri",
    ]);
  });

  it("counts init containers, sidecars and overhead as asked for", () => {
    const one = pod("one", { requests: { memory: "100Mi" } });
    one.spec.initContainers = [{ name: "init", image: "x", resources: { requests: { memory: "1Gi" } } }];
    one.spec.overhead = { memory: "10Mi" };
    const [ranked] = rankedPods({
      signal: "memory.available",
      pods: [one],
      figures: new Map([["one", figuresOf("one", { memory: "1034Mi" })]]),
      layout: SINGLE,
    });
    expect(ranked).toMatchObject({ exceedsRequest: false, weight: 0 });
  });
});

// kubelet: TestOrderedByProcess, TestOrderedByPriorityProcess
it("processes: who matters least, then who has most", () => {
  expect(
    rank("pid.available", [
      ["high-many", HIGH, { processes: 500 }],
      ["low-few", LOW, { processes: 10 }],
      ["low-many", LOW, { processes: 20 }],
    ]),
  ).toEqual(["low-many", "low-few", "high-many"]);
});

describe("disk", () => {
  const rows: readonly Row[] = [
    ["layers", {}, { rootfs: "800Mi", logs: "1Mi" }],
    ["logs", {}, { rootfs: "1Mi", logs: "700Mi" }],
    ["volume", { volumes: [{ name: "v", emptyDir: {} }] }, { volumes: { v: "900Mi" } }],
    [
      "memory-volume",
      { volumes: [{ name: "v", emptyDir: { medium: "Memory" } }] },
      { volumes: { v: "5Gi" } },
    ],
    ["asked", { requests: { "ephemeral-storage": "10Gi" } }, { rootfs: "9Gi" }],
  ];
  // kubelet: TestOrderedByExceedsRequestDisk, TestOrderedByDisk, TestOrderedByPriorityDisk
  test.each([
    ["nodefs.available", SINGLE, ["volume", "layers", "logs"]],
    ["imagefs.available", SINGLE, ["volume", "layers", "logs"]],
    ["nodefs.available", IMAGE, ["volume", "logs", "layers"]],
    ["imagefs.available", IMAGE, ["layers", "logs", "volume"]],
    ["containerfs.available", IMAGE, ["layers", "logs", "volume"]],
    ["nodefs.available", SPLIT, ["volume", "layers", "logs"]],
    ["containerfs.available", SPLIT, ["volume", "layers", "logs"]],
  ] as const)("%s %o", (signal, layout, expected) => {
    const order = rank(signal, rows, layout).filter((name) => expected.some((one) => one === name));
    expect(order).toEqual(expected);
  });

  // kubelet: TestOrderedByInodes, TestOrderedByPriorityInodes
  it("inodes", () => {
    expect(
      rank("nodefs.inodesFree", [
        ["low", LOW, { inodes: 50_000 }],
        ["few", {}, { inodes: 200_000 }],
        ["many", {}, { inodes: 400_000 }],
        ["high", HIGH, { inodes: 900_000 }],
      ]),
    ).toEqual(["low", "many", "few", "high"]);
  });
});

describe("who is not known", () => {
  // kubelet: TestStatsNotFoundForPod
  it("compares as equal with another of its kind", () => {
    const [a, b] = rankedPods({
      signal: "memory.available",
      pods: [pod("a"), pod("b")],
      figures: new Map(),
      layout: SINGLE,
    });
    for (const key of [byExceedingRequest, byPriority, byWeight]) expect(key(a!, b!)).toBe(0);
  });

  it("goes first, and of equals the youngest", () => {
    expect(
      rank("memory.available", [
        ["known", {}, { memory: "9Gi" }],
        ["old", { createdAt: "2026-01-01T00:00:00Z" }, undefined],
        ["young", { createdAt: "2026-02-01T00:00:00Z" }, undefined],
      ]),
    ).toEqual(["young", "old", "known"]);
  });
});

it("property: the order does not depend on the order of arrival, and loses nobody", () => {
  const one = fc.record({
    priority: fc.integer({ min: -2, max: 2 }),
    request: fc.integer({ min: 0, max: 3 }),
    used: fc.option(fc.integer({ min: 0, max: 3 }), { nil: undefined }),
  });
  fc.assert(
    fc.property(fc.array(one, { maxLength: 30 }), fc.nat(), (shapes, turn) => {
      const pods = shapes.map(({ priority, request }, index) =>
        pod(`p${index}`, { priority, requests: { memory: `${request}Gi` } }),
      );
      const figures = new Map<string, PodFigures>(
        shapes.flatMap(({ used }, index) =>
          used === undefined ? [] : [[`p${index}`, figuresOf(`p${index}`, { memory: `${used}Gi` })] as const],
        ),
      );
      const order = (given: readonly Pod[]): string[] =>
        rankPods({ signal: "memory.available", pods: given, figures, layout: SINGLE }).map(
          (ranked) => ranked.pod.metadata.uid,
        );
      const at = shapes.length === 0 ? 0 : turn % shapes.length;
      const straight = order(pods);
      expect(order([...pods.slice(at), ...pods.slice(0, at)].reverse())).toEqual(straight);
      expect([...straight].sort()).toEqual(pods.map(({ metadata }) => metadata.uid).sort());
    }),
  );
});
