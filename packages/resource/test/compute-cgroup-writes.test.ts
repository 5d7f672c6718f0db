// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { cgroupFiles, sliceProperties } from "../src/compute-cgroup-writes.ts";

const values = {
  cpuShares: 102,
  cpuQuotaUs: undefined,
  cpuPeriodUs: 100_000,
  memoryLimitBytes: undefined,
  pidsLimit: undefined,
};

test.each([
  ["whole percents stay", 50_000, 100_000, [["CPUQuotaPerSecUSec", "t", "500000"]]],
  ["parts of a percent are rounded up", 12_300, 100_000, [["CPUQuotaPerSecUSec", "t", "130000"]]],
  [
    "another period is told",
    5000,
    10_000,
    [
      ["CPUQuotaPerSecUSec", "t", "500000"],
      ["CPUQuotaPeriodUSec", "t", "10000"],
    ],
  ],
  ["no quota is no property", -1, 100_000, []],
])("systemd's CPU quota: %s", (_name, cpuQuotaUs, cpuPeriodUs, properties) => {
  expect(sliceProperties({ ...values, cpuQuotaUs, cpuPeriodUs }, 2).slice(1)).toEqual(properties);
});

test("systemd is told shares on v1 and a weight on v2, memory and tasks alike", () => {
  expect(sliceProperties({ ...values, memoryLimitBytes: 5, pidsLimit: 7 }, 1)).toEqual([
    ["CPUShares", "t", "102"],
    ["MemoryMax", "t", "5"],
    ["TasksMax", "t", "7"],
  ]);
  expect(sliceProperties(values, 2)).toEqual([["CPUWeight", "t", "4"]]);
});

test("the kernel's files, by version", () => {
  const all = { ...values, cpuQuotaUs: 20_000, memoryLimitBytes: 5, pidsLimit: 7 };
  expect(cgroupFiles(all, 1)).toEqual([
    ["cpu", "cpu.shares", "102"],
    ["cpu", "cpu.cfs_period_us", "100000"],
    ["cpu", "cpu.cfs_quota_us", "20000"],
    ["memory", "memory.limit_in_bytes", "5"],
    ["pids", "pids.max", "7"],
  ]);
  expect(cgroupFiles({ ...all, cpuQuotaUs: -1 }, 2)).toEqual([
    ["cpu", "cpu.weight", "4"],
    ["cpu", "cpu.max", "max 100000"],
    ["memory", "memory.max", "5"],
    ["pids", "pids.max", "7"],
  ]);
});
