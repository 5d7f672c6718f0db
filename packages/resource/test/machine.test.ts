// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CpuSet, CpuTopology, openSystemTree, readMachineTopology } from "@holdfast/resource";
import { BIG, EPYC, HT1, HT2, HYBRID, layOut, machineTree, NO_HT2, treeOf } from "./fixtures/machines.ts";
import type { MachineShape } from "./fixtures/machines.ts";

const shapes: Readonly<Record<string, MachineShape>> = {
  "1 node, no SMT": { sockets: 1, coresPerSocket: 4 },
  "1 node, SMT": HT1,
  "1 node, SMT, adjacent threads": { ...HT1, siblings: "adjacent" },
  "2 nodes, no SMT": NO_HT2,
  "2 nodes, SMT, ids round the sockets": HT2,
  "2 sockets in 1 node": { sockets: 2, socketsPerNode: 2, coresPerSocket: 4 },
  "4 nodes, SMT": BIG,
  "8 nodes, SMT, 256 CPUs": EPYC,
};

describe("CpuSet", () => {
  // kubelet: TestParse
  it.each([
    ["", []],
    ["5", [5]],
    ["1,2,3,4,5", [1, 2, 3, 4, 5]],
    ["1-5", [1, 2, 3, 4, 5]],
    ["1-2,3-5", [1, 2, 3, 4, 5]],
    ["5,4,3,2,1", [1, 2, 3, 4, 5]],
    ["3-6,1-5", [1, 2, 3, 4, 5, 6]],
    ["3-3,5-5", [3, 5]],
    ["0-3,8\n", [0, 1, 2, 3, 8]],
  ])("reads %j", (text, ids) => {
    expect(CpuSet.parse(text).ids).toEqual(ids);
  });

  // kubelet: TestParse, the failures
  it.each(["nonnumeric", "non-range", "no,numbers", "0-a", "a-0", "0,a", "a,0", "1-2,a,3-5", "0,", "0,,3"])(
    "refuses %j",
    (text) => {
      expect(() => CpuSet.parse(text)).toThrow(/is no id/);
    },
  );
  it.each([",3", "1--2", "-1", "5-1", "0-4000000000", "99999999", "1 2"])("refuses %j too", (text) => {
    expect(() => CpuSet.parse(text)).toThrow(/is no id/);
  });

  // kubelet: TestString
  it.each([
    [[], ""],
    [[5], "5"],
    [[1, 2, 3, 4, 5], "1-5"],
    [[8, 0, 1, 3], "0-1,3,8"],
  ])("writes %j", (ids, text) => {
    expect(String(new CpuSet(ids))).toBe(text);
  });

  // kubelet: TestCPUSetUnion, TestCPUSetIntersection, TestCPUSetDifference, TestCPUSetEquals, TestCPUSetIsSubsetOf
  it("calculates as sets do, and comes back from its text", () => {
    const ids = fc.array(fc.nat(40), { maxLength: 30 });
    fc.assert(
      fc.property(ids, ids, (left, right) => {
        const [a, b] = [new CpuSet(left), new CpuSet(right)];
        const all = Array.from({ length: 41 }, (_, id) => id);
        const expected = (keep: (id: number) => boolean): number[] => all.filter(keep);
        expect(a.union(b).ids).toEqual(expected((id) => a.has(id) || b.has(id)));
        expect(a.intersection(b).ids).toEqual(expected((id) => a.has(id) && b.has(id)));
        expect(a.difference(b).ids).toEqual(expected((id) => a.has(id) && !b.has(id)));
        expect(a.isSubsetOf(b)).toBe(left.every((id) => right.includes(id)));
        expect(a.equals(b)).toBe(String(a) === String(b));
        expect(CpuSet.parse(String(a)).equals(a)).toBe(true);
      }),
    );
  });
});

