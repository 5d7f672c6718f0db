// SPDX-License-Identifier: Apache-2.0

/**
 * Which cgroup is which container's, found by name: below any root, made by either driver, by any runtime that names cgroups by container ids.
 *
 * Owns: paths by container id. Reads: folder names of one hierarchy. Invariants: the tree is walked only for an id that no cheaper guess found, at most once a
 * round and within a bound of folders; an id for which nothing was found is not looked for again while nobody else is new. Lost on a crash: nothing.
 */
import type { CgroupReader } from "./cgroup-reader.ts";

/** Whose cgroups are wanted. */
export interface CgroupQuestion {
  readonly uid: string;
  /** Containers and sandbox. */
  readonly ids: readonly string[];
  /** Where the pod's cgroup is, when that is known: then nothing is walked. */
  readonly cgroupPath?: string | undefined;
}

/** A pod's cgroups. */
export interface PodCgroups {
  /** The pod's own; undefined when its containers lie in none of their own pod. */
  readonly pod: string | undefined;
  /** By id; one without a cgroup is missing. */
  readonly containers: ReadonlyMap<string, string>;
}

/** Folders looked at in one walk. */
const MAX_FOLDERS = 20_000;
const MAX_DEPTH = 12;
const SCOPE_OF_ID = /^(?:(?:cri-containerd|crio|docker|libpod)-)?([0-9a-f]{64})(?:\.scope)?$/;

/** See the top of the file. */
export class CgroupIndex {
  readonly #reader: CgroupReader;
  #paths: ReadonlyMap<string, string> = new Map();
  #missing: ReadonlySet<string> = new Set();

  constructor(reader: CgroupReader) {
    this.#reader = reader;
  }

  /** Cgroups of these pods, in their order. What is not asked for is forgotten. */
  find(questions: readonly CgroupQuestion[]): readonly PodCgroups[] {
    const paths = new Map<string, string>();
    const missing = new Set<string>();
    let walked: ReadonlyMap<string, string> | undefined;
    const pathOf = (id: string, pod: string | undefined): string | undefined => {
      const near = this.#paths.get(id) ?? this.#below(pod, id);
      if (near !== undefined || this.#missing.has(id)) return near;
      walked ??= this.#walk();
      return walked.get(id);
    };
    const answers = questions.map(({ uid, ids, cgroupPath }) => {
      const containers = new Map<string, string>();
      for (const id of ids) {
        const path = pathOf(id, cgroupPath ?? parentOf(containers.values().next().value));
        if (path === undefined) {
          missing.add(id);
          continue;
        }
        containers.set(id, path);
        paths.set(id, path);
      }
      return { pod: podCgroup(uid, cgroupPath, containers), containers };
    });
    this.#paths = paths;
    this.#missing = missing;
    return answers;
  }

  #below(pod: string | undefined, id: string): string | undefined {
    if (pod === undefined) return undefined;
    const names = pod.endsWith(".slice") ? [`cri-containerd-${id}.scope`, `crio-${id}.scope`] : [id];
    return names.map((name) => `${pod}/${name}`).find((path) => this.#reader.exists(path));
  }

  /** All containers there are: what is below a container is its own affair. */
  #walk(): ReadonlyMap<string, string> {
    const found = new Map<string, string>();
    let level: readonly string[] = [""];
    let left = MAX_FOLDERS;
    for (let depth = 0; depth < MAX_DEPTH && level.length > 0; depth++) {
      const next: string[] = [];
      for (const path of level) {
        if (left-- <= 0) return found;
        for (const name of this.#reader.children(path)) {
          const id = SCOPE_OF_ID.exec(name)?.[1];
          if (id === undefined) next.push(`${path}/${name}`);
          else found.set(id, `${path}/${name}`);
        }
      }
      level = next;
    }
    return found;
  }
}

function parentOf(path: string | undefined): string | undefined {
  return path?.slice(0, path.lastIndexOf("/"));
}

/** The folder above a container's is its pod's only if its name says so: `podUID`, or systemd's `kubepods-burstable-podUID.slice` with `_` for `-`. */
function podCgroup(
  uid: string,
  cgroupPath: string | undefined,
  containers: ReadonlyMap<string, string>,
): string | undefined {
  if (cgroupPath !== undefined) return cgroupPath;
  for (const path of containers.values()) {
    const parent = parentOf(path) ?? "";
    if (parent.endsWith(`/pod${uid}`) || parent.endsWith(`-pod${uid.replaceAll("-", "_")}.slice`))
      return parent;
  }
  return undefined;
}
