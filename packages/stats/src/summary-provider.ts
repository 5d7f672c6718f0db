// SPDX-License-Identifier: Apache-2.0

/**
 * Statistics of a node and its pods, on demand. kubelet: SummaryProvider, with cAdvisor's work in it.
 *
 * Owns: the last sample of each form, the CPU counters before them, where each container's cgroup is. Reads: the kernel's files, the runtime, file systems.
 * Invariants: nothing is read and no timer runs unless somebody asks; who asks while a reading that is fresh enough is under way shares it; a file system that
 * hangs holds up nobody for longer than its deadline; a part that fails is named, and missing. Lost on a crash: the next sample has no CPU rates.
 */
import type { Clock } from "@holdfast/core/clock";
import { linkSignal } from "@holdfast/core/lifecycle";
import type { Component, Health } from "@holdfast/core/lifecycle";
import { CgroupIndex } from "./cgroup/cgroup-index.ts";
import { CgroupReader } from "./cgroup/cgroup-reader.ts";
import { RuntimeFigures } from "./cri/runtime-figures.ts";
import { ContainedCalls } from "./disk/contained-calls.ts";
import { FilesystemReader } from "./disk/filesystem-reader.ts";
import { TreeMeter } from "./disk/tree-meter.ts";
import type { SystemContainer } from "./node-stats.ts";
import type {
  ListStatsPods,
  SampleOptions,
  StatsHost,
  StatsProvider,
  StatsRuntime,
  StatsSample,
  StorageOptions,
  StorageSample,
} from "./ports.ts";
import { PressureMemory } from "./pressure-memory.ts";
import { readSummary } from "./read-summary.ts";
import type { ReadingMemory, StatsForm } from "./read-summary.ts";
import { UsageRates } from "./usage-rate.ts";

/** How a {@link SummaryProvider} is made. */
export interface SummaryProviderOptions {
  readonly clock: Clock;
  readonly host: StatsHost;
  readonly pods: ListStatsPods;
  /** Absent: no image file system, no writable layers. */
  readonly runtime?: StatsRuntime;
  readonly nodeName: string;
  /** A folder on the file system that is the node's: where pods' folders are. kubelet: the root directory. */
  readonly nodeFsPath: string;
  /** Where cgroups are mounted. Default /sys/fs/cgroup. */
  readonly cgroupRoot?: string;
  /** Cgroups shown as the node's own containers. Default none. kubelet: `pods`, `kubelet`, `runtime`, `misc`. */
  readonly systemContainers?: readonly SystemContainer[];
  /** How old a sample may be. Milliseconds. Default 1 s. */
  readonly maxAgeMs?: number;
  /** How old figures of folders and writable layers may be. Milliseconds. Default 1 min. kubelet: volumeStatsAggPeriod. */
  readonly diskMaxAgeMs?: number;
  /** What one file system may take to answer. Milliseconds. Default 2 s. */
  readonly filesystemDeadlineMs?: number;
  /** What measuring folders may take in one sample. Milliseconds. Default 3 s. */
  readonly diskBudgetMs?: number;
  /** What one whole sample may take, the runtime's calls included. Milliseconds. Default 10 s. */
  readonly deadlineMs?: number;
  /** Adds bytes and operations of block devices to `io`, which the kubelet's Summary has not. Default false. */
  readonly ioCounters?: boolean;
}

const DEFAULT_MAX_AGE_MS = 1000;
const DEFAULT_DISK_MAX_AGE_MS = 60_000;
const DEFAULT_DISK_BUDGET_MS = 3000;
const DEFAULT_DEADLINE_MS = 10_000;

interface Reading {
  readonly at: number;
  readonly sample: Promise<StatsSample>;
}