describe("readMachineTopology", () => {
  it.each(Object.entries(shapes))("reads a machine of %s", (_name, shape) => {
    const topology = readMachineTopology(machineTree(shape));
    expect(topology.cpus).toEqual(layOut(shape));
    for (const node of topology.numaNodes)
      expect(node.cpus).toEqual(
        layOut(shape)
          .filter(({ numaNode }) => numaNode === node.id)
          .map(({ id }) => id),
      );
  });

  it("tells memory, huge pages and distances of each node", () => {
    const tree = machineTree({
      ...EPYC,
      memoryPerNode: 2 ** 36,
      hugePages: { "1048576kB": 4, "2048kB": 512 },
    });
    const { numaNodes } = readMachineTopology(tree);
    expect(numaNodes.length).toBe(8);
    expect(numaNodes[5]?.memoryBytes).toBe(2 ** 36);
    expect([...(numaNodes[5]?.hugePages ?? [])]).toEqual([
      [2 ** 21, 512],
      [2 ** 30, 4],
    ]);
    expect([...(numaNodes[5]?.distances ?? [])]).toEqual([
      [0, 32],
      [1, 32],
      [2, 32],
      [3, 32],
      [4, 12],
      [5, 10],
      [6, 12],
      [7, 12],
    ]);
  });

  it("leaves out CPUs that are offline, and names a core by its first online thread", () => {
    const { cpus, numaNodes } = readMachineTopology(machineTree({ ...HT1, offline: "0,3,7" }));
    expect(cpus.map(({ id, core }) => [id, core])).toEqual([
      [1, 1],
      [2, 2],
      [4, 4],
      [5, 1],
      [6, 2],
    ]);
    expect(numaNodes[0]?.cpus).toEqual([1, 2, 4, 5, 6]);
  });

  it("tells the kinds of cores of a hybrid processor, and how many threads the larger ones have", () => {
    const { cpus } = readMachineTopology(machineTree(HYBRID));
    expect(cpus.map(({ kind }) => kind)).toEqual([
      ...Array(8).fill("cpu_core"),
      ...Array(8).fill("cpu_atom"),
    ]);
    expect(cpus.map(({ core }) => core)).toEqual([0, 0, 2, 2, 4, 4, 6, 6, 8, 9, 10, 11, 12, 13, 14, 15]);
    expect(new CpuTopology(cpus).cpusPerCore).toBe(2);
  });

  it("tells the kinds of cores of an ARM board by their capacity; without packages and L3 all is one socket", () => {
    const files = new Map(machineTree({ sockets: 1, coresPerSocket: 4 }).files);
    for (let id = 0; id < 4; id++) {
      files.set(`/sys/devices/system/cpu/cpu${id}/cpu_capacity`, id < 2 ? "446\n" : "1024\n");
      files.set(`/sys/devices/system/cpu/cpu${id}/topology/physical_package_id`, "-1\n");
      files.delete(`/sys/devices/system/cpu/cpu${id}/cache/index3/level`);
    }
    const { cpus } = readMachineTopology(treeOf(files));
    expect(cpus.map(({ kind, socket, uncore }) => [kind, socket, uncore])).toEqual([
      ["capacity:446", 0, 0],
      ["capacity:446", 0, 0],
      ["capacity:1024", 0, 0],
      ["capacity:1024", 0, 0],
    ]);
  });

  it("takes a kernel without NUMA for one node with the machine's memory", () => {
    const { numaNodes } = readMachineTopology(machineTree({ ...HT1, noNuma: true, memoryPerNode: 2 ** 33 }));
    expect(numaNodes).toEqual([
      {
        id: 0,
        cpus: [0, 1, 2, 3, 4, 5, 6, 7],
        memoryBytes: 2 ** 33,
        hugePages: new Map(),
        distances: new Map(),
      },
    ]);
  });

  it("knows nodes that have memory and no CPUs", () => {
    const files = new Map(machineTree(HT1).files);
    files.set("/sys/devices/system/node/online", "0,4\n");
    files.set("/sys/devices/system/node/node4/meminfo", "Node 4 MemTotal:  1024 kB\n");
    files.set("/sys/devices/system/node/node4/distance", "17 10\n");
    const { numaNodes } = readMachineTopology(treeOf(files));
    expect(numaNodes[1]).toMatchObject({ id: 4, cpus: [], memoryBytes: 2 ** 20 });
    expect([...(numaNodes[1]?.distances ?? [])]).toEqual([
      [0, 17],
      [4, 10],
    ]);
  });

  it("refuses a tree without CPUs", () => {
    expect(() => readMachineTopology(treeOf(new Map()))).toThrow(/no online CPU/);
  });
});

describe("openSystemTree", () => {
  it("reads a tree below another root like one in memory", () => {
    const root = mkdtempSync(join(tmpdir(), "holdfast-sysfs-"));
    try {
      const fixture = machineTree(BIG);
      for (const [path, text] of fixture.files) {
        mkdirSync(dirname(join(root, path)), { recursive: true });
        writeFileSync(join(root, path), text);
      }
      expect(readMachineTopology(openSystemTree(root))).toEqual(readMachineTopology(fixture));
    } finally {
      rmSync(root, { recursive: true });
    }
  });

  it("reads the machine that this test runs on", () => {
    const { cpus, numaNodes } = readMachineTopology(openSystemTree());
    expect(cpus.length).toBeGreaterThanOrEqual(availableParallelism());
    expect(numaNodes.flatMap((node) => node.cpus).length).toBe(cpus.length);
    expect(numaNodes[0]?.memoryBytes).toBeGreaterThan(0);
  });
});
