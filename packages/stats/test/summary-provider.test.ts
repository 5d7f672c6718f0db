// SPDX-License-Identifier: Apache-2.0

import { describe, expect, test } from "vitest";
import { environment, LAYERS, layer, MEASURED, writable } from "./environment.ts";
import type { Environment } from "./environment.ts";
import {
  DISK,
  failingRead,
  fixturePod,
  LOG,
  MIB,
  POD_CGROUP,
  SANDBOX,
  UID,
  v1Tree,
  v2Tree,
  WEB,
} from "./fixtures.ts";

describe.each([
  ["v1", v1Tree({ hybrid: true })],
  ["v2", v2Tree()],
] as const)("a summary with cgroup %s", (version, files) => {
  // kubelet: TestSummaryProviderGetStatsNoSplitFileSystem
  test("of the node", async () => {
    const { provider } = environment(
      {
        systemContainers: [{ name: "pods", cgroupPath: version === "v1" ? "/kubepods" : "/kubepods.slice" }],
      },
      files,
    );
    const { summary, problems, layout } = await provider.sample();
    expect(problems).toEqual([]);
    expect(layout).toEqual({ dedicatedImageFs: false, splitContainerFs: false });
    const { node } = summary;
    expect(node).toMatchObject({
      nodeName: "here",
      startTime: "2025-11-21T04:08:12.000Z",
      cpu: { usageCoreNanoSeconds: 90_000_000_000 },
      // The machine has 16 MiB; 6 MiB are the working set.
      memory: { availableBytes: 10 * MIB, workingSetBytes: 6 * MIB, usageBytes: 8 * MIB },
      network: { name: "ens3", rxBytes: 1000, txBytes: 500, rxErrors: 1, txErrors: 2 },
      rlimit: { maxpid: 32768, curproc: 313 },
      swap: { swapAvailableBytes: 512 * 1024, swapUsageBytes: 1536 * 1024 },
      fs: {
        capacityBytes: 4_096_000,
        availableBytes: 400 * 4096,
        usedBytes: 550 * 4096,
        inodes: 100,
        inodesFree: 60,
        inodesUsed: 40,
      },
    });
    expect(node.network?.interfaces?.map(({ name }) => name)).toEqual(["ens3", "ens4"]);
    expect(node.cpu?.usageNanoCores).toBeUndefined();
    expect(node.io?.psi?.some.total).toBe(2_000_000);
    expect(node.io).not.toHaveProperty("readBytes");
    // kubelet: TestCRIImagesFsStats
    expect(node.runtime?.imageFs).toMatchObject({
      usedBytes: 500_000,
      inodesUsed: 50,
      capacityBytes: 4_096_000,
    });
    expect(node.runtime?.containerFs).toEqual(node.runtime?.imageFs);
    expect(node.systemContainers).toHaveLength(1);
    expect(node.systemContainers?.[0]).toMatchObject({ name: "pods", memory: { availableBytes: 2 * MIB } });
  });

  // kubelet: TestCRIListPodStats
  test("of a pod", async () => {
    const { provider } = environment({}, files);
    const { summary } = await provider.sample();
    expect(summary.pods).toHaveLength(1);
    const [pod] = summary.pods;
    expect(pod).toMatchObject({
      podRef: { name: "web", namespace: "default", uid: UID },
      startTime: "2026-01-01T00:00:00.000Z",
      cpu: { usageCoreNanoSeconds: 5_000_000_000 },
      memory: { availableBytes: 2 * MIB, workingSetBytes: 2 * MIB, rssBytes: MIB },
      network: { name: "eth0", rxBytes: 4096, txBytes: 2048 },
      process_stats: { process_count: 7 },
      // Layers 8192 + 4096, logs 1000, the emptyDir 3000; the secret counts for nothing.
      "ephemeral-storage": { usedBytes: 16_288, inodesUsed: 8, capacityBytes: 4_096_000 },
      swap: { swapUsageBytes: 4096 },
    });
    expect(pod?.memory?.psi?.full.avg60).toBe(0.2);
    expect(pod?.volume).toMatchObject([
      { name: "scratch", usedBytes: 3000, inodesUsed: 3, capacityBytes: 4_096_000 },
      { name: "secret", usedBytes: 50 },
    ]);
    expect(pod?.volume?.[0]).not.toHaveProperty("ephemeral");
    expect(pod?.containers).toMatchObject([
      {
        name: "web",
        startTime: "2026-01-02T00:00:00.000Z",
        cpu: { usageCoreNanoSeconds: 3_000_000_000 },
        memory: { workingSetBytes: MIB },
        rootfs: {
          usedBytes: 8192,
          inodesUsed: 2,
          availableBytes: 400 * 4096,
          time: "2026-06-01T00:00:00.000Z",
        },
        logs: { usedBytes: 1000, inodesUsed: 2 },
      },
      { name: "log", memory: { workingSetBytes: 0 }, rootfs: { usedBytes: 4096 } },
    ]);
    expect(pod?.containers[1]).not.toHaveProperty("logs");
  });

  test("rates come with the second sample", async () => {
    const { provider, clock, host } = environment({}, files);
    await provider.sample();
    await clock.advance(2000);
    const file =
      version === "v1"
        ? `/sys/fs/cgroup/cpu,cpuacct${POD_CGROUP.v1}/${WEB}/cpuacct.usage`
        : `/sys/fs/cgroup${POD_CGROUP.v2}/cri-containerd-${WEB}.scope/cpu.stat`;
    const before = host.files.files.get(file) ?? "";
    host.files.files.set(file, version === "v1" ? "4000000000\n" : "usage_usec 4000000\n");
    const { summary } = await provider.sample();
    host.files.files.set(file, before);
    expect(summary.pods[0]?.containers[0]?.cpu?.usageNanoCores).toBe(500_000_000);
    expect(summary.pods[0]?.cpu?.usageNanoCores).toBe(0);
    expect(summary.node.cpu?.usageNanoCores).toBe(0);
  });

  // kubelet: TestSummaryProviderGetCPUAndMemoryStats, TestCRIListPodCPUAndMemoryStats
  test("the reduced form asks neither the runtime nor a disk", async () => {
    const { provider, host, runtime } = environment({}, files);
    const { summary, problems } = await provider.sample({ onlyCpuAndMemory: true });
    expect(problems).toEqual([]);
    expect([host.statfsCalls, host.treeCalls, runtime.calls]).toEqual([0, 0, []]);
    expect(Object.keys(summary.node).sort()).toEqual([
      "cpu",
      "io",
      "memory",
      "nodeName",
      "startTime",
      "swap",
      "systemContainers",
    ]);
    expect(Object.keys(summary.pods[0] ?? {}).sort()).toEqual([
      "containers",
      "cpu",
      "memory",
      "podRef",
      "startTime",
      "swap",
    ]);
  });
});

