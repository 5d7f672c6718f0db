// SPDX-License-Identifier: Apache-2.0

import type { LogFile, LogFiles } from "@holdfast/gc";

/** Log files in memory. */
export class MemoryLogs implements LogFiles {
  readonly #files = new Map<string, number>();
  /** Paths whose compression fails. */
  readonly broken = new Set<string>();
  /** How often a size was asked for. */
  looks = 0;
  /** Whether files can be watched, and whether who watches is told. */
  watching: "yes" | "no" | "silent" = "no";
  readonly #watchers = new Map<string, Set<() => void>>();

  write(path: string, bytes: number): void {
    this.#files.set(path, bytes);
    if (this.watching === "yes") for (const onChange of this.#watchers.get(path) ?? []) onChange();
  }

  /** Paths that are watched. */
  watched(): string[] {
    return [...this.#watchers.keys()];
  }

  watch(path: string, onChange: () => void): Disposable | undefined {
    if (this.watching === "no") return undefined;
    const own = this.#watchers.get(path) ?? new Set();
    this.#watchers.set(path, own.add(onChange));
    return {
      [Symbol.dispose]: () => {
        own.delete(onChange);
        if (own.size === 0) this.#watchers.delete(path);
      },
    };
  }

  paths(): string[] {
    return [...this.#files.keys()].sort();
  }

  /** Names in a folder, sorted. */
  names(folder: string): string[] {
    return this.paths().flatMap((path) =>
      path.startsWith(`${folder}/`) ? [path.slice(folder.length + 1)] : [],
    );
  }

  size(path: string): Promise<number | undefined> {
    this.looks += 1;
    return Promise.resolve(this.#files.get(path));
  }

  list(folder: string): Promise<readonly LogFile[]> {
    const files = this.names(folder).filter((name) => !name.includes("/"));
    return Promise.resolve(files.map((name) => ({ name, bytes: this.#files.get(`${folder}/${name}`) ?? 0 })));
  }

  folders(folder: string): Promise<readonly string[]> {
    const below = this.names(folder).filter((name) => name.includes("/"));
    return Promise.resolve([...new Set(below.map((name) => name.slice(0, name.indexOf("/"))))]);
  }

  async rename(from: string, to: string): Promise<void> {
    const bytes = this.#files.get(from);
    if (bytes === undefined) throw new Error(`ENOENT: ${from}`);
    this.#files.delete(from);
    this.#files.set(to, bytes);
  }

  async remove(path: string): Promise<void> {
    this.#files.delete(path);
  }

  async removeTree(path: string): Promise<void> {
    for (const one of this.#files.keys()) if (one.startsWith(`${path}/`)) this.#files.delete(one);
  }

  async compress(path: string): Promise<void> {
    if (this.broken.has(path)) throw new Error(`ENOSPC: ${path}`);
    const bytes = this.#files.get(path) ?? 0;
    this.#files.delete(path);
    this.#files.set(`${path}.gz`, Math.ceil(bytes / 10));
  }
}
