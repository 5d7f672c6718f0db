// SPDX-License-Identifier: Apache-2.0

import { mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { LastGoodManifests } from "../config/ports.ts";
import { fnv128a } from "../manifest/pod-uid.ts";

const SUFFIX = ".manifest";

/**
 * Last good manifests as plain 0600 files in one folder (0700): the manifest's path in the first line, its text after that. Named after a hash of
 * the path. Written to a temporary file, synced, and moved into place; what cannot be understood is left out.
 */
export class FileLastGoodManifests implements LastGoodManifests {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
  }

  async list(): Promise<ReadonlyMap<string, string>> {
    const kept = new Map<string, string>();
    let names: string[];
    try {
      names = await readdir(this.#dir);
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return kept;
      throw error;
    }
    for (const name of names.filter((item) => item.endsWith(SUFFIX))) {
      const content = await readFile(join(this.#dir, name), "utf8");
      const end = content.indexOf("\n");
      const path = end < 0 ? "" : decodePath(content.slice(0, end));
      if (path !== "" && this.#nameOf(path) === name) kept.set(path, content.slice(end + 1));
    }
    return kept;
  }

  async set(path: string, text: string): Promise<void> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
    const target = join(this.#dir, this.#nameOf(path));
    const temporary = `${target}.tmp`;
    {
      await using file = await open(temporary, "w", 0o600);
      await file.writeFile(`${JSON.stringify(path)}\n${text}`);
      await file.sync();
    }
    await rename(temporary, target);
  }

  async delete(path: string): Promise<void> {
    await rm(join(this.#dir, this.#nameOf(path)), { force: true });
  }

  #nameOf(path: string): string {
    return `${fnv128a(new TextEncoder().encode(path))}${SUFFIX}`;
  }
}

function decodePath(line: string): string {
  try {
    const path: unknown = JSON.parse(line);
    return typeof path === "string" ? path : "";
  } catch {
    return ""; // a torn or foreign file: as if it were not there
  }
}
