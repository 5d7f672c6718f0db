// SPDX-License-Identifier: Apache-2.0

/** The cgroup tree and systemd's slices in memory. Processes in it are those of the fake runtime's containers. */
import { HoldfastError } from "@holdfast/core/errors";
import type { FakeRuntime } from "@holdfast/cri-fake";
import { podUidOfCgroup } from "@holdfast/resource";
import type { CgroupDriver, CgroupTree, SystemdSlices } from "@holdfast/resource";

/** See the top of the file. */
export class MemoryCgroups {
  readonly #driver: CgroupDriver;
  readonly #runtime: FakeRuntime;
  readonly #paths = new Set<string>();
  /** Container ids by made-up process id. */
  readonly #pids: string[] = [];

  constructor(driver: CgroupDriver, runtime: FakeRuntime) {
    this.#driver = driver;
    this.#runtime = runtime;
  }

  /** UIDs of pods that have a cgroup. */
  podUids(): string[] {
    const uids = Array.from(this.#paths, (path) => podUidOfCgroup(this.#driver, lastPart(path)));
    return uids.filter((uid) => uid !== undefined).sort();
  }

  readonly tree: CgroupTree = {
    version: 2,
    create: async (path) => this.#make(path),
    exists: async (path) => this.#paths.has(path),
    write: async (path, _controller, file) => {
      if (!this.#paths.has(path)) throw new HoldfastError("TEST", "not-found", `no cgroup ${path}`);
      if (file === "cgroup.kill") for (const id of this.#containersIn(path)) this.#runtime.kill(id);
    },
    pids: async (path) =>
      this.#containersIn(path).map((id) => {
        if (!this.#pids.includes(id)) this.#pids.push(id);
        return this.#pids.indexOf(id) + 1;
      }),
    remove: async (path) => {
      if (this.#containersIn(path).length > 0)
        throw new HoldfastError("TEST", "retryable", `processes live in ${path}`);
      for (const at of this.#paths) if (at === path || at.startsWith(`${path}/`)) this.#paths.delete(at);
    },
    children: async (path) => {
      const below = [...this.#paths].filter((at) => at.startsWith(`${path}/`));
      return [...new Set(below.map((at) => at.slice(path.length + 1).split("/")[0] ?? ""))];
    },
    kill: (pid) => void this.#runtime.kill(this.#pids[pid - 1] ?? ""),
  };

  readonly systemd: SystemdSlices = {
    start: async (slice) => this.#make(slicePath(slice)),
    set: async () => {},
    restart: async (slice) => this.#make(slicePath(slice)),
    stop: async (slice) => {
      for (const id of this.#containersIn(slicePath(slice))) this.#runtime.kill(id);
      await this.tree.remove(slicePath(slice));
    },
  };

  #make(path: string): void {
    for (let at = path; at !== ""; at = at.slice(0, at.lastIndexOf("/"))) this.#paths.add(at);
  }

  #containersIn(path: string): string[] {
    const uid = podUidOfCgroup(this.#driver, lastPart(path));
    return this.#runtime
      .containers()
      .filter(({ alive, podUid }) => alive && podUid === uid)
      .map(({ id }) => id);
  }
}

/** `a-b-c.slice` lies in `a-b.slice`, which lies in `a.slice`. */
function slicePath(slice: string): string {
  const parts = slice.slice(0, -".slice".length).split("-");
  return parts.map((_, index) => `/${parts.slice(0, index + 1).join("-")}.slice`).join("");
}

function lastPart(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
