// SPDX-License-Identifier: Apache-2.0

import { isBadInput } from "@holdfast/core/errors";
import {
  addContainerFsThresholds,
  describeThreshold,
  formatQuantity,
  parseThresholdConfig,
  thresholdAmount,
} from "@holdfast/eviction";
import type { EvictionSettings, SignalObservation, Threshold } from "@holdfast/eviction";
import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import {
  conditionsObservedSince,
  sortByEvictionPriority,
  thresholdsFirstObservedAt,
  thresholdsMet,
  thresholdsMetGracePeriod,
  thresholdsUpdatedStats,
} from "../src/compute-thresholds.ts";
import { computeRound, FIRST_ROUND } from "../src/compute-round.ts";
import { canonicalQuantity } from "../src/quantity-text.ts";
import { GI, MI } from "./builders.ts";

const NO_ALLOCATABLE = { allocatableMemory: false };
const shown = (thresholds: readonly Threshold[]): string[] =>
  thresholds.map((one) => {
    const grace = one.gracePeriodMs === 0 ? "" : ` for ${one.gracePeriodMs} ms`;
    const { minReclaim } = one;
    const reclaim = minReclaim === undefined ? "" : ` +${thresholdAmount(minReclaim, 100)}`;
    return `${describeThreshold(one)}${grace}${reclaim}`;
  });

