// SPDX-License-Identifier: Apache-2.0

import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";

/** Unmounts what a test's pods had in memory, the deepest first. */
export function unmountBelow(dir: string): void {
  const points = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((point) => point.startsWith(`${dir}/`));
  for (const point of points.reverse()) execFileSync("umount", ["-l", point]);
}

/** Names in a folder; none when there is no folder. */
export function namesIn(path: string): string[] {
  return existsSync(path) ? readdirSync(path) : [];
}