test("the node alone asks for no pod, no folder, no interface", async () => {
  const { provider, host, runtime } = environment();
  const { summary, layout, problems } = await provider.sample({ onlyNode: true });
  expect(problems).toEqual([]);
  expect(summary.pods).toEqual([]);
  expect(summary.node.memory?.availableBytes).toBe(10 * MIB);
  expect(summary.node.runtime?.imageFs?.usedBytes).toBe(500_000);
  expect(summary.node.rlimit?.curproc).toBe(313);
  expect(summary.node).not.toHaveProperty("network");
  expect(layout?.dedicatedImageFs).toBe(false);
  expect([host.treeCalls, runtime.calls]).toEqual([0, ["imageFsInfo"]]);
});

test("storage of chosen pods reads no cgroup, and folders only when they are a minute old", async () => {
  const one = environment();
  one.pods = [fixturePod(), fixturePod({ uid: "other", name: "other" })];
  const { pods, problems } = await one.provider.storage({ uids: new Set([UID]) });
  expect(problems).toEqual([]);
  expect(pods).toHaveLength(1);
  expect(pods[0]).toMatchObject({
    podRef: { uid: UID },
    containers: [{ rootfs: { usedBytes: 8192 }, logs: { usedBytes: 1000 } }, { rootfs: { usedBytes: 4096 } }],
    volume: [{ name: "scratch", usedBytes: 3000 }, { name: "secret" }],
    "ephemeral-storage": { usedBytes: 16_288 },
  });
  expect(pods[0]).not.toHaveProperty("memory");
  const cgroups = one.host.files.reads;
  await one.clock.advance(10_000);
  await one.provider.storage();
  expect(one.host.treeCalls).toBe(3);
  expect(one.runtime.calls).toEqual(["imageFsInfo", "listContainerStats"]);
  // Only the look at which hierarchies there are.
  expect(one.host.files.reads).toBe(cgroups);
});

