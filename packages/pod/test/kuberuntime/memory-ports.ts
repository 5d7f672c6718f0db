// SPDX-License-Identifier: Apache-2.0

import type { PodCheckpoint, PodFiles } from "../../src/ports.ts";

/** A checkpoint that a test can look into. */
export class MemoryCheckpoint implements PodCheckpoint {
  readonly values = new Map<string, string>();
  get(key: string): string | undefined {
    return this.values.get(key);
  }
  set(key: string, value: string): void {
    this.values.set(key, value);
  }
  delete(key: string): void {
    this.values.delete(key);
  }
  entries(prefix: string): readonly (readonly [string, string])[] {
    return [...this.values].filter(([key]) => key.startsWith(prefix));
  }
}

/** Files by path; links are kept as "-> TARGET". */
export class MemoryFiles implements PodFiles {
  readonly contents = new Map<string, string>();
  readonly folders = new Set<string>();
  readonly operations: string[] = [];

  async mkdir(path: string): Promise<void> {
    this.operations.push(`mkdir ${path}`);
    this.folders.add(path);
  }
  async removeTree(path: string): Promise<void> {
    for (const name of this.contents.keys()) if (name.startsWith(`${path}/`)) this.contents.delete(name);
    for (const name of this.folders)
      if (name === path || name.startsWith(`${path}/`)) this.folders.delete(name);
  }
  async writeFile(path: string, content: string): Promise<void> {
    this.operations.push(`write ${path}`);
    this.contents.set(path, content);
  }
  async readFile(
    path: string,
    limit: number,
    options: { fromEnd?: boolean } = {},
  ): Promise<string | undefined> {
    const text = this.contents.get(path);
    return options.fromEnd === true ? text?.slice(-limit) : text?.slice(0, limit);
  }
  async list(path: string): Promise<readonly string[]> {
    return [...this.contents.keys()]
      .filter((name) => name.startsWith(`${path}/`))
      .map((name) => name.slice(path.length + 1))
      .filter((name) => !name.includes("/"));
  }
  async symlink(target: string, path: string): Promise<void> {
    this.contents.set(path, `-> ${target}`);
  }
  async readLink(path: string): Promise<string | undefined> {
    return /^-> (.*)$/.exec(this.contents.get(path) ?? "")?.[1];
  }
  async removeFile(path: string): Promise<void> {
    this.contents.delete(path);
  }
}
