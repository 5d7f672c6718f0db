// SPDX-License-Identifier: Apache-2.0

import { errorText } from "@holdfast/core/errors";
import type { ManifestProblem } from "./problem.ts";
import { duplicateValue } from "./validation-text.ts";
import { readManifest } from "./read-manifest.ts";

/** How files are validated. */
export interface ValidateFilesOptions {
  /** Reads a file's bytes; rejects when it cannot be read or is too large. `src/node` has one: `readManifestFile`. */
  readonly read: (path: string) => Promise<Uint8Array>;
  /** Part of static pods' names. Default `localhost`. */
  readonly nodeName?: string;
}

/**
 * All problems of the given manifests, file by file, and pods that two of them define: what `holdfast validate FILE…` prints. Never rejects
 * because of a file.
 */
export async function validateFiles(
  paths: readonly string[],
  { read, nodeName = "localhost" }: ValidateFilesOptions,
): Promise<readonly ManifestProblem[]> {
  const problems: ManifestProblem[] = [];
  const owners = new Map<string, string>();
  for (const path of new Set(paths)) {
    let bytes: Uint8Array;
    try {
      bytes = await read(path);
    } catch (error) {
      problems.push({
        file: path,
        line: 0,
        column: 0,
        fieldPath: "",
        reason: errorText(error),
        severity: "error",
      });
      continue;
    }
    const content = readManifest(bytes, { path, nodeName });
    problems.push(...content.problems);
    for (const { pod, position } of content.pods) {
      const name = `${pod.metadata.namespace}/${pod.metadata.name}`;
      const owner = owners.get(name);
      if (owner === undefined) owners.set(name, path);
      else {
        const reason = `${duplicateValue(name)}: ${owner} defines this pod, too`;
        problems.push({ file: path, ...position, fieldPath: "metadata.name", reason, severity: "error" });
      }
    }
  }
  return problems;
}
