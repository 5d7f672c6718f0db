// SPDX-License-Identifier: Apache-2.0

import { existsSync, readFileSync, statSync } from "node:fs";
import { hostname } from "node:os";
import { resolve } from "node:path";
import { HoldfastError } from "@holdfast/core/errors";
import type { LoadedConfig } from "./agent-config.ts";
import { parseConfig } from "./parse-config.ts";

/** Read where nothing else is said, if it exists. */
export const DEFAULT_CONFIG_FILE = "/etc/holdfast/config.yaml";
const MAX_CONFIG_BYTES = 1024 * 1024;

/** Loads `file`, or the default file if there is one, or all defaults. Throws `bad-input` (AGENT_CONFIG). */
export function loadConfig(file?: string): LoadedConfig {
  const path = file ?? (existsSync(DEFAULT_CONFIG_FILE) ? DEFAULT_CONFIG_FILE : undefined);
  if (path === undefined) return parseConfig("", "defaults", hostname());
  try {
    if (statSync(path).size > MAX_CONFIG_BYTES)
      throw new HoldfastError(
        "AGENT_CONFIG",
        "bad-input",
        `configuration ${path} is larger than ${MAX_CONFIG_BYTES} bytes`,
      );
    return { ...parseConfig(readFileSync(path, "utf8"), path, hostname()), file: resolve(path) };
  } catch (cause) {
    if (HoldfastError.is(cause)) throw cause;
    throw new HoldfastError(
      "AGENT_CONFIG",
      "bad-input",
      `configuration ${path} cannot be read: ${(cause as Error).message}`,
      { cause },
    );
  }
}
