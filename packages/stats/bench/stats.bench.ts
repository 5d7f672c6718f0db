// SPDX-License-Identifier: Apache-2.0

// What one sample costs by the number of pods: real cgroups of the kernel's where this process may make them (two containers and a sandbox a pod, a process in a
// network of its own in every pod up to 100), else none. Own CPU is user and system time of this process: the kernel's work for each file is in it.
// node --expose-gc --conditions=@holdfast/source packages/stats/bench/stats.bench.ts
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { systemClock } from "@holdfast/core/node";
import { SummaryProvider } from "@holdfast/stats";
import type { StatsHost, StatsPod } from "@holdfast/stats";
import { nodeStatsHost } from "@holdfast/stats/node";

interface Row {
  readonly pods: number;
  readonly firstMs: number;
  readonly sampleMs: number;
  readonly cpuMs: number;
  readonly cpuMsPer100: number;
  readonly reducedCpuMs: number;
  readonly nodeOnlyCpuMs: number;
  readonly foldersCpuMs: number;
  readonly longestBlockMs: number;
  readonly files: number;
  readonly heapKb: number;
}

const SIZES = [10, 100, 1000];
const PROCESSES = 100;
const ROUNDS = 10;
const ROOT = "/sys/fs/cgroup";
const NAME = `hfstatsbench${process.pid}`;

const isV2 = existsSync(join(ROOT, "cgroup.controllers"));
/** The hierarchies, each once; on v2 it is one. With v1 the v2 tree beside them has the pressure. */
const hierarchies = isV2 ? [ROOT] : readdirSync(ROOT).map((name) => join(ROOT, name));

function idOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function podOf(index: number, folder: string): StatsPod {
  const uid = `00000000-0000-4000-8000-${String(index).padStart(12, "0")}`;
  const base = join(folder, uid);
  return {
    uid,
    name: `p${index}`,
    namespace: "default",
    sandboxId: idOf(`${uid}-sandbox`),
    createdAt: Date.now(),
    cgroupPath: `/${NAME}/kubepods/pod${uid}`,
    containers: ["one", "two"].map((name) => ({
      id: idOf(`${uid}-${name}`),
      name,
      createdAt: Date.now(),
      logFolder: join(base, name),
    })),
    volumes: [{ name: "scratch", path: join(base, "scratch"), ephemeral: true }],
  };
}

function makeCgroups(pods: readonly StatsPod[]): void {
  for (const root of hierarchies) {
    for (const { cgroupPath = "", sandboxId, containers } of pods)
      for (const id of [sandboxId, ...containers.map((container) => container.id)])
        mkdirSync(join(root, cgroupPath, id), { recursive: true });
  }
}

function removeCgroups(): void {
  const remove = (folder: string): void => {
    for (const entry of readdirSync(folder, { withFileTypes: true }))
      if (entry.isDirectory()) remove(join(folder, entry.name));
    rmdirSync(folder);
  };
  for (const root of hierarchies) if (existsSync(join(root, NAME))) remove(join(root, NAME));
}

/** A process in each of the first pods, in a network of its own, in the sandbox's cgroups. */
async function startProcesses(pods: readonly StatsPod[]): Promise<readonly ChildProcess[]> {
  const children: ChildProcess[] = [];
  for (const { cgroupPath = "", sandboxId } of pods.slice(0, PROCESSES)) {
    const child = spawn("unshare", ["-n", "sleep", "300"], { stdio: "ignore" });
    children.push(child);
    for (const root of hierarchies) {
      try {
        writeFileSync(join(root, cgroupPath, sandboxId, "cgroup.procs"), String(child.pid));
      } catch {
        // a hierarchy that takes no process without further settings: cpuset
      }
    }
  }
  await sleep(500);
  return children;
}

function makeFolders(pods: readonly StatsPod[]): void {
  for (const { containers, volumes = [] } of pods) {
    for (const { logFolder = "" } of containers) {
      mkdirSync(logFolder, { recursive: true });
      for (const name of ["0.log", "1.log", "1.log.20260101-000000.gz"])
        writeFileSync(join(logFolder, name), "x".repeat(1000));
    }
    for (const { path } of volumes) {
      mkdirSync(join(path, "below"), { recursive: true });
      for (let file = 0; file < 10; file++) writeFileSync(join(path, "below", `${file}`), "x");
    }
  }
}

