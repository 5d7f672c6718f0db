// SPDX-License-Identifier: Apache-2.0
import fc from "fast-check";
import { expect, test } from "vitest";
import { chooseDevices } from "../src/choose-devices.ts";
import type { DeviceChoice } from "../src/choose-devices.ts";

const range = (from: number, count: number): number[] => Array.from({ length: count }, (_, i) => from + i);
const names = (of: readonly number[]): string[] => of.map((i) => `Dev${i}`);
const devices = (perNode: readonly number[]): Map<string, readonly number[]> =>
  new Map(
    perNode.flatMap((n, node) => range(0, n).map(() => node)).map((node, i) => [`Dev${i}`, [node]] as const),
  );
const choice = (of: Partial<DeviceChoice>): DeviceChoice => ({
  resource: "a/r",
  requested: 1,
  healthy: new Map(),
  allocated: new Set(),
  reusable: [],
  asksPreference: false,
  ...of,
});

// kubelet: TestGetPreferredAllocationParameters
test.each([
  [1, [4], [], [], [0, 1, 2, 3], []],
  [4, [8], [0, 5], [0, 5], range(0, 8), [0, 5]],
  [4, [8], [0, 1, 4, 5], [0, 5], [0, 2, 3, 5, 6, 7], [0, 5]],
  [6, [4, 4], [1, 6], [1, 6], range(0, 8), [0, 1, 2, 3, 6]],
  [6, [4, 4], [0, 1, 6, 7], [1, 6], range(1, 6), [1, 2, 3, 6]],
])(
  "a plugin is asked with %i of %j, allocated %j, reusable %j",
  (requested, per, held, reuse, available, must) => {
    const sets = { allocated: new Set(names(held)), reusable: names(reuse) };
    const made = chooseDevices(
      choice({ requested, healthy: devices(per), ...sets, hint: [0], asksPreference: true }),
    );
    if (made.kind !== "ask") throw new Error(made.kind);
    expect([...made.question.available].sort()).toEqual(names(available));
    expect([...made.question.mustInclude].sort()).toEqual(names(must));
    expect(made.question.size).toBe(requested);
  },
);

// kubelet: TestTopologyAlignedAllocation
test.each([
  [2, [2, 2], [0], undefined, [2, 0]],
  [4, [3, 3], [0], undefined, [3, 1]],
  [4, [2, 2, 2, 2], [1, 3], undefined, [0, 2, 0, 2]],
  [5, [100, 100], [0], names([9, 8, 7, 6, 5]), [5, 0]],
  [5, [100, 100], [0], names([9, 8, 7, 100, 101]), [5, 0]],
  [5, [0, 100], [1], [...names([1, 2, 3]), "bogus", "more"], [0, 5]],
  [5, [3, 97], [0], names([0, 1, 2, 42, 83]), [3, 2]],
])("%i devices of %j with hint %j", (requested, per, hint, preferred, result) => {
  const healthy = devices(per);
  const made = chooseDevices(
    choice({ requested, healthy, hint, asksPreference: preferred !== undefined }),
    preferred,
  );
  if (made.kind !== "chosen") throw new Error(made.kind);
  expect(per.map((_, node) => made.ids.filter((id) => healthy.get(id)?.[0] === node).length)).toEqual(result);
  const usable = (preferred ?? []).filter(
    (id) => healthy.has(id) && (per[0] !== 100 || healthy.get(id)?.[0] === 0),
  );
  expect(made.ids).toEqual(expect.arrayContaining(usable));
});

// kubelet: TestPodContainerDeviceAllocation
test("more than is free is refused in the kubelet's words", () => {
  const made = chooseDevices(choice({ requested: 2, healthy: devices([2]), allocated: new Set(["Dev0"]) }));
  const message = "requested number of devices unavailable for a/r. Requested: 2, Available: 1";
  expect(made).toEqual({ kind: "refused", message });
});

test("no id twice, none unhealthy or another's, the count exact, whatever a plugin prefers", () => {
  const id = fc.integer({ min: 0, max: 12 }).map((i) => `Dev${i}`);
  const ids = fc.uniqueArray(id);
  const healthy = fc.uniqueArray(fc.tuple(id, fc.subarray([0, 1, 2])), { selector: ([name]) => name });
  const hint = fc.option(fc.subarray([0, 1, 2], { minLength: 1 }), { nil: undefined });
  const cases = fc.tuple(healthy, ids, ids, fc.array(id), fc.nat(8), hint);
  fc.assert(
    fc.property(cases, ([list, held, reusable, preferred, requested, mask]) => {
      const sets = { healthy: new Map(list), allocated: new Set([...held, ...reusable]), reusable };
      const made = chooseDevices(
        choice({ requested, ...sets, ...(mask && { hint: mask }), asksPreference: true }),
        preferred,
      );
      const usable = [...sets.healthy.keys()].filter(
        (of) => !sets.allocated.has(of) || reusable.includes(of),
      );
      expect(made.kind).toBe(usable.length >= requested ? "chosen" : "refused");
      if (made.kind !== "chosen") return;
      expect(new Set(made.ids).size).toBe(requested);
      expect(made.ids.length).toBe(requested);
      expect(made.ids.filter((of) => !usable.includes(of))).toEqual([]);
    }),
  );
});
