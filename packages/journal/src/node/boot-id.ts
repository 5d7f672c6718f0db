// SPDX-License-Identifier: Apache-2.0

import { readFileSync } from "node:fs";

/** The kernel's name for this boot; "" where there is none to read. kubelet: BootID of the node's system info. */
export function readBootId(path: string = "/proc/sys/kernel/random/boot_id"): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return ""; // boots go unnoticed then
  }
}
