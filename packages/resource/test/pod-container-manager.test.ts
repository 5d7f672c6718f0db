// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync, existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Pod } from "@holdfast/core/pod-types";
import { ManualClock } from "@holdfast/core/manual-clock";
import { openCgroupTree, PodContainerManager } from "@holdfast/resource";
import type { CgroupTree, SliceProperty, SystemdSlices } from "@holdfast/resource";
import { afterEach, beforeEach, expect, test } from "vitest";

const settings = { cpuCFSQuota: true, cpuCFSQuotaPeriodMs: 100, podPidsLimit: -1, memoryBytes: 1e9 };

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

test("all pods together get their limits, once; a kernel that refuses them keeps no pod from running", async () => {
  v1Fixture();
  const tree = openCgroupTree(root);
  const podsLimits = { cpuMilli: 1500, memoryBytes: 200_000_000, pids: 5000 };
  const written: string[] = [];
  let refused = true;
  const write = tree.write.bind(tree);
  tree.write = async (path, controller, file, value) => {
    if (path === "/kubepods" && file === "memory.limit_in_bytes" && refused) throw new Error("busy");
    if (path === "/kubepods") written.push(`${file} ${value}`);
    await write(path, controller, file, value);
  };
  const pods = new PodContainerManager({
    tree,
    clock: new ManualClock(),
    driver: "cgroupfs",
    settings,
    podsLimits,
  });
  await pods.ensureExists(pod("a"));
  expect(written).toEqual(["cpu.shares 1536"]);
  refused = false;
  written.length = 0;
  await pods.ensureExists(pod("b"));
  await pods.ensureExists(pod("c"));
  expect(written).toEqual(["cpu.shares 1536", "memory.limit_in_bytes 200000000", "pids.max 5000"]);
  expect(readFileSync(join(root, "memory/kubepods/memory.limit_in_bytes"), "utf8")).toBe("200000000");
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
  const destroying = expect(
    new PodContainerManager({ tree, clock, driver: "cgroupfs", settings }).destroy("x"),
  ).rejects.toMatchObject({ code: "RESOURCE_CGROUP_BUSY", kind: "retryable" });
  await clock.advance(1000);
  await destroying;
  expect(tree.killed).toEqual([7, 7, 7, 7, 7]);
});

/** systemd with a tree: slices appear `latencyMs` after they were asked for. */
function fakeSystemd(clock: ManualClock, latencyMs = 0, restartMends = false) {
  const tree = { ...memoryTree(), version: 2 as const };
  const calls: string[] = [];
  const properties = new Map<string, readonly SliceProperty[]>();
  const parents = [
    "",
    "/kubepods.slice",
    "/kubepods.slice/kubepods-burstable.slice",
    "/kubepods.slice/kubepods-besteffort.slice",
  ];
  const pathOf = (slice: string): string =>
    `${parents.findLast((parent) => slice.startsWith(parent.slice(parent.lastIndexOf("/") + 1).replace(".slice", "-")) || parent === "")}/${slice}`;
  const systemd: SystemdSlices = {
    async start(slice, values) {
      calls.push(`start ${slice}`);
      properties.set(slice, values);
      if (latencyMs === 0) tree.paths.add(pathOf(slice));
      else clock.timer(latencyMs, () => tree.paths.add(pathOf(slice)));
    },
    async set(slice, values) {
      calls.push(`set ${slice}`);
      properties.set(slice, values);
    },
    async restart(slice) {
      calls.push(`restart ${slice}`);
      if (restartMends) tree.paths.add(pathOf(slice));
    },
    async stop(slice) {
      calls.push(`stop ${slice}`);
    },
  };
  return { tree, calls, properties, systemd };
}

test("with the systemd driver slices are made with systemd's properties", async () => {
  const clock = new ManualClock();
  const { tree, systemd, properties, calls } = fakeSystemd(clock);
  const pods = new PodContainerManager({ tree, clock, driver: "systemd", systemd, settings });
  const guaranteed = {
    ...pod("a-b"),
    spec: { containers: [{ name: "c", image: "i", resources: { limits: { cpu: "500m", memory: "64Mi" } } }] },
  };
  expect(await pods.ensureExists(guaranteed)).toBe("/kubepods.slice/kubepods-poda_b.slice");
  expect(properties.get("kubepods-poda_b.slice")).toEqual([
    ["CPUWeight", "t", "20"],
    ["CPUQuotaPerSecUSec", "t", "500000"],
    ["MemoryMax", "t", "67108864"],
  ]);
  expect(properties.get("kubepods.slice")).toEqual([]);
  const before = calls.length;
  await pods.ensureExists(guaranteed);
  expect(calls.length, "systemd is not asked again for what it did").toBe(before);
  // Another agent process cannot know whether systemd made what is there: it asks for all of it once more.
  const podsLimits = { cpuMilli: 2000, memoryBytes: 2 ** 30, pids: undefined };
  await new PodContainerManager({
    tree,
    clock,
    driver: "systemd",
    systemd,
    settings,
    podsLimits,
  }).ensureExists(guaranteed);
  expect(calls.slice(before)).toEqual([
    "start kubepods.slice",
    "start kubepods-besteffort.slice",
    "start kubepods-burstable.slice",
    "start kubepods-poda_b.slice",
  ]);
  expect(properties.get("kubepods.slice")).toEqual([
    ["CPUWeight", "t", "79"],
    ["MemoryMax", "t", "1073741824"],
  ]);
});

