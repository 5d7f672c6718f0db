// SPDX-License-Identifier: Apache-2.0

/** The kernel's files, at the machine's root or below another one. Read at start only, so synchronously. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { SystemTree } from "../machine/read-machine-topology.ts";

/** Opens the tree below `root` (default `/`); in a container the host's root may be mounted elsewhere. */
export function openSystemTree(root = "/"): SystemTree {
  return {
    read(path) {
      try {
        return readFileSync(join(root, path), "utf8");
      } catch {
        return undefined; // not on this machine, or not for us
      }
    },
    list(path) {
      try {
        return readdirSync(join(root, path));
      } catch {
        return [];
      }
    },
  };
}
