// SPDX-License-Identifier: Apache-2.0

import { appendFileSync, mkdirSync } from "node:fs";
import { dirname } from "node:path";

import type { LogSink } from "../logs.ts";

/**
 * Writes container logs where the requests say, so that `crictl logs` finds them. A file that cannot be written loses its lines; each line
 * opens it anew, so there is nothing to reopen.
 */
export function fileLogSink(): LogSink {
  const append = (path: string, line: string): void => {
    try {
      mkdirSync(dirname(path), { recursive: true });
      appendFileSync(path, line);
    } catch {
      // The lines are still in the fake's memory.
    }
  };
  return { append, reopen: (path) => append(path, "") };
}
