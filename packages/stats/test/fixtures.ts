// SPDX-License-Identifier: Apache-2.0

/** Trees of the kernel's files in memory: cgroup v1 as this kernel (6.18, hybrid) prints it, v2 as 6.1 does, with one pod of two containers each. */
import { HoldfastError } from "@holdfast/core/errors";
import type { KernelFiles, RawFilesystem, StatsHost, StatsPod, TreeUsage } from "@holdfast/stats";

export const MIB = 1024 * 1024;
export const UID = "11111111-2222-4333-8444-555555555555";
export const SANDBOX = "5".repeat(64);
export const WEB = "a".repeat(64);
export const LOG = "b".repeat(64);
/** What v1 prints where there is no limit. */
const V1_NO_LIMIT = "9223372036854771712";

/** Files in memory. A file may be a function: what it gives now; one that throws is a read that fails. */
export class MemoryKernelFiles implements KernelFiles {
  readonly files = new Map<string, string | (() => string)>();
  readonly links = new Map<string, string>();
  /** How many files were read, missing ones included. */
  reads = 0;
  walks = 0;

  constructor(files: Readonly<Record<string, string>> = {}) {
    for (const [path, text] of Object.entries(files)) this.files.set(path, text);
  }

  read(path: string): string | undefined {
    this.reads += 1;
    const text = this.files.get(path);
    return typeof text === "function" ? text() : text;
  }

  folders(path: string): readonly string[] {
    this.walks += 1;
    const below = [...this.files.keys()].filter((file) => file.startsWith(`${path}/`));
    const names = below.map((file) => file.slice(path.length + 1).split("/"));
    return [...new Set(names.filter((parts) => parts.length > 1).map(([name = ""]) => name))];
  }

  link(path: string): string | undefined {
    return this.links.get(path);
  }

  /** Takes away a folder and all below it. */
  remove(folder: string): void {
    for (const path of this.files.keys()) if (path.startsWith(`${folder}/`)) this.files.delete(path);
  }
}

const PRESSURE =
  "some avg10=1.50 avg60=0.70 avg300=0.10 total=2000\nfull avg10=0.50 avg60=0.20 avg300=0.00 total=1000\n";
const NET_HEAD =
  "Inter-|   Receive                                                |  Transmit\n face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n";

/** One line of /proc/net/dev. */
function netLine(name: string, rx: number, tx: number): string {
  return `${name.padStart(6)}: ${rx} 12 1 0 0 0 0 0 ${tx} 8 2 0 0 0 0 0\n`;
}

/** /proc of the machine and of one process of the pod. */
function procFiles(): Record<string, string> {
  return {
    "/proc/stat": "cpu  1 2 3\nbtime 1763698092\nprocesses 5\n",
    "/proc/meminfo":
      "MemTotal:       16384 kB\nMemFree:        1024 kB\nSwapTotal:      2048 kB\nSwapFree:       512 kB\n",
    "/proc/loadavg": "0.57 1.13 1.47 1/313 20858\n",
    "/proc/sys/kernel/pid_max": "32768\n",
    "/proc/sys/kernel/threads-max": "192730\n",
    "/proc/pressure/cpu": PRESSURE,
    "/proc/pressure/memory": PRESSURE,
    "/proc/pressure/io": PRESSURE,
    "/proc/1/net/dev":
      NET_HEAD +
      netLine("lo", 9, 9) +
      netLine("vethab12", 7, 7) +
      netLine("ens3", 1000, 500) +
      netLine("ens4", 1, 1),
    "/proc/1/net/route":
      "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\nens3\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n",
    "/proc/4242/net/dev": NET_HEAD + netLine("lo", 3, 3) + netLine("eth0", 4096, 2048),
  };
}

function withLinks(files: MemoryKernelFiles): MemoryKernelFiles {
  files.links.set("/proc/1/ns/net", "net:[4026531840]");
  files.links.set("/proc/4242/ns/net", "net:[4026533000]");
  return files;
}

/** Numbers of one cgroup; both versions print the same ones. */
interface Numbers {
  readonly cpuNanos: number;
  readonly usage: number;
  readonly inactive: number;
  readonly rss: number;
  readonly limit?: number;
  readonly pids: number;
  readonly procs?: string;
}

