// SPDX-License-Identifier: Apache-2.0

/**
 * The machine's figures for one round, from as few files as the thresholds need: memory and processes from the kernel's files, disks by statfs through its port.
 * A node's sample of `@holdfast/stats` would fit, too, and reads three times as much, every ten seconds of an idle node's life.
 *
 * Owns: where the image file system is, for ten minutes. Invariants: nothing is read that no threshold stands on; a part that fails is named and missing, and
 * keeps no other from being read. Lost on a crash: nothing.
 */
import type { Clock } from "@holdfast/core/clock";
import { errorText } from "@holdfast/core/errors";
import type { FilesystemLayout } from "./parse-thresholds.ts";
import {
  parseMemoryStat,
  parseNumberFile,
  parsePressureFile,
  parseRunningTasks,
} from "./parse-kernel-files.ts";
import type { FsFigures, MemoryFigures, NodeFigures, NodeSample } from "./ports.ts";
import { filesystemOf, isPressureSignal } from "./signals.ts";
import type { Threshold } from "./threshold.ts";

/** A file system, as `@holdfast/stats` and `src/node/` read it. */
export interface MachineFilesystem {
  readonly capacityBytes: number;
  readonly availableBytes: number;
  /** Undefined where it has no table of them. */
  readonly inodes: { readonly total: number; readonly free: number } | undefined;
  /** Two paths with the same number lie on the same file system. */
  readonly device: number;
}

/** The machine, as far as thresholds stand on it. */
export interface MachinePort {
  /** Text of one of the kernel's files; undefined when it is not there. */
  read(path: string): string | undefined;
  /** Asks a file system; must end by itself, also on a dead mount. */
  filesystem(path: string): Promise<MachineFilesystem>;
}

/** How a {@link MachineFigures} is made. */
export interface MachineFiguresOptions {
  readonly clock: Pick<Clock, "monotonic">;
  readonly machine: MachinePort;
  /** What is not asked for is not read. */
  readonly thresholds: readonly Threshold[];
  /** A folder on the file system of pods' folders. */
  readonly nodeFsPath: string;
  /** A folder on the image file system, from the runtime; asked every ten minutes. Absent or undefined: images lie where pods' folders do. */
  readonly imageFsPath?: (signal: AbortSignal) => Promise<string | undefined>;
  /** Cgroup of all pods, below the hierarchies' roots: `/kubepods`. Absent: there is none. */
  readonly podsCgroup?: string | undefined;
  /** Where cgroups are mounted. Default /sys/fs/cgroup. */
  readonly cgroupRoot?: string;
}

/** How long the place of the image file system is taken for granted. */
const IMAGE_FS_AGE_MS = 600_000;

interface ImageFs {
  readonly path: string | undefined;
  readonly at: number;
  /** It lies where pods' folders do: one question does for both. */
  readonly isShared: boolean;
}

interface Needs {
  readonly memory: boolean;
  readonly allocatable: boolean;
  readonly pressure: boolean;
  readonly processes: boolean;
  readonly disk: boolean;
}

/** See the top of the file. `node` fits `StatsProvider.node`. */
export class MachineFigures {
  readonly #options: MachineFiguresOptions;
  readonly #root: string;
  readonly #needs: Needs;
  #isV2: boolean | undefined;
  #imageFs: ImageFs | undefined;

