// SPDX-License-Identifier: Apache-2.0

/** What the machine as a whole uses, from the kernel's files. */
import type { CgroupFigures } from "./cgroup/cgroup-figures.ts";
import type { CgroupReader } from "./cgroup/cgroup-reader.ts";
import { known, networkStats, usageStats } from "./compute-stats.ts";
import { parseCount } from "./parse/parse-count.ts";
import { parseDefaultInterface, parseNetDev } from "./parse/parse-net-dev.ts";
import { parseBootTime, parseMemInfo, parseRunningTasks } from "./parse/parse-proc.ts";
import type { MemInfo } from "./parse/parse-proc.ts";
import type { KernelFiles } from "./ports.ts";
import type { NodeStats, RlimitStats, SwapStats, Time } from "./summary.ts";

/** A cgroup that is shown as one of the node's containers. kubelet: kubelet, runtime, misc, pods. */
export interface SystemContainer {
  readonly name: string;
  readonly cgroupPath: string;
}

/** Those of the node's interfaces that are the pods' ends or other virtual ones. kubelet: cAdvisor's ignored prefixes. */
const NOT_THE_NODES = /^(?:veth|docker|nerdctl|cni|lxc|cali)/;

/** What one file gives, or undefined when it is not there. */
function parsed<T>(
  files: KernelFiles,
  file: string,
  parse: (text: string, file: string) => T,
): T | undefined {
  const text = files.read(file);
  return text === undefined ? undefined : parse(text, file);
}

/** When the machine was booted, in wall milliseconds. */
export function readBootTime(files: KernelFiles): number | undefined {
  const seconds = parsed(files, "/proc/stat", parseBootTime);
  return seconds === undefined ? undefined : seconds * 1000;
}

/** Memory and swap of the machine. */
export function readMemInfo(files: KernelFiles): MemInfo | undefined {
  return parsed(files, "/proc/meminfo", parseMemInfo);
}

/** How many processes there may be and are. kubelet: stats/pidlimit. */
export function readRlimit(files: KernelFiles, time: Time): RlimitStats {
  const limits = ["/proc/sys/kernel/pid_max", "/proc/sys/kernel/threads-max"].flatMap(
    (file) => parsed(files, file, parseCount) ?? [],
  );
  return known({
    time,
    maxpid: limits.length === 0 ? undefined : Math.min(...limits),
    curproc: parsed(files, "/proc/loadavg", parseRunningTasks),
  }) as RlimitStats;
}

/** CPU, memory, pressure and swap of the machine. Memory available is the machine's less the root cgroup's working set, as the kubelet counts. */
export function readNodeUsage(
  cgroups: CgroupReader,
  time: Time,
  rate: (nanos: number) => number | undefined,
  withIo: boolean,
  info: MemInfo | undefined,
): Pick<NodeStats, "cpu" | "memory" | "io" | "swap"> {
  const figures = cgroups.read("/", { pressure: true, io: withIo });
  if (figures === undefined) return {};
  const stats = usageStats(
    { ...figures, memory: limitedTo(figures, info) },
    time,
    figures.cpuNanos === undefined ? undefined : rate(figures.cpuNanos),
  );
  return { ...stats, ...(info !== undefined && { swap: nodeSwap(info, time) }) };
}

/** The root cgroup has no limit but the machine. */
function limitedTo({ memory }: CgroupFigures, info: MemInfo | undefined): CgroupFigures["memory"] {
  return memory === undefined ? undefined : { ...memory, limitBytes: info?.totalBytes };
}

function nodeSwap({ swapTotalBytes, swapFreeBytes }: MemInfo, time: Time): SwapStats {
  return {
    time,
    swapAvailableBytes: swapFreeBytes,
    swapUsageBytes: Math.max(swapTotalBytes - swapFreeBytes, 0),
  };
}

/** Traffic of the machine's own interfaces; the one of the default route is the main one. */
export function readNodeNetwork(files: KernelFiles, time: Time): NodeStats["network"] {
  const interfaces = parsed(files, "/proc/1/net/dev", (text, file) =>
    parseNetDev(text, file, (name) => NOT_THE_NODES.test(name)),
  );
  const main = parsed(files, "/proc/1/net/route", parseDefaultInterface);
  return interfaces === undefined ? undefined : networkStats(interfaces, time, main);
}