const ROOT: Numbers = {
  cpuNanos: 90_000_000_000,
  usage: 8 * MIB,
  inactive: 2 * MIB,
  rss: 3 * MIB,
  pids: 300,
};
const POD: Numbers = {
  cpuNanos: 5_000_000_000,
  usage: 3 * MIB,
  inactive: MIB,
  rss: MIB,
  limit: 4 * MIB,
  pids: 7,
};
const ONE: Numbers = {
  cpuNanos: 3_000_000_000,
  usage: 2 * MIB,
  inactive: MIB,
  rss: MIB,
  pids: 4,
  procs: "4243\n",
};
const TWO: Numbers = {
  cpuNanos: 1_000_000_000,
  usage: MIB,
  inactive: 2 * MIB,
  rss: 0,
  pids: 2,
  procs: "4244\n",
};
const PAUSE: Numbers = {
  cpuNanos: 1_000_000,
  usage: 4096,
  inactive: 0,
  rss: 4096,
  pids: 1,
  procs: "4242\n4245\n",
};

function v1Files(path: string, numbers: Numbers): Record<string, string> {
  const { cpuNanos, usage, inactive, rss, limit, pids, procs = "" } = numbers;
  const root = "/sys/fs/cgroup";
  const files: Record<string, string> = {
    [`${root}/cpu,cpuacct${path}/cpuacct.usage`]: `${cpuNanos}\n`,
    [`${root}/memory${path}/cgroup.procs`]: procs,
    [`${root}/memory${path}/memory.usage_in_bytes`]: `${usage}\n`,
    [`${root}/memory${path}/memory.limit_in_bytes`]: `${limit ?? V1_NO_LIMIT}\n`,
    [`${root}/memory${path}/memory.stat`]: `cache 9\nrss 8\ninactive_file 7\nhierarchical_memory_limit ${limit ?? V1_NO_LIMIT}\ntotal_cache 9\ntotal_rss ${rss}\ntotal_swap 4096\ntotal_pgfault 31\ntotal_pgmajfault 4\ntotal_inactive_file ${inactive}\ntotal_active_file 1\n`,
    [`${root}/blkio${path}/blkio.throttle.io_service_bytes_recursive`]:
      "254:0 Read 8192\n254:0 Write 4096\n254:0 Sync 12288\n254:0 Async 0\n254:0 Discard 0\n254:0 Total 12288\nTotal 12288\n",
    [`${root}/blkio${path}/blkio.throttle.io_serviced_recursive`]:
      "254:0 Read 2\n254:0 Write 1\n254:0 Total 3\nTotal 3\n",
  };
  // The root cgroup counts no pids.
  if (path !== "") files[`${root}/pids${path}/pids.current`] = `${pids}\n`;
  return files;
}

function v2Files(path: string, numbers: Numbers): Record<string, string> {
  const { cpuNanos, usage, inactive, rss, limit, pids, procs = "" } = numbers;
  const at = `/sys/fs/cgroup${path}`;
  const files: Record<string, string> = {
    [`${at}/cpu.stat`]: `usage_usec ${cpuNanos / 1000}\nuser_usec 1\nsystem_usec 2\nnr_periods 0\n`,
    [`${at}/memory.stat`]: `anon ${rss}\nfile ${usage - rss}\nkernel 5\nswapcached 0\ninactive_anon 3\nactive_anon 4\ninactive_file ${inactive}\nactive_file 1\npgfault 31\npgmajfault 4\n`,
    [`${at}/cpu.pressure`]: PRESSURE,
    [`${at}/memory.pressure`]: PRESSURE,
    [`${at}/io.pressure`]: PRESSURE,
    [`${at}/io.stat`]:
      "254:0 rbytes=4096 wbytes=4096 rios=1 wios=1 dbytes=0 dios=0\n7:0 \n8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0\n",
    [`${at}/cgroup.procs`]: procs,
  };
  if (path === "") return { ...files, [`${at}/cgroup.controllers`]: "cpuset cpu io memory pids\n" };
  return {
    ...files,
    [`${at}/memory.current`]: `${usage}\n`,
    [`${at}/memory.max`]: `${limit ?? "max"}\n`,
    [`${at}/memory.swap.current`]: "4096\n",
    [`${at}/memory.swap.max`]: "8192\n",
    [`${at}/pids.current`]: `${pids}\n`,
  };
}