  constructor(options: MachineFiguresOptions) {
    this.#options = options;
    this.#root = options.cgroupRoot ?? "/sys/fs/cgroup";
    const has = (of: (signal: Threshold["signal"]) => boolean): boolean =>
      options.thresholds.some(({ signal }) => of(signal));
    this.#needs = {
      memory: has((signal) => signal === "memory.available"),
      allocatable: has((signal) => signal === "allocatableMemory.available"),
      pressure: has(isPressureSignal),
      processes: has((signal) => signal === "pid.available"),
      disk: has((signal) => filesystemOf(signal) !== undefined),
    };
  }

  /** Rejects with the signal's reason; what else fails is named in `problems`. */
  async node(signal: AbortSignal): Promise<NodeSample> {
    const at = this.#options.clock.monotonic();
    const problems: { part: string; message: string }[] = [];
    const part = async <T>(name: string, work: () => T | Promise<T>): Promise<T | undefined> => {
      try {
        return await work();
      } catch (error) {
        signal.throwIfAborted();
        problems.push({ part: name, message: errorText(error) });
        return undefined;
      }
    };
    const needs = this.#needs;
    const reading = needs.disk ? this.#disks(part, signal) : undefined;
    const memory = needs.memory ? await part("node.memory", () => this.#memory()) : undefined;
    const psi = needs.pressure ? await part("node.memory.psi", () => this.#pressure()) : undefined;
    const pods = needs.allocatable ? await part("pods.memory", () => this.#podsMemory()) : undefined;
    const rlimit = needs.processes ? await part("node.rlimit", () => this.#processes()) : undefined;
    const disks = await reading;
    return {
      at,
      node: {
        ...((memory ?? psi) !== undefined && { memory: { ...memory, ...(psi !== undefined && { psi }) } }),
        ...(rlimit !== undefined && { rlimit }),
        ...(pods !== undefined && { systemContainers: [{ name: "pods", memory: pods }] }),
        ...disks?.figures,
      },
      layout: needs.disk ? disks?.layout : SHARED,
      problems,
    };
  }

  // --- memory and processes ---

  /** Fits `MemoryUsageReader`. Throws when the kernel's file has another form than it should. */
  usageBytes(of: "node" | "pods"): number | undefined {
    const at = of === "node" ? "" : this.#options.podsCgroup;
    if (at === undefined) return undefined;
    const file = this.#cgroupIsV2
      ? `${this.#root}${at}/${of === "node" ? "memory.stat" : "memory.current"}`
      : `${this.#root}/memory${at}/memory.usage_in_bytes`;
    const text = this.#options.machine.read(file);
    if (text === undefined) return undefined;
    return this.#cgroupIsV2 && of === "node" ? rootUsage(text, file) : parseNumberFile(text, file);
  }

  get #cgroupIsV2(): boolean {
    this.#isV2 ??= this.#options.machine.read(`${this.#root}/cgroup.controllers`) !== undefined;
    return this.#isV2;
  }

  /** kubelet: what the machine has less the working set of the root cgroup. */
  #memory(): MemoryFigures {
    const total = this.#number("/proc/meminfo", /^MemTotal:\s+(\d+) kB$/m) * 1024;
    const used = this.#cgroupIsV2 ? this.#usedV2("", true) : this.#usedV1("");
    return { ...used, availableBytes: Math.max(total - used.workingSetBytes, 0) };
  }

  /** Undefined without a limit: then there is nothing to fall short of. */
  #podsMemory(): MemoryFigures | undefined {
    const { podsCgroup, machine } = this.#options;
    if (podsCgroup === undefined) return undefined;
    const file = this.#cgroupIsV2
      ? `${this.#root}${podsCgroup}/memory.max`
      : `${this.#root}/memory${podsCgroup}/memory.limit_in_bytes`;
    const text = machine.read(file)?.trim();
    if (text === undefined || text === "max") return undefined;
    const limit = parseNumberFile(text, file);
    if (limit >= NO_LIMIT_V1) return undefined;
    const used = this.#cgroupIsV2 ? this.#usedV2(podsCgroup, false) : this.#usedV1(podsCgroup);
    return { ...used, availableBytes: Math.max(limit - used.workingSetBytes, 0) };
  }

  #usedV2(at: string, isRoot: boolean): Used {
    const file = `${this.#root}${at}/memory.stat`;
    const stat = this.#text(file);
    const usageBytes = isRoot
      ? rootUsage(stat, file)
      : parseNumberFile(this.#text(`${this.#root}${at}/memory.current`), `${this.#root}${at}/memory.current`);
    return withoutInactive(usageBytes, parseMemoryStat(stat, "inactive_file", file));
  }

  #usedV1(at: string): Used {
    const folder = `${this.#root}/memory${at}`;
    const usageBytes = parseNumberFile(
      this.#text(`${folder}/memory.usage_in_bytes`),
      `${folder}/memory.usage_in_bytes`,
    );
    const file = `${folder}/memory.stat`;
    return withoutInactive(usageBytes, parseMemoryStat(this.#text(file), "total_inactive_file", file));
  }

  #pressure(): NonNullable<MemoryFigures["psi"]> {
    return parsePressureFile(this.#text("/proc/pressure/memory"), "/proc/pressure/memory");
  }

  /** kubelet: stats/pidlimit. */
  #processes(): NonNullable<NodeFigures["rlimit"]> {
    const maxpid = Math.min(
      ...["/proc/sys/kernel/pid_max", "/proc/sys/kernel/threads-max"].map((file) =>
        parseNumberFile(this.#text(file), file),
      ),
    );
    return { maxpid, curproc: parseRunningTasks(this.#text("/proc/loadavg")) };
  }

  #number(file: string, pattern: RegExp): number {
    const match = pattern.exec(this.#text(file));
    return parseNumberFile(match?.[1] ?? "", file);
  }

  #text(file: string): string {
    const text = this.#options.machine.read(file);
    if (text === undefined) throw new Error(`${file} is not there`);
    return text;
  }

  // --- disks ---

  async #disks(
    part: <T>(name: string, work: () => T | Promise<T>) => Promise<T | undefined>,
    signal: AbortSignal,
  ): Promise<{ readonly figures: NodeFigures; readonly layout: FilesystemLayout | undefined }> {
    const { machine, nodeFsPath } = this.#options;
    const [node, imageFs] = await Promise.all([
      part("node.fs", () => machine.filesystem(nodeFsPath)),
      part("node.runtime", () => this.#findImageFs(signal)),
    ]);
    if (imageFs === undefined)
      return { figures: node === undefined ? {} : { fs: toFigures(node) }, layout: undefined };
    const { path } = imageFs;
    const image =
      path === undefined || (imageFs.isShared && node !== undefined)
        ? node
        : await part("node.runtime.imageFs", () => machine.filesystem(path));
    const layout =
      node === undefined || image === undefined
        ? undefined
        : { dedicatedImageFs: image.device !== node.device, splitContainerFs: false };
    this.#imageFs = { ...imageFs, isShared: layout?.dedicatedImageFs === false };
    const imageFigures = image === undefined ? undefined : toFigures(image);
    return {
      figures: {
        ...(node !== undefined && { fs: toFigures(node) }),
        // containerd keeps writable layers where it keeps images.
        ...(imageFigures !== undefined && { runtime: { imageFs: imageFigures, containerFs: imageFigures } }),
      },
      layout,
    };
  }

  /** The last known place is better than none while the runtime does not answer. */
  async #findImageFs(signal: AbortSignal): Promise<ImageFs> {
    const { clock, imageFsPath } = this.#options;
    const at = clock.monotonic();
    if (this.#imageFs !== undefined && at - this.#imageFs.at < IMAGE_FS_AGE_MS) return this.#imageFs;
    try {
      return { path: await imageFsPath?.(signal), at, isShared: false };
    } catch (error) {
      if (this.#imageFs === undefined) throw error;
      return this.#imageFs;
    }
  }
}

const SHARED: FilesystemLayout = { dedicatedImageFs: false, splitContainerFs: false };

interface Used {
  readonly usageBytes: number;
  readonly workingSetBytes: number;
}

/** The root of version 2 has no memory.current: there usage is what its statistics add up to. */
function rootUsage(stat: string, file: string): number {
  return parseMemoryStat(stat, "anon", file) + parseMemoryStat(stat, "file", file);
}

function withoutInactive(usageBytes: number, inactiveFileBytes: number): Used {
  return { usageBytes, workingSetBytes: Math.max(usageBytes - inactiveFileBytes, 0) };
}

/** What version 1 says for no limit is near 2^63. */
const NO_LIMIT_V1 = 2 ** 62;

function toFigures({ capacityBytes, availableBytes, inodes }: MachineFilesystem): FsFigures {
  return {
    capacityBytes,
    availableBytes,
    ...(inodes !== undefined && { inodes: inodes.total, inodesFree: inodes.free }),
  };
}
