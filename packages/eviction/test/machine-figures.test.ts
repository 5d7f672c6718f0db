// SPDX-License-Identifier: Apache-2.0

import { ManualClock } from "@holdfast/core/manual-clock";
import { MachineFigures, parseThresholdConfig } from "@holdfast/eviction";
import type { EvictionSettings, MachineFilesystem } from "@holdfast/eviction";
import { nodeMachine } from "@holdfast/eviction/node";
import { describe, expect, it } from "vitest";

const V2: Readonly<Record<string, string>> = {
  "/sys/fs/cgroup/cgroup.controllers": "cpu memory pids\n",
  "/sys/fs/cgroup/memory.stat": "anon 4096000\nfile 8192000\nkernel 1\ninactive_file 2048000\n",
  "/sys/fs/cgroup/kubepods/memory.max": "10000000\n",
  "/sys/fs/cgroup/kubepods/memory.current": "6000000\n",
  "/sys/fs/cgroup/kubepods/memory.stat": "anon 1\nfile 2\ninactive_file 1000000\n",
  "/proc/meminfo": "MemTotal:       20000 kB\nMemFree: 5 kB\n",
  "/proc/loadavg": "0.10 0.20 0.30 2/345 6789\n",
  "/proc/sys/kernel/pid_max": "4194304\n",
  "/proc/sys/kernel/threads-max": "95000\n",
  "/proc/pressure/memory":
    "some avg10=1.50 avg60=2.50 avg300=0.10 total=1\nfull avg10=0.50 avg60=1.25 avg300=0.00 total=1\n",
};
const V1: Readonly<Record<string, string>> = {
  "/proc/meminfo": "MemTotal:       20000 kB\n",
  "/sys/fs/cgroup/memory/memory.usage_in_bytes": "9000000\n",
  "/sys/fs/cgroup/memory/memory.stat": "cache 1\ninactive_file 5\ntotal_inactive_file 1000000\n",
  "/sys/fs/cgroup/memory/kubepods/memory.limit_in_bytes": "9223372036854771712\n",
};
const DISK: MachineFilesystem = {
  capacityBytes: 1000,
  availableBytes: 400,
  inodes: { total: 50, free: 20 },
  device: 1,
};

function rig(files: Readonly<Record<string, string>>, settings: EvictionSettings) {
  const read: string[] = [];
  const asked: string[] = [];
  const disks = new Map<string, MachineFilesystem | Error>([["/state", DISK]]);
  const places = { imageFs: undefined as string | Error | undefined };
  const clock = new ManualClock();
  const figures = new MachineFigures({
    clock,
    machine: {
      read: (path) => {
        read.push(path);
        return files[path];
      },
      filesystem: async (path) => {
        asked.push(path);
        const disk = disks.get(path);
        if (disk instanceof Error || disk === undefined) throw disk ?? new Error(`no ${path}`);
        return disk;
      },
    },
    thresholds: parseThresholdConfig(settings),
    nodeFsPath: "/state",
    imageFsPath: async () => {
      if (places.imageFs instanceof Error) throw places.imageFs;
      return places.imageFs;
    },
    podsCgroup: "/kubepods",
  });
  const node = () => figures.node(new AbortController().signal);
  return { read, asked, disks, places, clock, node, figures };
}

