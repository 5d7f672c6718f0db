// SPDX-License-Identifier: Apache-2.0
import { computeTopologyHints } from "@holdfast/device";
import { expect, test } from "vitest";
import { hintsOfRecorded } from "../src/topology-hints.ts";
import { FakePlugin, good, RESOURCE, TestNode } from "./fake-plugin.ts";

const P = true;
const N = false;
const on = (devices: Record<string, readonly number[]>) => new Map(Object.entries(devices));
const shown = (hints: ReturnType<typeof computeTopologyHints>) =>
  hints?.map(({ numaNodes, preferred }) => [numaNodes, preferred]);

const MANY = Array.from({ length: 34 }, (_, node) => node);

// kubelet: TestGenerateDeviceTopologyHintsFiltersNUMANodes, TestGetTopologyHints
const cases: readonly {
  readonly name: string;
  readonly devices: Record<string, readonly number[]>;
  readonly nodes?: readonly number[];
  readonly available?: readonly string[];
  readonly reusable?: readonly string[];
  readonly requested: number;
  readonly hints: readonly (readonly [readonly number[], boolean])[] | undefined;
}[] = [
  { name: "no device has a place", devices: { a: [], b: [] }, requested: 1, hints: undefined },
  { name: "one device on one of two nodes", devices: { a: [0] }, requested: 1, hints: [[[0], P]] },
  {
    name: "34 nodes, devices on two of them",
    devices: { a: [0], b: [1] },
    nodes: MANY,
    requested: 1,
    hints: [
      [[0], P],
      [[1], P],
      [[0, 1], N],
    ],
  },
  {
    name: "what may be taken over is on one node",
    devices: { a: [0] },
    available: [],
    reusable: ["a"],
    requested: 1,
    hints: [[[0], P]],
  },
  {
    name: "one to take over, one free on the other node",
    devices: { a: [0], b: [1] },
    available: ["b"],
    reusable: ["a"],
    requested: 2,
    hints: [[[0, 1], P]],
  },
  {
    name: "what may be taken over has to be in every hint",
    devices: { a: [0], b: [0], c: [1], d: [1] },
    available: ["b", "c", "d"],
    reusable: ["a"],
    requested: 2,
    hints: [
      [[0], P],
      [[0, 1], N],
    ],
  },
  {
    name: "free ones are scattered: nothing is as narrow as it could be",
    devices: { a: [0], b: [0], c: [1], d: [1] },
    available: ["a", "c"],
    requested: 2,
    hints: [[[0, 1], N]],
  },
  { name: "too few", devices: { a: [0], b: [1] }, available: ["a"], requested: 2, hints: [] },
  {
    name: "nodes that the machine does not have are dropped",
    devices: { a: [0, 7], b: [7] },
    requested: 1,
    hints: [[[0], P]],
  },
  {
    name: "places only on nodes that the machine does not have: nothing fits",
    devices: { a: [7] },
    requested: 1,
    hints: [],
  },
  {
    name: "a device on two nodes",
    devices: { a: [0, 1] },
    requested: 1,
    hints: [
      [[0], P],
      [[1], P],
      [[0, 1], N],
    ],
  },
];

test.each(cases)("$name", ({ devices, nodes = [0, 1], available, reusable = [], requested, hints }) => {
  const all = on(devices);
  const question = { requested, devices: all, available: available ?? all.keys(), reusable };
  expect(shown(computeTopologyHints({ ...question, machineNodes: nodes }))).toEqual(hints);
});

test("what a container has already decides alone, and a changed request is impossible", () => {
  const devices = on({ a: [0], b: [0], c: [1] });
  const question = { requested: 1, devices, machineNodes: [0, 1] };
  expect(shown(hintsOfRecorded(question, ["c"]))).toEqual([
    [[1], P],
    [[0, 1], N],
  ]);
  expect(hintsOfRecorded(question, ["a", "c"])).toEqual([]);
});

test("the work grows with places, not with devices: 10,000 of them on 8 nodes", () => {
  const devices = new Map(Array.from({ length: 10_000 }, (_, n) => [`d${n}`, [n % 8]] as const));
  const machineNodes = [0, 1, 2, 3, 4, 5, 6, 7];
  const hints = computeTopologyHints({
    requested: 1,
    devices,
    available: devices.keys(),
    reusable: [],
    machineNodes,
  });
  expect(hints).toHaveLength(255);
  expect(hints?.filter(({ preferred }) => preferred)).toHaveLength(8);
});

test("a pod's hints: the most that it needs at one time", async () => {
  const node = new TestNode();
  await using manager = await node.agent({ machineNodes: [0, 1] });
  await node.plug(manager, new FakePlugin([good("a", 0), good("b", 0), good("c", 1), good("d", 1)]));
  const pod = node.pod("pod", [
    { name: "init", kind: "init", count: 1 },
    { name: "side", kind: "sidecar", count: 1 },
    { name: "late", kind: "init", count: 2 },
    { name: "app", count: 1 },
  ]);
  // A sidecar and the init container after it: three.
  expect(shown(manager.podTopologyHints(pod).get(RESOURCE))).toEqual([[[0, 1], P]]);
});
