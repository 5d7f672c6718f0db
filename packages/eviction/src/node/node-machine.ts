// SPDX-License-Identifier: Apache-2.0

import { readFileSync, statSync } from "node:fs";
import { stat, statfs } from "node:fs/promises";
import type { Clock } from "@holdfast/core/clock";
import { withDeadline } from "@holdfast/core/lifecycle";
import type { MachinePort } from "../machine-figures.ts";

const MISSING: ReadonlySet<unknown> = new Set(["ENOENT", "ENOTDIR", "ENODEV", "EOPNOTSUPP"]);
const DEFAULT_DEADLINE_MS = 2000;

/**
 * This machine. A file system that does not answer within `deadlineMs` (default 2000) is not asked again until it does: it holds one of Node's four threads, and no
 * more. Whoever has a `FilesystemReader` of `@holdfast/stats` should give that instead, so that all share one bound.
 */
export function nodeMachine({
  clock,
  deadlineMs = DEFAULT_DEADLINE_MS,
}: {
  readonly clock: Pick<Clock, "timer">;
  readonly deadlineMs?: number;
}): MachinePort {
  const hung = new Set<string>();
  return {
    read(path) {
      try {
        return statSync(path).isFile() ? readFileSync(path, "latin1") : undefined;
      } catch (error) {
        if (error instanceof Error && "code" in error && MISSING.has(error.code)) return undefined;
        throw error;
      }
    },
    async filesystem(path) {
      if (hung.has(path)) throw new Error(`the file system of ${path} has not answered yet`);
      hung.add(path);
      const asking = Promise.all([statfs(path), stat(path)]).finally(() => hung.delete(path));
      const [{ bsize, blocks, bavail, files, ffree }, { dev }] = await withDeadline(
        clock,
        deadlineMs,
        `statfs of ${path}`,
        asking,
      );
      return {
        capacityBytes: blocks * bsize,
        availableBytes: bavail * bsize,
        inodes: files === 0 ? undefined : { total: files, free: ffree },
        device: dev,
      };
    },
  };
}
