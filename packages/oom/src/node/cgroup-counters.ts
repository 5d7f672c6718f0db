// SPDX-License-Identifier: Apache-2.0

import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join, normalize } from "node:path";
import { parseOomKillCount } from "../oom-counter.ts";
import type { OomCounters } from "../ports.ts";

/** Reads `oom_kill` of a cgroup when asked: one small file, nothing watched. */
export class NodeOomCounters implements OomCounters {
  readonly #dir: string;
  readonly #file: string;

  /** `root` is where the cgroups are mounted: /sys/fs/cgroup. */
  constructor(root = "/sys/fs/cgroup") {
    const isV2 = existsSync(join(root, "cgroup.controllers"));
    this.#dir = isV2 ? root : join(root, "memory");
    this.#file = isV2 ? "memory.events" : "memory.oom_control";
  }

  async read(cgroupPath: string): Promise<number | undefined> {
    try {
      return parseOomKillCount(
        await readFile(join(this.#dir, normalize(`/${cgroupPath}`), this.#file), "utf8"),
      );
    } catch {
      return undefined; // a cgroup that is gone has no count
    }
  }
}