// kubelet: TestParseThresholdConfig
describe("settings become thresholds", () => {
  const cases: readonly (readonly [string, EvictionSettings, readonly string[]])[] = [
    ["no values", { evictionHard: {} }, []],
    [
      "defaults where nothing is given",
      {},
      [
        "memory.available<100Mi",
        "nodefs.available<10%",
        "nodefs.inodesFree<5%",
        "imagefs.available<15%",
        "imagefs.inodesFree<5%",
      ],
    ],
    [
      "all memory eviction values",
      {
        evictionHard: { "memory.available": "150Mi" },
        evictionSoft: { "memory.available": "300Mi" },
        evictionSoftGracePeriod: { "memory.available": "30s" },
        evictionMinimumReclaim: { "memory.available": "0" },
      },
      ["memory.available<150Mi +0", "memory.available<300Mi for 30000 ms +0"],
    ],
    [
      "all memory eviction values in percentages",
      {
        evictionHard: { "memory.available": "10%" },
        evictionSoft: { "memory.available": "30%" },
        evictionSoftGracePeriod: { "memory.available": "30s" },
        evictionMinimumReclaim: { "memory.available": "5%" },
      },
      ["memory.available<10% +5", "memory.available<30% for 30000 ms +5"],
    ],
    [
      "disk eviction values",
      {
        evictionHard: { "imagefs.available": "150Mi", "nodefs.available": "100Mi" },
        evictionSoft: { "imagefs.available": "300Mi" },
        evictionSoftGracePeriod: { "imagefs.available": "30s" },
      },
      ["imagefs.available<150Mi", "nodefs.available<100Mi", "imagefs.available<300Mi for 30000 ms"],
    ],
    [
      "inode and pid values",
      { evictionHard: { "nodefs.inodesFree": "150k", "pid.available": "10k" } },
      ["nodefs.inodesFree<150k", "pid.available<10k"],
    ],
    [
      "disable via 0%",
      { evictionHard: { "memory.available": "0%", "pid.available": "1k" } },
      ["pid.available<1k"],
    ],
    [
      "disable via 100%",
      { evictionHard: { "memory.available": "100%", "pid.available": "1k" } },
      ["pid.available<1k"],
    ],
    [
      "merged with the defaults",
      {
        evictionHard: { "memory.available": "1Gi", "imagefs.available": "0%" },
        mergeDefaultEvictionSettings: true,
      },
      ["memory.available<1Gi", "nodefs.available<10%", "nodefs.inodesFree<5%", "imagefs.inodesFree<5%"],
    ],
    [
      "pressure, which is not the kubelet's",
      { evictionHard: {}, evictionPressure: { "memory.psi.full.avg60": "40%" } },
      ["memory.psi.full.avg60>40%"],
    ],
  ];
  test.each(cases)("%s", (_name, settings, expected) => {
    expect(shown(parseThresholdConfig({ ...settings, ...NO_ALLOCATABLE }))).toEqual(expected);
  });

  const refused: readonly (readonly [string, EvictionSettings, string])[] = [
    [
      "hard-signal-negative",
      { evictionHard: { "memory.available": "-150Mi" } },
      "evictionHard[memory.available]",
    ],
    [
      "hard-signal-negative-percentage",
      { evictionHard: { "memory.available": "-15%" } },
      "evictionHard[memory.available]",
    ],
    [
      "soft-signal-negative",
      { evictionSoft: { "memory.available": "-150Mi" } },
      "evictionSoft[memory.available]",
    ],
    [
      "soft-no-grace-period",
      { evictionSoft: { "memory.available": "150Mi" } },
      "evictionSoft[memory.available]",
    ],
    [
      "soft-negative-grace-period",
      {
        evictionSoft: { "memory.available": "150Mi" },
        evictionSoftGracePeriod: { "memory.available": "-30s" },
      },
      "evictionSoftGracePeriod[memory.available]",
    ],
    [
      "negative-reclaim",
      { evictionMinimumReclaim: { "memory.available": "-300Mi" } },
      "evictionMinimumReclaim[memory.available]",
    ],
    [
      "min-reclaim-empty-value",
      { evictionMinimumReclaim: { "memory.available": "" } },
      "evictionMinimumReclaim[memory.available]",
    ],
    ["above 100%", { evictionHard: { "memory.available": "150%" } }, "evictionHard[memory.available]"],
    ["hard-signal-bad-op", { evictionHard: { "mem.available": "150Mi" } }, "evictionHard[mem.available]"],
    ["no number", { evictionHard: { "memory.available": "lots" } }, "evictionHard[memory.available]"],
    [
      "a pressure of all",
      { evictionPressure: { "memory.psi.full.avg60": "100%" } },
      "evictionPressure[memory.psi.full.avg60]",
    ],
    ["an unknown pressure", { evictionPressure: { "cpu.psi": "10%" } }, "evictionPressure[cpu.psi]"],
  ];
  test.each(refused)("refused: %s", (_name, settings, fieldPath) => {
    let error: unknown;
    try {
      parseThresholdConfig(settings);
    } catch (caught) {
      error = caught;
    }
    expect(isBadInput(error)).toBe(true);
    expect(error).toMatchObject({ code: "EVICTION_CONFIG", fieldPath });
  });

  // kubelet: TestAddAllocatableThresholds
  it("copies hard thresholds on memory only", () => {
    const thresholds = parseThresholdConfig({
      evictionHard: { "memory.available": "150Mi", "nodefs.available": "1Gi" },
      evictionSoft: { "memory.available": "300Mi" },
      evictionSoftGracePeriod: { "memory.available": "1m" },
    });
    expect(shown(thresholds)).toEqual([
      "allocatableMemory.available<150Mi",
      "memory.available<150Mi",
      "nodefs.available<1Gi",
      "memory.available<300Mi for 60000 ms",
    ]);
  });

  // kubelet: TestAddContainerFsThresholds
  test.each([
    ["single filesystem", false, false, ["containerfs.available<1Gi", "containerfs.inodesFree<5%"]],
    ["image filesystem", true, false, ["containerfs.available<2Gi"]],
    [
      "container and image are separate",
      true,
      true,
      ["containerfs.available<1Gi", "containerfs.inodesFree<5%"],
    ],
  ])("%s", (_name, dedicatedImageFs, splitContainerFs, expected) => {
    const thresholds = parseThresholdConfig({
      evictionHard: {
        "nodefs.available": "1Gi",
        "nodefs.inodesFree": "5%",
        "imagefs.available": "2Gi",
        // A setting of its own is overwritten.
        "containerfs.available": "9Gi",
      },
    });
    const all = addContainerFsThresholds(thresholds, { dedicatedImageFs, splitContainerFs });
    expect(shown(all).filter((text) => text.startsWith("containerfs"))).toEqual(expected);
  });
});

const HARD: Threshold = {
  signal: "memory.available",
  value: { kind: "quantity", amount: GI, format: "binary" },
  gracePeriodMs: 0,
  minReclaim: { kind: "quantity", amount: 500 * MI, format: "binary" },
};
const SOFT: Threshold = {
  ...HARD,
  gracePeriodMs: 60_000,
  value: { kind: "quantity", amount: 2 * GI, format: "binary" },
};
const seen = (available: number, at = 0): ReadonlyMap<"memory.available", SignalObservation> =>
  new Map([["memory.available", { available, capacity: 10 * GI, at }]]);

