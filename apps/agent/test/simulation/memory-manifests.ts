// SPDX-License-Identifier: Apache-2.0

/** A folder of manifests, written by hand, with hints as a real one gives them. */
import type { Clock } from "@holdfast/core/clock";
import { HoldfastError } from "@holdfast/core/errors";
import type { LastGoodManifests, ManifestFacts, ManifestFolder, ManifestHint } from "@holdfast/pod";

interface Written {
  readonly bytes: Uint8Array;
  readonly modifiedAt: number;
  readonly version: string;
}

interface Watcher {
  readonly onHint: (hint: ManifestHint) => void;
  readonly onLost: (reason: string) => void;
}

/** Outlives the agents that watch it. */
export class MemoryManifests implements ManifestFolder {
  readonly path: string;
  readonly #clock: Clock;
  readonly #files = new Map<string, Written>();
  readonly #watchers = new Set<Watcher>();
  #version = 0;
  #there = true;
  /** Off: only the periodic look finds changes. */
  hints = true;

  constructor(clock: Clock, path: string) {
    this.#clock = clock;
    this.path = path;
  }

  /** A whole file is moved into its place. */
  write(name: string, text: string): void {
    const path = `${this.path}/${name}`;
    this.#files.set(path, {
      bytes: new TextEncoder().encode(text),
      modifiedAt: this.#clock.now(),
      version: String(++this.#version),
    });
    this.#tell({ kind: "entry", path });
  }

  remove(name: string): void {
    const path = `${this.path}/${name}`;
    this.#files.delete(path);
    this.#tell({ kind: "entry", path });
  }

  /** As an unmounted disk: what it holds comes back with it. */
  disappear(): void {
    this.#there = false;
    const watchers = [...this.#watchers];
    this.#watchers.clear();
    for (const { onLost } of watchers) onLost("the folder is gone");
  }

  comeBack(): void {
    this.#there = true;
  }

  get isThere(): boolean {
    return this.#there;
  }

  async list(): Promise<readonly string[]> {
    this.#mustBeThere();
    return [...this.#files.keys()].sort();
  }

  async stat(path: string): Promise<ManifestFacts> {
    const { bytes, modifiedAt, version } = this.#get(path);
    return { kind: "file", size: bytes.length, modifiedAt, version };
  }

  async read(path: string): Promise<Uint8Array> {
    return this.#get(path).bytes;
  }

  async watch(onHint: Watcher["onHint"], onLost: Watcher["onLost"]): Promise<{ close(): Promise<void> }> {
    this.#mustBeThere();
    const watcher = { onHint, onLost };
    this.#watchers.add(watcher);
    return { close: async () => void this.#watchers.delete(watcher) };
  }

  /** Its watchers died with their process. */
  forgetWatchers(): void {
    this.#watchers.clear();
  }

  get watchers(): number {
    return this.#watchers.size;
  }

  #get(path: string): Written {
    const file = this.#there ? this.#files.get(path) : undefined;
    if (file === undefined) throw new HoldfastError("TEST", "not-found", `${path}: there is no such file`);
    return file;
  }

  #mustBeThere(): void {
    if (!this.#there) throw new HoldfastError("TEST", "not-found", `${this.path}: there is no such folder`);
  }

  #tell(hint: ManifestHint): void {
    if (this.hints && this.#there) for (const { onHint } of this.#watchers) onHint(hint);
  }
}

/** Last good manifests in memory. */
export class MemoryLastGood implements LastGoodManifests {
  readonly texts = new Map<string, string>();

  async list(): Promise<ReadonlyMap<string, string>> {
    return new Map(this.texts);
  }

  async set(path: string, text: string): Promise<void> {
    this.texts.set(path, text);
  }

  async delete(path: string): Promise<void> {
    this.texts.delete(path);
  }
}