/** See the top of the file. */
export class SummaryProvider implements StatsProvider, Component {
  readonly name = "stats";
  /** The file systems, for others too: one bound of threads that dead mounts may hold. */
  readonly filesystems: FilesystemReader;
  /** Folders, the same. */
  readonly trees: TreeMeter;
  readonly #options: SummaryProviderOptions;
  readonly #calls: ContainedCalls;
  readonly #walks: ContainedCalls;
  readonly #rates = new UsageRates();
  readonly #runtime: RuntimeFigures | undefined;
  readonly #startedAt: number;
  readonly #life = linkSignal();
  readonly #memory: ReadingMemory = {
    bootedAt: undefined,
    processes: new Map(),
    pressures: new PressureMemory(),
  };
  readonly #newest = new Map<StatsForm, Reading>();
  #cgroups: { readonly reader: CgroupReader; readonly index: CgroupIndex } | undefined;

  constructor(options: SummaryProviderOptions) {
    const { clock, host, runtime, filesystemDeadlineMs } = options;
    this.#options = options;
    this.#startedAt = clock.now();
    const deadline = filesystemDeadlineMs === undefined ? {} : { deadlineMs: filesystemDeadlineMs };
    this.#calls = new ContainedCalls({ clock, ...deadline });
    // Apart, so that a folder that hangs takes no place from file systems. Together they leave one of Node's four threads in any case.
    this.#walks = new ContainedCalls({ clock, ...deadline, limit: 1 });
    this.filesystems = new FilesystemReader(host.statfs, this.#calls);
    this.trees = new TreeMeter({
      clock,
      measureTree: host.measureTree,
      listFolders: host.listFolders,
      calls: this.#walks,
    });
    this.#runtime = runtime === undefined ? undefined : new RuntimeFigures(runtime, clock);
  }

  /** Nothing has to be started: here for who treats all components alike. */
  async start(): Promise<void> {}

  /** Gives up what is being read. */
  async stop(): Promise<void> {
    this.#life.abort(new Error("statistics stop"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** A file system that hangs is the sample's problem and no failure of ours. */
  health(): Health {
    return { failures: [] };
  }

  /** What hangs, and how much is remembered. */
  snapshot(): unknown {
    return { hung: [...this.#calls.hung(), ...this.#walks.hung()], rates: this.#rates.size };
  }

  async sample(options: SampleOptions = {}): Promise<StatsSample> {
    const { signal } = options;
    const form =
      options.onlyCpuAndMemory === true ? "cpu-and-memory" : options.onlyNode === true ? "node" : "all";
    const maxAgeMs = options.maxAgeMs ?? this.#options.maxAgeMs ?? DEFAULT_MAX_AGE_MS;
    signal?.throwIfAborted();
    this.#life.signal.throwIfAborted();
    const newest = this.#newest.get(form);
    const now = this.#options.clock.monotonic();
    const reading =
      newest !== undefined && now - newest.at <= maxAgeMs
        ? newest
        : this.#begin(form, maxAgeMs, options.diskMaxAgeMs, newest);
    return await orAborted(reading.sample, signal);
  }

  async storage({ uids, diskMaxAgeMs, signal }: StorageOptions = {}): Promise<StorageSample> {
    signal?.throwIfAborted();
    this.#life.signal.throwIfAborted();
    const { pods } = this.#options;
    const wanted: ListStatsPods = async (life) =>
      (await pods(life)).filter(({ uid }) => uids === undefined || uids.has(uid));
    const maxAgeMs = this.#options.maxAgeMs ?? DEFAULT_MAX_AGE_MS;
    const sample = await orAborted(this.#read("storage", maxAgeMs, diskMaxAgeMs, wanted), signal);
    return { pods: sample.summary.pods, problems: sample.problems };
  }

  /** Begins a reading, after one that is under way: two at once would read the same files twice. */
  #begin(
    form: StatsForm,
    maxAgeMs: number,
    diskMaxAgeMs: number | undefined,
    before: Reading | undefined,
  ): Reading {
    const at = this.#options.clock.monotonic();
    const sample = (async (): Promise<StatsSample> => {
      await before?.sample.catch(() => undefined);
      return await this.#read(form, maxAgeMs, diskMaxAgeMs);
    })();
    const reading = { at, sample };
    this.#newest.set(form, reading);
    sample.catch(() => {
      if (this.#newest.get(form) === reading) this.#newest.delete(form);
    });
    return reading;
  }

  async #read(
    form: StatsForm,
    maxAgeMs: number,
    diskMaxAgeMs: number | undefined,
    pods: ListStatsPods = this.#options.pods,
  ): Promise<StatsSample> {
    const { clock, host, deadlineMs = DEFAULT_DEADLINE_MS } = this.#options;
    this.#cgroups ??= this.#openCgroups();
    using life = linkSignal(this.#life.signal);
    const timer = clock.timer(deadlineMs, () =>
      life.abort(new Error(`a sample took longer than ${deadlineMs} ms`)),
    );
    try {
      const reading = readSummary({
        clock,
        host,
        listPods: pods,
        runtime: this.#runtime,
        cgroups: this.#cgroups.reader,
        index: this.#cgroups.index,
        rates: this.#rates,
        filesystems: this.filesystems,
        trees: this.trees,
        nodeName: this.#options.nodeName,
        nodeFsPath: this.#options.nodeFsPath,
        systemContainers: this.#options.systemContainers ?? [],
        startedAt: this.#startedAt,
        memory: this.#memory,
        ioCounters: this.#options.ioCounters ?? false,
        form,
        maxAgeMs,
        diskMaxAgeMs: diskMaxAgeMs ?? this.#options.diskMaxAgeMs ?? DEFAULT_DISK_MAX_AGE_MS,
        diskBudgetMs: this.#options.diskBudgetMs ?? DEFAULT_DISK_BUDGET_MS,
        signal: life.signal,
      });
      // Whatever it waits for may not heed its signal.
      return await orAborted(reading, life.signal);
    } finally {
      timer.cancel();
    }
  }

  #openCgroups(): { readonly reader: CgroupReader; readonly index: CgroupIndex } {
    const reader = new CgroupReader(this.#options.host.files, this.#options.cgroupRoot);
    return { reader, index: new CgroupIndex(reader) };
  }
}

/** The work goes on for others who wait for it. */
async function orAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await work;
  return await new Promise<T>((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error);
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    void work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