describe("memory and processes", () => {
  it("of version 2, the root's usage by its statistics", async () => {
    const { node } = rig(V2, {
      evictionHard: { "memory.available": "1Mi", "pid.available": "1k" },
      evictionPressure: { "memory.psi.full.avg10": "40%" },
    });
    expect(await node()).toEqual({
      at: 0,
      node: {
        memory: {
          usageBytes: 12_288_000,
          workingSetBytes: 10_240_000,
          availableBytes: 20_480_000 - 10_240_000,
          psi: {
            some: { avg10: 1.5, avg60: 2.5, avg300: 0.1 },
            full: { avg10: 0.5, avg60: 1.25, avg300: 0 },
          },
        },
        systemContainers: [
          {
            name: "pods",
            memory: { usageBytes: 6_000_000, workingSetBytes: 5_000_000, availableBytes: 5_000_000 },
          },
        ],
        rlimit: { maxpid: 95_000, curproc: 345 },
      },
      layout: { dedicatedImageFs: false, splitContainerFs: false },
      problems: [],
    });
  });

  it("of version 1; without a limit of all pods there is nothing to fall short of", async () => {
    const { node, read } = rig(V1, { evictionHard: { "memory.available": "1Mi" } });
    const sample = await node();
    expect(sample.problems).toEqual([]);
    expect(sample.node).toEqual({
      memory: { usageBytes: 9_000_000, workingSetBytes: 8_000_000, availableBytes: 12_480_000 },
    });
    expect(read).toHaveLength(5);
  });

  it("what is in use is one file", () => {
    const used = (files: Readonly<Record<string, string>>) => {
      const { figures } = rig(files, {});
      return [figures.usageBytes("node"), figures.usageBytes("pods")];
    };
    expect(used(V2)).toEqual([12_288_000, 6_000_000]);
    expect(used(V1)).toEqual([9_000_000, undefined]);
    expect(used({ ...V1, "/sys/fs/cgroup/memory/kubepods/memory.usage_in_bytes": "77\n" })).toEqual([
      9_000_000, 77,
    ]);
    expect(() => used({ ...V2, "/sys/fs/cgroup/memory.stat": "nonsense" })).toThrow("has no anon");
  });

  it("reads only what thresholds stand on", async () => {
    const { node, read, asked } = rig(V2, { evictionHard: { "pid.available": "1k" } });
    await node();
    expect(read).toEqual(["/proc/sys/kernel/pid_max", "/proc/sys/kernel/threads-max", "/proc/loadavg"]);
    expect(asked).toEqual([]);
  });

  it("a kernel without pressure stall information: memory is looked after all the same", async () => {
    const { "/proc/pressure/memory": _none, ...files } = V2;
    const { node } = rig(files, {
      evictionHard: { "memory.available": "1Mi" },
      evictionPressure: { "memory.psi.full.avg10": "40%" },
    });
    const sample = await node();
    expect(sample.node.memory).toMatchObject({ workingSetBytes: 10_240_000, availableBytes: 10_240_000 });
    expect(sample.problems).toEqual([
      { part: "node.memory.psi", message: "/proc/pressure/memory is not there" },
    ]);
  });

  it("a file of a wrong form is a figure that is missing, by its name", async () => {
    const { node } = rig(
      { ...V2, "/sys/fs/cgroup/memory.stat": "nonsense" },
      { evictionHard: { "memory.available": "1Mi" } },
    );
    const sample = await node();
    expect(sample.node.memory).toBeUndefined();
    expect(sample.problems).toEqual([
      { part: "node.memory", message: "/sys/fs/cgroup/memory.stat has no anon" },
    ]);
  });
});

describe("disks", () => {
  const HARD = { evictionHard: { "nodefs.available": "10%" } };

  it("asks once where images lie with pods' folders", async () => {
    const { node, asked, places, disks, clock } = rig({}, HARD);
    places.imageFs = "/images";
    disks.set("/images", DISK);
    const sample = await node();
    const figures = { capacityBytes: 1000, availableBytes: 400, inodes: 50, inodesFree: 20 };
    expect(sample).toMatchObject({
      node: { fs: figures, runtime: { imageFs: figures, containerFs: figures } },
      layout: { dedicatedImageFs: false, splitContainerFs: false },
    });
    await node();
    expect(asked).toEqual(["/state", "/images", "/state"]);
    await clock.advance(600_000);
    await node();
    expect(asked).toHaveLength(5);
  });

  it("one that hangs keeps the other from nothing", async () => {
    const { node, places, disks } = rig({}, HARD);
    places.imageFs = "/images";
    disks.set("/images", { ...DISK, device: 2 });
    disks.set("/state", new Error("statfs of /state took longer than 2000 ms"));
    const sample = await node();
    expect(sample.layout).toBeUndefined();
    expect(sample.node.runtime?.imageFs?.capacityBytes).toBe(1000);
    expect(sample.problems).toEqual([
      { part: "node.fs", message: "statfs of /state took longer than 2000 ms" },
    ]);
    disks.set("/state", DISK);
    expect((await node()).layout).toEqual({ dedicatedImageFs: true, splitContainerFs: false });
  });

  it("a runtime that does not say where images are is named; what it said before holds", async () => {
    const { node, places, disks, clock } = rig({}, HARD);
    places.imageFs = new Error("no answer");
    expect((await node()).problems).toEqual([{ part: "node.runtime", message: "no answer" }]);
    places.imageFs = "/images";
    disks.set("/images", { ...DISK, device: 2 });
    expect((await node()).layout?.dedicatedImageFs).toBe(true);
    places.imageFs = new Error("no answer");
    await clock.advance(600_000);
    expect(await node()).toMatchObject({ layout: { dedicatedImageFs: true }, problems: [] });
  });
});

it("reads this machine", async () => {
  const clock = new ManualClock();
  const thresholds = parseThresholdConfig({
    evictionHard: { "memory.available": "1", "nodefs.available": "1%", "pid.available": "1" },
  });
  const figures = new MachineFigures({ clock, machine: nodeMachine({ clock }), thresholds, nodeFsPath: "/" });
  const { node, problems, layout } = await figures.node(new AbortController().signal);
  expect(problems).toEqual([]);
  expect(layout).toEqual({ dedicatedImageFs: false, splitContainerFs: false });
  expect(node.fs?.capacityBytes).toBeGreaterThan(node.fs?.availableBytes ?? Number.POSITIVE_INFINITY);
  expect(node.memory?.availableBytes).toBeGreaterThan(0);
  expect(node.rlimit?.curproc).toBeGreaterThan(0);
});