describe("what is met", () => {
  // kubelet: TestThresholdsMet
  test.each([
    ["empty observations", undefined, false, false],
    ["threshold met", 500 * MI, false, true],
    ["threshold not met", 2 * GI, false, false],
    ["at the threshold", GI, false, false],
    ["not met with min reclaim", 1200 * MI, true, true],
    ["met with min reclaim", 2 * GI, true, false],
  ])("%s", (_name, available, enforceMinReclaim, expected) => {
    const observations = available === undefined ? new Map() : seen(available);
    expect(thresholdsMet([HARD], observations, { enforceMinReclaim })).toEqual(expected ? [HARD] : []);
  });

  it("rounds percentages as 32-bit floats do", () => {
    const [threshold] = parseThresholdConfig({ evictionHard: { "nodefs.available": "10%" } });
    expect(thresholdAmount(threshold!.value, 10_000_000_000)).toBe(1_000_000_014);
  });

  // kubelet: TestThresholdsFirstObservedAt, TestThresholdsMetGracePeriod
  it("remembers since when, for as long as it is met", () => {
    const first = thresholdsFirstObservedAt([SOFT], new Map(), 5);
    const later = thresholdsFirstObservedAt([SOFT, HARD], first, 60_004);
    expect([...later.values()]).toEqual([5, 60_004]);
    expect(thresholdsMetGracePeriod([SOFT, HARD], later, 60_004)).toEqual([HARD]);
    expect(thresholdsMetGracePeriod([SOFT, HARD], later, 60_005)).toEqual([SOFT, HARD]);
    expect(thresholdsFirstObservedAt([HARD], later, 70_000).size).toBe(1);
  });

  // kubelet: TestThresholdsUpdatedStats
  test.each([
    ["empty", [], new Map(), 0],
    ["no-time", [HARD], new Map(), 1],
    ["no-op: same-observation", [HARD], seen(1, 7), 0],
    ["updated", [HARD], seen(1, 6), 1],
  ])("%s", (_name, thresholds, before, count) => {
    expect(thresholdsUpdatedStats(thresholds as Threshold[], seen(1, 7), before)).toHaveLength(count);
  });

  // kubelet: TestNodeConditionsObservedSince
  test.each([
    ["in period", 299_999, ["MemoryPressure"]],
    ["out of period", 300_000, []],
  ])("%s", (_name, now, expected) => {
    expect(conditionsObservedSince(new Map([["MemoryPressure", 0]]), 300_000, now)).toEqual(expected);
  });

  // kubelet: TestSortByEvictionPriority
  it("puts memory first and what is unknown last", () => {
    const of = (signal: string): Threshold => ({ ...HARD, signal: signal as Threshold["signal"] });
    const sorted = sortByEvictionPriority([
      of("unknown"),
      of("nodefs.available"),
      of("allocatableMemory.available"),
      of("pid.available"),
      of("memory.available"),
    ]);
    expect(sorted.map(({ signal }) => signal)).toEqual([
      "allocatableMemory.available",
      "memory.available",
      "nodefs.available",
      "pid.available",
      "unknown",
    ]);
  });

  it("property: conditions hold from the first shortage to a transition period after the last, and a soft threshold acts only after its grace", () => {
    const walk = fc.array(
      fc.record({ ms: fc.integer({ min: 1, max: 90_000 }), available: fc.integer({ min: 0, max: 3 * GI }) }),
      {
        maxLength: 40,
      },
    );
    fc.assert(
      fc.property(walk, (steps) => {
        let [now, state] = [0, FIRST_ROUND];
        let shortSince: number | undefined;
        let lastShort = Number.NEGATIVE_INFINITY;
        let isHeld = false;
        for (const { ms, available } of steps) {
          now += ms;
          const round = computeRound(state, {
            thresholds: [SOFT],
            observations: seen(available, now),
            now,
            transitionPeriodMs: 300_000,
          });
          state = round.state;
          // Held over by minReclaim only once the grace was over.
          const isShort: boolean = available < 2 * GI || (isHeld && available < 2 * GI + 500 * MI);
          shortSince = isShort ? (shortSince ?? now) : undefined;
          if (isShort) lastShort = now;
          isHeld = shortSince !== undefined && now - shortSince >= 60_000;
          expect(round.toAct).toEqual(isHeld ? [SOFT] : []);
          expect(state.conditions).toEqual(now - lastShort < 300_000 ? ["MemoryPressure"] : []);
        }
      }),
    );
  });
});

describe("quantities as Kubernetes writes them", () => {
  test.each([
    [1_572_864_000, "binary", "1500Mi"],
    [2 * GI, "binary", "2Gi"],
    [1000, "binary", "1k"],
    [1023, "binary", "1023"],
    [1025, "binary", "1025"],
    [150_000, "decimal", "150k"],
    [0, "decimal", "0"],
  ] as const)("%d %s", (value, format, text) => expect(formatQuantity(value, format)).toBe(text));

  test.each([
    ["0.5Gi", "512Mi"],
    ["1024Mi", "1Gi"],
    ["1e9", "1G"],
    [0, "0"],
  ])("%s", (given, text) => expect(canonicalQuantity(given)).toBe(text));
});