test("counters of I/O are there when asked for", async () => {
  const { provider } = environment({ ioCounters: true });
  const { summary } = await provider.sample();
  expect(summary.pods[0]?.io).toMatchObject({ readBytes: 8192, writeBytes: 4096 });
  expect(summary.node.io).toMatchObject({ readOperations: 2 });
});

test("a pod in the host's network, and one without processes, have no network of their own", async () => {
  const one = environment();
  one.host.files.links.set("/proc/4242/ns/net", "net:[4026531840]");
  expect((await one.provider.sample()).summary.pods[0]).not.toHaveProperty("network");
  one.host.files.files.set(`/sys/fs/cgroup/memory${POD_CGROUP.v1}/${SANDBOX}/cgroup.procs`, "");
  one.host.files.files.set(`/sys/fs/cgroup/memory${POD_CGROUP.v1}/${WEB}/cgroup.procs`, "0\n");
  await one.clock.advance(1);
  one.host.files.links.set("/proc/4242/ns/net", "net:[4026533000]");
  expect((await one.provider.sample({ maxAgeMs: 0 })).summary.pods[0]).not.toHaveProperty("network");
});

// kubelet: TestHasDedicatedImageFs, TestSummaryProviderGetStatsSplitImageFs
test("file systems that differ are told apart by their devices", async () => {
  const { provider, host, runtime, clock } = environment();
  host.disks.set(LAYERS, { ...DISK, device: 2 });
  expect((await provider.sample()).layout).toEqual({ dedicatedImageFs: true, splitContainerFs: false });
  runtime.info = {
    imageFilesystems: [layer(1, 1)],
    containerFilesystems: [{ ...layer(2, 2), fsId: { mountpoint: "/layers" } }],
  };
  host.disks.set("/layers", { ...DISK, device: 3 });
  await clock.advance(1);
  const { layout, summary } = await provider.sample({ maxAgeMs: 0, diskMaxAgeMs: 0 });
  expect(layout).toEqual({ dedicatedImageFs: true, splitContainerFs: true });
  expect(summary.node.runtime?.containerFs?.usedBytes).toBe(2);
});

test("a container without a cgroup here is what the runtime says of it", async () => {
  const { provider, host, runtime } = environment();
  host.files.remove(`/sys/fs/cgroup/memory${POD_CGROUP.v1}`);
  host.files.remove(`/sys/fs/cgroup/cpu,cpuacct${POD_CGROUP.v1}`);
  runtime.stats = [
    {
      ...writable(WEB, 1, 1),
      cpu: {
        timestamp: MEASURED,
        usageCoreNanoSeconds: { value: 77n },
        usageNanoCores: undefined,
        psi: undefined,
      },
      memory: {
        timestamp: MEASURED,
        workingSetBytes: { value: 88n },
        availableBytes: undefined,
        usageBytes: undefined,
        rssBytes: undefined,
        pageFaults: undefined,
        majorPageFaults: undefined,
        psi: undefined,
      },
    },
  ];
  const [pod] = (await provider.sample({ onlyCpuAndMemory: true })).summary.pods;
  expect(pod?.containers[0]).toEqual({
    name: "web",
    startTime: "2026-01-02T00:00:00.000Z",
    cpu: { time: "2026-06-01T00:00:00.000Z", usageCoreNanoSeconds: 77 },
    memory: { time: "2026-06-01T00:00:00.000Z", workingSetBytes: 88 },
  });
});

test("pods without containers that run do not appear", async () => {
  const one = environment();
  one.pods = [fixturePod({ containers: [] })];
  const { summary } = await one.provider.sample();
  expect(summary.pods).toEqual([]);
  expect(one.runtime.calls).toEqual(["imageFsInfo"]);
});

