// SPDX-License-Identifier: Apache-2.0

/** What the device manager has to know of the machine. */
import { readdirSync, readFileSync } from "node:fs";

/** Another one after each boot. "" when the kernel does not tell: then plugins are asked again after each restart of the agent. */
export function readBootId(path: string = "/proc/sys/kernel/random/boot_id"): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return "";
  }
}

/** Ids of the machine's NUMA nodes, ascending; node 0 alone where the kernel knows of none. */
export function readNumaNodes(root: string = "/sys/devices/system/node"): readonly number[] {
  try {
    const nodes = readdirSync(root)
      .map((name) => /^node(\d+)$/.exec(name)?.[1])
      .filter((digits) => digits !== undefined)
      .map(Number);
    return nodes.length === 0 ? [0] : nodes.sort((a, b) => a - b);
  } catch {
    return [0];
  }
}
