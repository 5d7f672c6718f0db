// SPDX-License-Identifier: Apache-2.0

/**
 * Reads cgroups of either version by one face.
 *
 * Owns: which hierarchies there are, looked at once. Reads: the tree below `root`. Invariants: a cgroup that has gone, or a controller that is not there, is
 * undefined and no error; a file of a wrong form throws `STATS_FORMAT` and nothing else. Lost on a crash: nothing.
 */
import type { KernelFiles } from "../ports.ts";
import type { CgroupFigures, CgroupParts } from "./cgroup-figures.ts";
import { readCgroupV1 } from "./read-cgroup-v1.ts";
import { readCgroupV2 } from "./read-cgroup-v2.ts";

/** Where each controller's hierarchy is mounted; with version 2 all are the same folder. */
export interface CgroupLayout {
  readonly version: 1 | 2;
  readonly memory: string | undefined;
  readonly cpu: string | undefined;
  readonly pids: string | undefined;
  readonly blkio: string | undefined;
  /** Where `*.pressure` files are: the v2 tree, which a machine with v1 may have beside the others. */
  readonly pressure: string | undefined;
}

/** Finds the hierarchies. v1's folders may bear several names: `cpu,cpuacct`. */
export function detectCgroupLayout(files: KernelFiles, root: string): CgroupLayout {
  if (files.read(`${root}/cgroup.controllers`) !== undefined) {
    const pressure = files.read(`${root}/cpu.pressure`) ?? files.read("/proc/pressure/cpu");
    return {
      version: 2,
      memory: root,
      cpu: root,
      pids: root,
      blkio: root,
      pressure: pressure === undefined ? undefined : root,
    };
  }
  const folders = files.folders(root);
  const of = (controller: string): string | undefined => {
    const folder = folders.find((name) => name.split(",").includes(controller));
    return folder === undefined ? undefined : `${root}/${folder}`;
  };
  const unified = `${root}/unified`;
  return {
    version: 1,
    memory: of("memory"),
    cpu: of("cpuacct"),
    pids: of("pids"),
    blkio: of("blkio"),
    pressure: files.read(`${unified}/cpu.pressure`) === undefined ? undefined : unified,
  };
}

/** See the top of the file. */
export class CgroupReader {
  readonly layout: CgroupLayout;
  readonly #files: KernelFiles;

  /** `root` is where the machine mounts its cgroups. */
  constructor(files: KernelFiles, root = "/sys/fs/cgroup") {
    this.#files = files;
    this.layout = detectCgroupLayout(files, root);
  }

  /** Figures of the cgroup at `path`, absolute below the hierarchies' roots; "/" is the machine. Undefined when there is no such cgroup. */
  read(path: string, parts: CgroupParts = {}): CgroupFigures | undefined {
    const at = path === "/" ? "" : path;
    return this.layout.version === 2
      ? readCgroupV2(this.#files, this.layout, at, parts)
      : readCgroupV1(this.#files, this.layout, at, parts);
  }

  /** Whether there is a cgroup at `path`. */
  exists(path: string): boolean {
    return this.procs(path) !== undefined;
  }

  /** Text of its cgroup.procs; undefined when there is no such cgroup. */
  procs(path: string): string | undefined {
    const { memory } = this.layout;
    return memory === undefined ? undefined : this.#files.read(`${memory}${path}/cgroup.procs`);
  }

  /** Names of the cgroups directly below. */
  children(path: string): readonly string[] {
    const { memory } = this.layout;
    return memory === undefined ? [] : this.#files.folders(`${memory}${path}`);
  }
}
