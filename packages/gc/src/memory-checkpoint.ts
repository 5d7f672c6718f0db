// SPDX-License-Identifier: Apache-2.0

import type { GcCheckpoint } from "./ports.ts";

/** A checkpoint that is lost with the process. */
export function memoryCheckpoint(): GcCheckpoint {
  const values = new Map<string, string>();
  return {
    get: (key) => values.get(key),
    set: (key, value) => void values.set(key, value),
    delete: (key) => void values.delete(key),
    entries: (prefix) =>
      [...values].filter(([key]) => key.startsWith(prefix)).sort(([a], [b]) => (a < b ? -1 : 1)),
  };
}