describe("pressure of containers", () => {
  const file = (path: string): string => `/sys/fs/cgroup/unified${POD_CGROUP.v1}${path}/cpu.pressure`;
  const line = (avg: string, total: number): string =>
    `some avg10=${avg} avg60=${avg} avg300=${avg} total=${total}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n`;
  const environmentAt = (pod: string, container: string): Environment => {
    const one = environment();
    for (const kind of ["memory", "io"])
      for (const path of ["", `/${WEB}`, `/${LOG}`])
        one.host.files.files.set(file(path).replace("cpu", kind), line("0.00", 0));
    one.host.files.files.set(file(""), pod);
    one.host.files.files.set(file(`/${WEB}`), container);
    one.host.files.files.set(file(`/${LOG}`), line("0.00", 0));
    return one;
  };
  const shown = async ({ provider, clock }: Environment): Promise<readonly (number | undefined)[]> => {
    await clock.advance(1);
    const { summary } = await provider.sample({ maxAgeMs: 0 });
    const psi = summary.pods[0]?.containers[0]?.cpu?.psi?.some;
    return [psi?.total, psi?.avg10];
  };

  test("follows from their pod's when that has been quiet since", async () => {
    const one = environmentAt(line("0.00", 50), line("0.10", 40));
    expect(await shown(one)).toEqual([40_000, 0.1]);
    one.host.files.files.set(file(`/${WEB}`), failingRead("the container's pressure"));
    expect(await shown(one)).toEqual([40_000, 0]);
  });

  test("is read while the pod's averages are not zero, or when its total has grown", async () => {
    const one = environmentAt(line("0.20", 50), line("0.20", 40));
    await shown(one);
    one.host.files.files.set(file(`/${WEB}`), line("0.15", 40));
    expect(await shown(one)).toEqual([40_000, 0.15]);
    one.host.files.files.set(file(""), line("0.00", 60));
    one.host.files.files.set(file(`/${WEB}`), line("0.00", 45));
    expect(await shown(one)).toEqual([45_000, 0]);
  });
});

test("a process number that another process has now is not taken for the pod's", async () => {
  const { provider, clock, host } = environment();
  await provider.sample();
  host.files.links.set("/proc/4242/ns/net", "net:[4026539999]");
  host.files.files.set(`/sys/fs/cgroup/memory${POD_CGROUP.v1}/${SANDBOX}/cgroup.procs`, "777\n");
  host.files.links.set("/proc/777/ns/net", "net:[4026533000]");
  host.files.files.set("/proc/777/net/dev", "a\nb\neth0: 5 1 0 0 0 0 0 0 6 1 0 0 0 0 0 0\n");
  await clock.advance(1);
  const { summary } = await provider.sample({ maxAgeMs: 0 });
  expect(summary.pods[0]?.network?.rxBytes).toBe(5);
});

test("a wall clock that is stepped bends no rate", async () => {
  const { provider, clock, host } = environment();
  await provider.sample();
  clock.stepWall(-3_600_000);
  await clock.advance(1000);
  host.files.files.set("/sys/fs/cgroup/cpu,cpuacct/cpuacct.usage", "91000000000\n");
  const { summary } = await provider.sample({ maxAgeMs: 0 });
  expect(summary.node.cpu?.usageNanoCores).toBe(1_000_000_000);
});

test("a thousand pods let others go first, and cost the same files each", async () => {
  const one = environment();
  one.pods = Array.from({ length: 1000 }, (_, index) =>
    fixturePod({ name: `p${index}`, containers: [{ id: WEB, name: "web", createdAt: 0 }], volumes: [] }),
  );
  await one.provider.sample();
  expect(one.host.breaths).toBe(125);
  one.host.files.reads = 0;
  await one.clock.advance(1);
  await one.provider.sample({ maxAgeMs: 0 });
  expect(one.host.files.reads).toBeGreaterThan(10_000);
  // Container and pod: CPU, memory's two and its limit if it has one, three of pressure; the pod's pids and network.
  expect(one.host.files.reads / 1000).toBeLessThanOrEqual(16);
});
