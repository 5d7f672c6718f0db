// SPDX-License-Identifier: Apache-2.0

import { readFile } from "node:fs/promises";

/** Larger files are no resolver configuration and no hosts file. */
const MAX_BYTES = 1024 * 1024;

/** Text of one of the host's files; "" when it is missing. */
export async function readHostFile(path: string): Promise<string> {
  try {
    const content = await readFile(path);
    return content.subarray(0, MAX_BYTES).toString("utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}
