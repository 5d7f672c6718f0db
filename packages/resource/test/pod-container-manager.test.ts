// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync, existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Pod } from "@holdfast/core/pod-types";
import { ManualClock } from "@holdfast/core/manual-clock";
import { openCgroupTree, PodContainerManager } from "@holdfast/resource";
import type { CgroupTree, SliceProperty } from "@holdfast/resource";
import { afterEach, beforeEach, expect, test } from "vitest";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "holdfast-cgroup-"));
});
afterEach(() => rmSync(root, { recursive: true }));

const pod = (uid: string, cpu?: string): Pod => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: uid, namespace: "default", uid },
  spec: {
    containers: [{ name: "c", image: "i", ...(cpu !== undefined && { resources: { requests: { cpu } } }) }],
  },
});

/** Folders as a v1 or hybrid machine has them. */
function v1Fixture(): void {
  for (const name of ["cpu,cpuacct", "cpuset", "memory", "pids", "systemd", "unified"]) {
    mkdirSync(join(root, name));
    writeFileSync(join(root, name, "cgroup.procs"), "");
  }
  writeFileSync(join(root, "cpuset/cpuset.cpus"), "0-1\n");
  writeFileSync(join(root, "cpuset/cpuset.mems"), "0\n");
}

function manager(tree: CgroupTree): PodContainerManager {
  const settings = { cpuCFSQuota: true, cpuCFSQuotaPeriodMs: 100, podPidsLimit: -1, memoryBytes: 1e9 };
  return new PodContainerManager({ tree, clock: new ManualClock(), driver: "cgroupfs", settings });
}

test("v1: pods get a cgroup by class with their values, the burstable class the sum of its pods", async () => {
  v1Fixture();
  const pods = manager(openCgroupTree(root));
  expect(await pods.ensureExists(pod("a", "100m"))).toBe("/kubepods/burstable/poda");
  expect(await pods.ensureExists(pod("b", "400m"))).toBe("/kubepods/burstable/podb");
  expect(await pods.ensureExists(pod("c"))).toBe("/kubepods/besteffort/podc");
  const cpu = (path: string): string => readFileSync(join(root, "cpu,cpuacct", path, "cpu.shares"), "utf8");
  expect([cpu("kubepods/burstable/poda"), cpu("kubepods/burstable"), cpu("kubepods/besteffort")]).toEqual([
    "102",
    "512",
    "2",
  ]);
  expect(readFileSync(join(root, "cpuset/kubepods/burstable/poda/cpuset.cpus"), "utf8")).toBe("0-1");
  expect(existsSync(join(root, "systemd/kubepods"))).toBe(false);
  expect((await pods.listPodUids()).toSorted()).toEqual(["a", "b", "c"]);
});

test("v2: controllers are handed down on the way", async () => {
  const folders = ["", "kubepods", "kubepods/burstable", "kubepods/burstable/poda", "kubepods/besteffort"];
  for (const folder of folders) {
    mkdirSync(join(root, folder), { recursive: true });
    writeFileSync(join(root, folder, "cgroup.controllers"), "cpu memory pids io\n");
    writeFileSync(join(root, folder, "cgroup.subtree_control"), "");
  }
  const tree = openCgroupTree(root);
  expect(tree.version).toBe(2);
  await manager(tree).ensureExists(pod("a", "100m"));
  expect(readFileSync(join(root, "kubepods/burstable/cgroup.subtree_control"), "utf8")).toBe(
    "+cpu +memory +pids",
  );
  expect(readFileSync(join(root, "kubepods/burstable/poda/cpu.weight"), "utf8")).toBe("4");
});

/** The tree in memory: what exists and who lives there. */
function memoryTree(): CgroupTree & {
  paths: Set<string>;
  living: number[];
  killed: number[];
  stubborn: boolean;
} {
  return {
    version: 1,
    paths: new Set(),
    living: [],
    killed: [],
    stubborn: false,
    async create(path) {
      this.paths.add(path);
    },
    async exists(path) {
      return this.paths.has(path);
    },
    async write() {},
    async pids() {
      return this.living;
    },
    async remove(path) {
      if (this.living.length > 0) throw new Error("device or resource busy");
      this.paths.delete(path);
    },
    async children() {
      return [];
    },
    kill(pid) {
      this.killed.push(pid);
      if (!this.stubborn) this.living = this.living.filter((other) => other !== pid);
    },
  };
}

test("destroying kills what is left, and is fine when nothing is there", async () => {
  const tree = memoryTree();
  tree.paths.add("/kubepods/besteffort/podx");
  tree.living = [4, 5];
  const clock = new ManualClock();
  const settings = { cpuCFSQuota: true, cpuCFSQuotaPeriodMs: 100, podPidsLimit: -1, memoryBytes: 1e9 };
  const pods = new PodContainerManager({ tree, clock, driver: "cgroupfs", settings });
  const destroying = pods.destroy("x");
  await clock.advance(1000);
  await destroying;
  expect([tree.killed, tree.paths.size]).toEqual([[4, 5], 0]);
  await pods.destroy("x");
});

test("a cgroup that stays busy is a retryable error after five rounds", async () => {
  const tree = memoryTree();
  tree.paths.add("/kubepods/besteffort/podx");
  tree.living = [7];
  tree.stubborn = true;
  const clock = new ManualClock();
  const settings = { cpuCFSQuota: true, cpuCFSQuotaPeriodMs: 100, podPidsLimit: -1, memoryBytes: 1e9 };
  const destroying = expect(
    new PodContainerManager({ tree, clock, driver: "cgroupfs", settings }).destroy("x"),
  ).rejects.toMatchObject({ code: "RESOURCE_CGROUP_BUSY", kind: "retryable" });
  await clock.advance(1000);
  await destroying;
  expect(tree.killed).toEqual([7, 7, 7, 7, 7]);
});

test("with the systemd driver slices are made with systemd's properties", async () => {
  const slices = new Map<string, readonly SliceProperty[]>();
  const settings = { cpuCFSQuota: true, cpuCFSQuotaPeriodMs: 100, podPidsLimit: -1, memoryBytes: 1e9 };
  const pods = new PodContainerManager({
    tree: memoryTree(),
    clock: new ManualClock(),
    driver: "systemd",
    systemd: {
      ensure: async (slice, properties) => void slices.set(slice, properties),
      stop: async () => {},
    },
    settings,
  });
  const parent = await pods.ensureExists({
    ...pod("a-b"),
    spec: { containers: [{ name: "c", image: "i", resources: { limits: { cpu: "500m", memory: "64Mi" } } }] },
  });
  expect(parent).toBe("/kubepods.slice/kubepods-poda_b.slice");
  expect(slices.get("kubepods-poda_b.slice")).toEqual([
    ["CPUWeight", "t", "20"],
    ["CPUQuotaPerSecUSec", "t", "500000"],
    ["MemoryMax", "t", "67108864"],
  ]);
});

test("with cgroupsPerQOS off nothing is made", async () => {
  const tree = memoryTree();
  const settings = { cpuCFSQuota: true, cpuCFSQuotaPeriodMs: 100, podPidsLimit: -1, memoryBytes: 1e9 };
  expect(
    await new PodContainerManager({
      tree,
      clock: new ManualClock(),
      driver: "cgroupfs",
      cgroupsPerQOS: false,
      settings,
    }).ensureExists(pod("a")),
  ).toBe("");
  expect(tree.paths.size).toBe(0);
});