test("a pod's slice is waited for: systemd only queues the work", async () => {
  const clock = new ManualClock();
  const { tree, systemd } = fakeSystemd(clock, 50);
  const pods = new PodContainerManager({ tree, clock, driver: "systemd", systemd, settings });
  let done = false;
  const making = pods.ensureExists(pod("a")).then(() => (done = true));
  await clock.advance(100);
  expect(done).toBe(false);
  await clock.advance(1000);
  await making;
  expect(tree.paths).toContain("/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-poda.slice");
});

test("a slice that never appears is a retryable error", async () => {
  const clock = new ManualClock();
  const { tree, systemd } = fakeSystemd(clock, 60_000);
  const pods = new PodContainerManager({ tree, clock, driver: "systemd", systemd, settings });
  const making = expect(pods.ensureExists(pod("a"))).rejects.toMatchObject({
    code: "RESOURCE_SYSTEMD",
    kind: "retryable",
  });
  await clock.advance(33_000);
  await making;
});

test("a slice whose cgroup was removed behind systemd's back is restarted", async () => {
  const clock = new ManualClock();
  const { tree, systemd, calls } = fakeSystemd(clock, 60_000, true);
  const pods = new PodContainerManager({ tree, clock, driver: "systemd", systemd, settings });
  const making = pods.ensureExists(pod("a"));
  await clock.advance(10_000);
  await making;
  expect(calls.slice(0, 2)).toEqual(["start kubepods.slice", "restart kubepods.slice"]);
});

test("the burstable class's shares follow its pods, up and down, however many come at once", async () => {
  const clock = new ManualClock();
  const { tree, systemd, properties, calls } = fakeSystemd(clock);
  const pods = new PodContainerManager({ tree, clock, driver: "systemd", systemd, settings });
  await Promise.all(["a", "b", "c"].map((uid) => pods.ensureExists(pod(uid, "1"))));
  const weight = (): string | undefined => properties.get("kubepods-burstable.slice")?.[0]?.[2];
  expect(weight()).toBe("118"); // of 3072 shares
  expect(calls.filter((call) => call.endsWith(" kubepods-burstable.slice"))).toEqual([
    "start kubepods-burstable.slice",
  ]);
  await pods.destroy("b");
  expect(weight()).toBe("79");
  expect(calls).toContain("stop kubepods-burstable-podb.slice");
});

test("a cgroup that is busy for a moment after its processes ended is tried again", async () => {
  const tree = memoryTree();
  const clock = new ManualClock();
  tree.paths.add("/kubepods/podx");
  const remove = tree.remove.bind(tree);
  let refusals = 2;
  tree.remove = async (path) => {
    if (refusals-- > 0) throw new Error("EBUSY: resource busy or locked, rmdir");
    await remove(path);
  };
  const destroying = new PodContainerManager({ tree, clock, driver: "cgroupfs", settings }).destroy("x");
  await clock.advance(1000);
  await destroying;
  expect([tree.paths.size, tree.killed]).toEqual([0, []]);
});

test("on v2 the kernel kills what is left, all at once", async () => {
  const tree = { ...memoryTree(), version: 2 as const };
  tree.paths.add("/kubepods/podx");
  tree.living = [4, 5];
  const writes: string[] = [];
  tree.write = async (path, _controller, file, value) => {
    writes.push(`${path}/${file}=${value}`);
    tree.living = [];
  };
  const clock = new ManualClock();
  const destroying = new PodContainerManager({ tree, clock, driver: "cgroupfs", settings }).destroy("x");
  await clock.advance(1000);
  await destroying;
  expect([writes, tree.killed, tree.paths.size]).toEqual([["/kubepods/podx/cgroup.kill=1"], [], 0]);
});

test("with cgroupsPerQOS off nothing is made", async () => {
  const tree = memoryTree();
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

// kubelet: TestPodHasExclusiveCPUs, TestContainerHasExclusiveCPUs, TestResourceConfigForPod with DisableCPUQuotaWithExclusiveCPUs
test("a container with CPUs of its own has no quota, nor has its pod; sets are given at create", async () => {
  v1Fixture();
  const dedicated = {
    cpusForCreate: (uid: string) => (uid === "own" ? "1" : "0"),
    memsForCreate: (uid: string) => (uid === "own" ? "0" : ""),
    hasExclusiveCpus: (uid: string) => uid === "own",
  };
  const tree = openCgroupTree(root);
  const clock = new ManualClock();
  const pods = new PodContainerManager({ tree, clock, driver: "cgroupfs", settings, dedicated });
  const limits = { cpu: "1", memory: "64Mi" };
  const limited = (uid: string): Pod => ({
    ...pod(uid),
    spec: { containers: [{ name: "c", image: "i", resources: { limits, requests: limits } }] },
  });
  const quota = async (uid: string): Promise<string> => {
    const path = await pods.ensureExists(limited(uid));
    return readFileSync(join(root, "cpu,cpuacct", path, "cpu.cfs_quota_us"), "utf8");
  };
  expect([await quota("own"), await quota("shared")]).toEqual(["-1", "100000"]);
  const given = (uid: string): unknown => {
    const { cpuQuota, cpusetCpus, cpusetMems } = pods.containerResources(limited(uid), {
      name: "c",
      image: "i",
      resources: { limits },
    });
    return [cpuQuota, cpusetCpus, cpusetMems];
  };
  expect([given("own"), given("shared")]).toEqual([
    [-1, "1", "0"],
    [100_000, "0", ""],
  ]);
});
