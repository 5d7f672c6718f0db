// SPDX-License-Identifier: Apache-2.0

import { CgroupReader } from "@holdfast/stats";
import { describe, expect, test } from "vitest";
import { CgroupIndex } from "../src/cgroup/cgroup-index.ts";
import {
  fixturePod,
  LOG,
  MemoryKernelFiles,
  MIB,
  POD_CGROUP,
  SANDBOX,
  UID,
  v1Tree,
  v2Tree,
  WEB,
} from "./fixtures.ts";

const ALL = { pids: true, pressure: true, swap: true, io: true };
const IDS = [WEB, LOG, SANDBOX];

describe.each([
  ["v1", v1Tree({ hybrid: true }), { usageBytes: 4096, limitBytes: undefined }],
  ["v2", v2Tree(), { usageBytes: 4096, limitBytes: 8192 }],
] as const)("cgroup %s", (version, files, swap) => {
  const reader = new CgroupReader(files);

  // kubelet: TestGetCgroupStats
  test("a pod's cgroup says all there is", () => {
    const figures = reader.read(POD_CGROUP[version], ALL);
    expect(figures).toMatchObject({
      cpuNanos: 5_000_000_000,
      memory: {
        usageBytes: 3 * MIB,
        workingSetBytes: 2 * MIB,
        rssBytes: MIB,
        pageFaults: 31,
        majorPageFaults: 4,
        limitBytes: 4 * MIB,
      },
      swap,
      pids: 7,
      io: { readBytes: 8192, writeBytes: 4096, readOperations: 2, writeOperations: 1 },
    });
    expect(figures?.pressure?.memory?.some.total).toBe(2_000_000);
  });

  test("the root has no limit, and the machine's own pressure", () => {
    const figures = reader.read("/", ALL);
    expect(figures?.memory).toMatchObject({ usageBytes: 8 * MIB, workingSetBytes: 6 * MIB });
    expect(figures?.memory?.limitBytes).toBeUndefined();
    expect(figures?.pressure?.cpu?.full.avg10).toBe(0.5);
    expect(figures?.cpuNanos).toBe(90_000_000_000);
  });

  test("a working set is never below zero, and no limit is none", () => {
    const name = version === "v1" ? LOG : `cri-containerd-${LOG}.scope`;
    const figures = reader.read(`${POD_CGROUP[version]}/${name}`);
    expect(figures?.memory).toMatchObject({ workingSetBytes: 0, limitBytes: undefined });
    expect(figures?.pids).toBeUndefined();
    expect(figures?.pressure).toBeUndefined();
  });

  test("a cgroup that is not there is undefined", () => {
    expect(reader.read("/kubepods/podgone", ALL)).toBeUndefined();
    expect(reader.exists("/kubepods/podgone")).toBe(false);
  });

  test("containers are found by their ids, and the pod by them", () => {
    const [found] = new CgroupIndex(reader).find([{ uid: UID, ids: IDS }]);
    expect(found?.pod).toBe(POD_CGROUP[version]);
    expect([...(found?.containers.keys() ?? [])]).toEqual(IDS);
    expect(found?.containers.get(WEB)).toContain(POD_CGROUP[version]);
  });
});

test("v1 without a v2 tree beside it has no pressure but the machine's", () => {
  const reader = new CgroupReader(v1Tree());
  expect(reader.read(POD_CGROUP.v1, ALL)?.pressure).toBeUndefined();
  expect(reader.read("/", ALL)?.pressure?.io?.some.avg60).toBe(0.7);
});

test("a machine without any cgroups says nothing, and fails at nothing", () => {
  const reader = new CgroupReader(new MemoryKernelFiles());
  expect(reader.read("/", ALL)).toBeUndefined();
  expect(new CgroupIndex(reader).find([{ uid: UID, ids: IDS }])[0]?.containers.size).toBe(0);
});

test("a pod whose cgroup is known needs no walk, nor does a second round", () => {
  const files = v1Tree();
  const index = new CgroupIndex(new CgroupReader(files));
  files.walks = 0;
  const question = { uid: UID, ids: IDS, cgroupPath: POD_CGROUP.v1 };
  expect(index.find([question])[0]?.containers.size).toBe(3);
  files.reads = 0;
  index.find([question]);
  expect([files.walks, files.reads]).toEqual([0, 0]);
});

test("an id without a cgroup makes one walk, not one a round", () => {
  const files = v1Tree();
  const index = new CgroupIndex(new CgroupReader(files));
  const question = { uid: UID, ids: ["f".repeat(64), "e".repeat(64)] };
  expect(index.find([question])[0]).toEqual({ pod: undefined, containers: new Map() });
  files.walks = 0;
  index.find([question]);
  expect(files.walks).toBe(0);
});

test("a container beside another of its pod is found without a walk", () => {
  const files = v1Tree();
  const index = new CgroupIndex(new CgroupReader(files));
  index.find([{ uid: UID, ids: [WEB] }]);
  files.walks = 0;
  expect(index.find([{ uid: UID, ids: [WEB, LOG] }])[0]?.containers.size).toBe(2);
  expect(files.walks).toBe(0);
});

test("containers that lie in no cgroup of their pod have no pod's cgroup", () => {
  const files = new MemoryKernelFiles({
    [`/sys/fs/cgroup/cgroup.controllers`]: "cpu\n",
    [`/sys/fs/cgroup/k8s.io/${WEB}/cgroup.procs`]: "1\n",
  });
  const [found] = new CgroupIndex(new CgroupReader(files)).find([{ uid: fixturePod().uid, ids: [WEB] }]);
  expect(found).toEqual({ pod: undefined, containers: new Map([[WEB, `/k8s.io/${WEB}`]]) });
});
