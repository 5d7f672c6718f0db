// SPDX-License-Identifier: Apache-2.0

/** The kernel's cgroup tree, v1, hybrid or v2, through its files. */
import { access, mkdir, readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { HoldfastError } from "@holdfast/core/errors";
import type { CgroupTree } from "../ports.ts";

/** Controllers that pods' cgroups are made in on v1; others follow by runc itself and are only cleaned up. */
const V1_CONTROLLERS = ["cpu", "cpuacct", "cpuset", "memory", "pids", "hugetlb"];
const V2_CONTROLLERS = ["cpu", "cpuset", "memory", "pids", "hugetlb"];

/** Opens the tree at `root` (default /sys/fs/cgroup) and tells v1 from v2 by what lies there. */
export function openCgroupTree(root = "/sys/fs/cgroup"): CgroupTree {
  return existsSync(join(root, "cgroup.controllers"))
    ? new KernelCgroups(2, { "": root })
    : new KernelCgroups(1, v1Hierarchies(root));
}

/** Hierarchy name to its root: named ones (systemd) and the empty v2 tree of a hybrid machine are cleaned up too. */
function v1Hierarchies(root: string): Record<string, string> {
  const roots: Record<string, string> = {};
  for (const entry of existsSync(root) ? readdirSync(root, { withFileTypes: true }) : []) {
    // "cpu,cpuacct" is the real folder, "cpu" a link to it: links are resolved by name.
    if (!entry.isDirectory() || !existsSync(join(root, entry.name, "cgroup.procs"))) continue;
    for (const name of entry.name.split(",")) roots[name] = join(root, entry.name);
  }
  return roots;
}

class KernelCgroups implements CgroupTree {
  readonly version: 1 | 2;
  readonly #roots: Readonly<Record<string, string>>;

  constructor(version: 1 | 2, roots: Readonly<Record<string, string>>) {
    this.version = version;
    this.#roots = roots;
  }

  async create(path: string): Promise<void> {
    const make = this.version === 1 ? makeV1 : makeV2;
    const roots = this.#rootsOf(this.version === 1 ? V1_CONTROLLERS : [""]);
    await Promise.all(roots.map((root) => make(root, partsOf(path), root === this.#roots["cpuset"])));
  }

  async exists(path: string): Promise<boolean> {
    return this.#allRoots().some((root) => existsSync(join(root, path)));
  }

  async write(path: string, controller: string, file: string, value: string): Promise<void> {
    const root = this.version === 2 ? this.#roots[""] : this.#roots[controller];
    if (root === undefined)
      throw new HoldfastError(
        "RESOURCE_CONTROLLER",
        "permanent",
        `this machine has no cgroup controller ${controller}`,
      );
    try {
      await writeFile(join(root, path, file), value);
    } catch (cause) {
      const text = `writing ${value} to ${join(path, file)} (${controller})`;
      throw new HoldfastError(
        "RESOURCE_CGROUP_WRITE",
        (cause as NodeJS.ErrnoException).code === "ENOENT" ? "not-found" : "retryable",
        text,
        { cause },
      );
    }
  }

  async pids(path: string): Promise<readonly number[]> {
    const pids = new Set<number>();
    for (const root of this.#allRoots()) {
      for (const folder of await foldersBelow(join(root, path))) {
        const text = await readFile(join(folder, "cgroup.procs"), "utf8").catch(() => ""); // gone meanwhile
        for (const line of text.split("\n")) if (Number(line) > 0) pids.add(Number(line));
      }
    }
    return [...pids];
  }

  async remove(path: string): Promise<void> {
    for (const root of this.#allRoots()) {
      // Deepest first: a cgroup with children cannot be removed.
      for (const folder of (await foldersBelow(join(root, path))).reverse()) {
        await rmdir(folder).catch((error: NodeJS.ErrnoException) => {
          if (error.code !== "ENOENT") throw error;
        });
      }
    }
  }

  async children(path: string): Promise<readonly string[]> {
    const names = new Set<string>();
    for (const root of this.#allRoots()) {
      const entries = await readdir(join(root, path), { withFileTypes: true }).catch(() => []); // no such cgroup here
      for (const entry of entries) if (entry.isDirectory()) names.add(entry.name);
    }
    return [...names];
  }

  kill(pid: number): void {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // ended by itself meanwhile
    }
  }

  #allRoots(): string[] {
    return [...new Set(Object.values(this.#roots))];
  }

  #rootsOf(names: readonly string[]): string[] {
    return [...new Set(names.map((name) => this.#roots[name]).filter((root) => root !== undefined))];
  }
}

/** On v2 a child has only the controllers that its parent hands down. */
async function enableControllers(folder: string): Promise<void> {
  const words = async (file: string): Promise<string[]> =>
    (await readFile(join(folder, file), "utf8")).trim().split(" ");
  const [available, enabled] = [await words("cgroup.controllers"), await words("cgroup.subtree_control")];
  const missing = V2_CONTROLLERS.filter(
    (controller) => available.includes(controller) && !enabled.includes(controller),
  );
  if (missing.length === 0) return;
  const control = join(folder, "cgroup.subtree_control");
  try {
    await writeFile(control, missing.map((controller) => `+${controller}`).join(" "));
  } catch {
    // The kernel takes all or none. One by one, the ones that it can give are had; a value that needs another then fails by the file's name.
    for (const controller of missing) await writeFile(control, `+${controller}`).catch(() => {});
  }
}

function partsOf(path: string): readonly string[] {
  return path.split("/").filter((part) => part !== "");
}

/** The parents are nearly always there: they are looked at only where the kernel says that one is missing. */
async function makeV1(root: string, parts: readonly string[], isCpuset: boolean): Promise<void> {
  if (parts.length === 0) return;
  const [folder, parents] = [join(root, ...parts), parts.slice(0, -1)];
  try {
    await mkdir(folder);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "EEXIST" && code !== "ENOENT") throw error;
    if (code === "ENOENT") {
      await makeV1(root, parents, isCpuset);
      await mkdir(folder, { recursive: true }); // somebody may have been faster
    }
  }
  if (isCpuset) await inheritCpuset(join(root, ...parents), folder);
}

async function makeV2(root: string, parts: readonly string[]): Promise<void> {
  let folder = root;
  for (const part of parts) {
    await enableControllers(folder);
    folder = join(folder, part);
    await mkdir(folder, { recursive: true });
  }
}

/**
 * On v1 a new cpuset is empty and takes no process until it has CPUs and memory nodes. Read without the thread pool: the kernel answers these
 * from memory, and a round through the pool costs ten times the read. Writing takes locks of the scheduler, so it stays off the loop.
 */
async function inheritCpuset(parent: string, folder: string): Promise<void> {
  for (const file of ["cpuset.cpus", "cpuset.mems"]) {
    if (readCpuset(join(folder, file)) === "")
      await writeFile(join(folder, file), readFileSync(join(parent, file), "utf8").trim());
  }
}

function readCpuset(file: string): string {
  try {
    return readFileSync(file, "utf8").trim();
  } catch {
    return "";
  }
}

async function foldersBelow(folder: string): Promise<string[]> {
  const found = [folder];
  try {
    await access(folder);
  } catch {
    return [];
  }
  for (let index = 0; index < found.length; index++) {
    const current = found[index] ?? "";
    for (const entry of await readdir(current, { withFileTypes: true }).catch(() => []))
      if (entry.isDirectory()) found.push(join(current, entry.name));
  }
  return found;
}
