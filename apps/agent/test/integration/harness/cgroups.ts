// SPDX-License-Identifier: Apache-2.0

/** cgroups of one test's own root, in every hierarchy of this machine (v1) or in the one (v2). */
import { existsSync, readdirSync, readFileSync, rmdirSync } from "node:fs";
import { join } from "node:path";

const MOUNT = "/sys/fs/cgroup";

function hierarchies(): string[] {
  if (existsSync(join(MOUNT, "cgroup.controllers"))) return [MOUNT];
  return readdirSync(MOUNT, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(MOUNT, entry.name));
}

/** Every folder below `root`, in all hierarchies, the deepest first. */
export function cgroupFolders(root: string): string[] {
  const found: string[] = [];
  const walk = (dir: string): void => {
    let entries;
    try {
      entries = readdirSync(dir, { withFileTypes: true });
    } catch {
      return; // removed meanwhile
    }
    for (const entry of entries) if (entry.isDirectory()) walk(join(dir, entry.name));
    found.push(dir);
  };
  for (const hierarchy of hierarchies()) {
    const dir = join(hierarchy, root);
    if (existsSync(dir)) walk(dir);
  }
  return found;
}

/** Paths of pods' cgroups below `root`, each once however many hierarchies hold it. */
export function podCgroups(root: string): string[] {
  const paths = cgroupFolders(root).flatMap((path) => {
    const below = path.slice(path.indexOf(root));
    return /\/[^/]*pod[^/]*(\.slice)?$/.test(below) && !/kubepods(\.slice)?$/.test(below) ? [below] : [];
  });
  return [...new Set(paths)].sort();
}

/** Removes what is empty below and including `root`. */
export function removeCgroups(root: string): void {
  for (const path of cgroupFolders(root)) {
    try {
      rmdirSync(path);
    } catch {
      // Not ours to force: somebody lives in it, and the check of leftovers says so.
    }
  }
}

/** A v1 file of a process's cgroup, or the v2 file of the same meaning. */
export function readCgroupFile(pid: number, controller: string, v1File: string, v2File: string): string {
  if (existsSync(join(MOUNT, "cgroup.controllers"))) {
    const path = /^0::(.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, "utf8"))?.[1] ?? "";
    return readFileSync(join(MOUNT, path, v2File), "utf8").trim();
  }
  return readFileSync(join(MOUNT, controller, cgroupOf(pid, controller), v1File), "utf8").trim();
}

/** Path of a process's cgroup in a v1 hierarchy, or in the v2 one. */
export function cgroupOf(pid: number, controller: string): string {
  for (const line of readFileSync(`/proc/${pid}/cgroup`, "utf8").split("\n")) {
    const [, id = "", controllers = "", path = ""] = /^(\d+):([^:]*):(.*)$/.exec(line) ?? [];
    if (controllers.split(",").includes(controller)) return path;
    if (id === "0" && existsSync(join(MOUNT, "cgroup.controllers"))) return path;
  }
  throw new Error(`process ${pid} has no ${controller} cgroup`);
}