/** The machine, with its reads counted and the time between two breaths watched. */
class CountingHost implements StatsHost {
  readonly #host = nodeStatsHost();
  reads = 0;
  longestMs = 0;
  #since = performance.now();

  readonly files = {
    read: (path: string): string | undefined => {
      this.reads += 1;
      return this.#host.files.read(path);
    },
    folders: (path: string) => this.#host.files.folders(path),
    link: (path: string) => this.#host.files.link(path),
  };
  readonly statfs = this.#host.statfs;
  readonly measureTree = this.#host.measureTree;
  readonly listFolders = this.#host.listFolders;
  readonly breathe = async (): Promise<void> => {
    this.longestMs = Math.max(this.longestMs, performance.now() - this.#since);
    await this.#host.breathe();
    this.#since = performance.now();
  };

  reset(): void {
    this.reads = 0;
    this.longestMs = 0;
    this.#since = performance.now();
  }
}

function cpuMs(since: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since);
  return (user + system) / 1000;
}

function median(values: readonly number[]): number {
  return [...values].sort((one, other) => one - other)[Math.floor(values.length / 2)] ?? 0;
}

async function measure(count: number): Promise<Row> {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-stats-bench-"));
  const pods = Array.from({ length: count }, (_, index) => podOf(index, folder));
  let children: readonly ChildProcess[] = [];
  try {
    makeCgroups(pods);
    children = await startProcesses(pods);
    makeFolders(pods);
    const host = new CountingHost();
    globalThis.gc?.();
    const heapBefore = process.memoryUsage().heapUsed;
    await using provider = new SummaryProvider({
      clock: systemClock,
      host,
      pods: () => pods,
      nodeName: "bench",
      nodeFsPath: folder,
      diskBudgetMs: 60_000,
    });
    const first = performance.now();
    await provider.sample();
    const firstMs = performance.now() - first;
    for (let round = 0; round < 3; round++) await provider.sample({ maxAgeMs: 0 });
    const own: number[] = [];
    const wall: number[] = [];
    const blocks: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      host.reset();
      const usage = process.cpuUsage();
      const started = performance.now();
      await provider.sample({ maxAgeMs: 0 });
      wall.push(performance.now() - started);
      own.push(cpuMs(usage));
      blocks.push(host.longestMs);
      await sleep(20);
    }
    const { reads } = host;
    const reduced: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const usage = process.cpuUsage();
      await provider.sample({ maxAgeMs: 0, onlyCpuAndMemory: true });
      reduced.push(cpuMs(usage));
    }
    const nodeOnly: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const usage = process.cpuUsage();
      await provider.sample({ maxAgeMs: 0, onlyNode: true });
      nodeOnly.push(cpuMs(usage));
    }
    const usage = process.cpuUsage();
    await provider.sample({ maxAgeMs: 0, diskMaxAgeMs: 0 });
    const withFolders = cpuMs(usage);
    globalThis.gc?.();
    const heapKb = (process.memoryUsage().heapUsed - heapBefore) / 1024;
    return {
      pods: count,
      firstMs,
      sampleMs: median(wall),
      cpuMs: median(own),
      cpuMsPer100: (median(own) / count) * 100,
      reducedCpuMs: median(reduced),
      nodeOnlyCpuMs: median(nodeOnly),
      foldersCpuMs: Math.max(withFolders - median(own), 0),
      longestBlockMs: median(blocks),
      files: reads,
      heapKb,
    };
  } finally {
    const ended = children.map((child) => new Promise((resolve) => child.once("exit", resolve)));
    for (const child of children) child.kill("SIGKILL");
    await Promise.all(ended);
    await sleep(200);
    removeCgroups();
    rmSync(folder, { recursive: true, force: true });
  }
}

const rows: Row[] = [];
for (const size of SIZES) rows.push(await measure(size));
const round = (value: number): number => Math.round(value * 10) / 10;
console.table(
  rows.map((row) =>
    Object.fromEntries(Object.entries(row).map(([key, value]) => [key, round(Number(value))])),
  ),
);
console.log(
  JSON.stringify({
    bench: "stats",
    node: process.version,
    cpus: cpus().length,
    cgroup: isV2 ? "v2" : existsSync(join(ROOT, "unified/cpu.pressure")) ? "v1, hybrid" : "v1",
    rounds: ROUNDS,
    rows,
  }),
);