/** Where the pod's cgroup is in each tree. */
export const POD_CGROUP = {
  v1: `/kubepods/burstable/pod${UID}`,
  v2: `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${UID.replaceAll("-", "_")}.slice`,
} as const;

/** cgroup v1, the cgroupfs driver, with the v2 tree beside it for pressure when `hybrid`. */
export function v1Tree({ hybrid = false } = {}): MemoryKernelFiles {
  const pod = POD_CGROUP.v1;
  const paths = [
    ["", ROOT],
    ["/kubepods", POD],
    [pod, POD],
    [`${pod}/${WEB}`, ONE],
    [`${pod}/${LOG}`, TWO],
    [`${pod}/${SANDBOX}`, PAUSE],
  ] as const;
  const pressure = paths.flatMap(([path]) =>
    ["cpu", "memory", "io"].map(
      (kind) => [`/sys/fs/cgroup/unified${path}/${kind}.pressure`, PRESSURE] as const,
    ),
  );
  return withLinks(
    new MemoryKernelFiles({
      ...procFiles(),
      ...Object.assign({}, ...paths.map(([path, numbers]) => v1Files(path, numbers))),
      ...(hybrid && Object.fromEntries(pressure)),
    }),
  );
}

/** cgroup v2, the systemd driver. */
export function v2Tree(): MemoryKernelFiles {
  const pod = POD_CGROUP.v2;
  return withLinks(
    new MemoryKernelFiles({
      ...procFiles(),
      ...v2Files("", ROOT),
      ...v2Files("/kubepods.slice", POD),
      ...v2Files(pod, POD),
      ...v2Files(`${pod}/cri-containerd-${WEB}.scope`, ONE),
      ...v2Files(`${pod}/cri-containerd-${LOG}.scope`, TWO),
      ...v2Files(`${pod}/cri-containerd-${SANDBOX}.scope`, PAUSE),
    }),
  );
}

/** The pod in both trees. */
export function fixturePod(changes: Partial<StatsPod> = {}): StatsPod {
  return {
    uid: UID,
    name: "web",
    namespace: "default",
    sandboxId: SANDBOX,
    createdAt: Date.UTC(2026, 0, 1),
    containers: [
      { id: WEB, name: "web", createdAt: Date.UTC(2026, 0, 2), logFolder: "/var/log/pods/web/web" },
      { id: LOG, name: "log", createdAt: Date.UTC(2026, 0, 3) },
    ],
    volumes: [
      { name: "scratch", path: "/pods/scratch", ephemeral: true },
      { name: "secret", path: "/pods/secret", ephemeral: false },
    ],
    ...changes,
  };
}

/** A file system of 1000 blocks of 4 KiB, 400 of them free. */
export const DISK: RawFilesystem = {
  blockBytes: 4096,
  blocks: 1000,
  blocksFree: 450,
  blocksAvailable: 400,
  inodes: 100,
  inodesFree: 60,
  device: 1,
};

/** A machine in memory. File systems and folders by path; one that is missing there is an error of the system, or not there. */
export class MemoryHost implements StatsHost {
  readonly files: MemoryKernelFiles;
  readonly disks = new Map<string, RawFilesystem | Promise<RawFilesystem>>([["/var/lib/holdfast", DISK]]);
  readonly trees = new Map<string, TreeUsage | Promise<TreeUsage>>();
  statfsCalls = 0;
  treeCalls = 0;
  breaths = 0;

  constructor(files: MemoryKernelFiles) {
    this.files = files;
  }

  readonly statfs = async (path: string): Promise<RawFilesystem> => {
    this.statfsCalls += 1;
    const disk = await this.disks.get(path);
    if (disk === undefined) throw new Error(`ENOENT: ${path}`);
    return disk;
  };

  readonly measureTree = async (path: string): Promise<TreeUsage | undefined> => {
    this.treeCalls += 1;
    return await this.trees.get(path);
  };

  readonly listFolders = async (): Promise<readonly string[]> => [];

  readonly breathe = async (): Promise<void> => {
    this.breaths += 1;
  };
}

/** A read that fails for another reason than a missing file. */
export function failingRead(path: string): () => string {
  return () => {
    throw new HoldfastError("STATS_READ", "permanent", `reading ${path}: EIO`);
  };
}
