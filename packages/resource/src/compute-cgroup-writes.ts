// SPDX-License-Identifier: Apache-2.0

/** A cgroup's values in the words of the kernel's files and of systemd's properties. */
import { sharesToWeight } from "./compute-resources.ts";
import type { PodCgroupValues } from "./compute-resources.ts";
import type { SliceProperty } from "./ports.ts";

/** systemd keeps a quota as whole percents of a CPU: 10 ms a second. */
const QUOTA_STEP_US = 10_000;
const SYSTEMD_PERIOD_US = 100_000;

/** The files to write, in an order the kernel accepts. */
export function cgroupFiles(
  values: PodCgroupValues,
  version: 1 | 2,
): (readonly [controller: string, file: string, value: string])[] {
  const files: (readonly [string, string, string])[] = [];
  const { cpuShares, cpuQuotaUs, cpuPeriodUs, memoryLimitBytes, pidsLimit } = values;
  if (version === 1) {
    files.push(["cpu", "cpu.shares", String(cpuShares)]);
    if (cpuQuotaUs !== undefined)
      files.push(
        ["cpu", "cpu.cfs_period_us", String(cpuPeriodUs)],
        ["cpu", "cpu.cfs_quota_us", String(cpuQuotaUs)],
      );
    if (memoryLimitBytes !== undefined)
      files.push(["memory", "memory.limit_in_bytes", String(memoryLimitBytes)]);
  } else {
    files.push(["cpu", "cpu.weight", String(sharesToWeight(cpuShares))]);
    if (cpuQuotaUs !== undefined)
      files.push(["cpu", "cpu.max", `${cpuQuotaUs < 0 ? "max" : cpuQuotaUs} ${cpuPeriodUs}`]);
    if (memoryLimitBytes !== undefined) files.push(["memory", "memory.max", String(memoryLimitBytes)]);
  }
  if (pidsLimit !== undefined) files.push(["pids", "pids.max", String(pidsLimit)]);
  return files;
}

/**
 * The same as systemd's properties. systemd counts the quota as microseconds of CPU per second, in whole percents: it is rounded up, so that a container
 * below can have all that it was promised. kubelet: addCPUQuota of its cgroup library.
 */
export function sliceProperties(values: PodCgroupValues, version: 1 | 2): SliceProperty[] {
  const { cpuShares, cpuQuotaUs, cpuPeriodUs, memoryLimitBytes, pidsLimit } = values;
  const properties: SliceProperty[] = [
    version === 2
      ? ["CPUWeight", "t", String(sharesToWeight(cpuShares))]
      : ["CPUShares", "t", String(cpuShares)],
  ];
  if (cpuQuotaUs !== undefined && cpuQuotaUs > 0) {
    const perSecond = (cpuQuotaUs * 1_000_000) / cpuPeriodUs;
    properties.push([
      "CPUQuotaPerSecUSec",
      "t",
      String(Math.ceil(perSecond / QUOTA_STEP_US) * QUOTA_STEP_US),
    ]);
    if (cpuPeriodUs !== SYSTEMD_PERIOD_US) properties.push(["CPUQuotaPeriodUSec", "t", String(cpuPeriodUs)]);
  }
  if (memoryLimitBytes !== undefined) properties.push(["MemoryMax", "t", String(memoryLimitBytes)]);
  if (pidsLimit !== undefined) properties.push(["TasksMax", "t", String(pidsLimit)]);
  return properties;
}
