// SPDX-License-Identifier: Apache-2.0

import type { ManualClock } from "@holdfast/core/manual-clock";
import { HoldfastError } from "@holdfast/core/errors";
import type { ErrorKind } from "@holdfast/core/errors";
import { manifestTooLarge } from "../../src/config/manifest-looker.ts";
import type {
  LastGoodManifests,
  ManifestFacts,
  ManifestFolder,
  ManifestHint,
  ManifestWatch,
} from "../../src/config/ports.ts";

interface MemoryFile {
  readonly bytes: Uint8Array;
  readonly kind: ManifestFacts["kind"];
  readonly modifiedAt: number;
  readonly version: number;
  readonly failure: HoldfastError | undefined;
}

/** A manifest folder in memory, with hints as a real one gives them. */
export class MemoryFolder implements ManifestFolder {
  readonly path = "/m";
  readonly #clock: ManualClock;
  readonly #files = new Map<string, MemoryFile>();
  readonly #watchers = new Set<{ onHint: (hint: ManifestHint) => void; onLost: (reason: string) => void }>();
  #version = 0;
  #there = true;
  /** Without hints only the periodic look finds changes. */
  hints = true;
  reads = 0;

  constructor(clock: ManualClock) {
    this.#clock = clock;
  }

  /** A whole file is moved into its place. */
  moveIn(name: string, content: string | Uint8Array): void {
    this.#set(name, content, "entry");
  }

  /** Bytes are written into the file: more may follow. */
  write(name: string, content: string): void {
    const fresh = !this.#files.has(this.#at(name));
    this.#set(name, content, "content");
    if (fresh) this.#hint({ kind: "entry", path: this.#at(name) });
  }

  special(name: string, kind: ManifestFacts["kind"]): void {
    this.#set(name, "", "entry", kind);
  }

  fail(name: string, kind: ErrorKind, message: string): void {
    const path = this.#at(name);
    const failure = new HoldfastError("TEST", kind, message);
    const file = this.#files.get(path) ?? this.#file("", "file");
    this.#files.set(path, { ...file, version: ++this.#version, failure });
    this.#hint({ kind: "content", path });
  }

  remove(name: string): void {
    this.#files.delete(this.#at(name));
    this.#hint({ kind: "entry", path: this.#at(name) });
  }

  disappear(): void {
    this.#there = false;
    for (const { onLost } of this.#watchers) onLost("the folder is gone");
    this.#watchers.clear();
  }

  comeBack(): void {
    this.#there = true;
  }

  get watchers(): number {
    return this.#watchers.size;
  }

  async list(): Promise<readonly string[]> {
    this.#mustBeThere();
    return [...this.#files.keys()].toSorted();
  }

  async stat(path: string): Promise<ManifestFacts> {
    const { kind, bytes, modifiedAt, version } = this.#get(path);
    return { kind, size: bytes.length, modifiedAt, version: String(version) };
  }

  async read(path: string, limitBytes: number): Promise<Uint8Array> {
    this.reads++;
    const { bytes } = this.#get(path);
    if (bytes.length > limitBytes) throw manifestTooLarge(bytes.length, limitBytes);
    return bytes;
  }

  async watch(
    onHint: (hint: ManifestHint) => void,
    onLost: (reason: string) => void,
  ): Promise<ManifestWatch> {
    this.#mustBeThere();
    const watcher = { onHint, onLost };
    this.#watchers.add(watcher);
    return { close: async () => void this.#watchers.delete(watcher) };
  }

  #at(name: string): string {
    return `${this.path}/${name}`;
  }

  #file(content: string | Uint8Array, kind: ManifestFacts["kind"]): MemoryFile {
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    return { bytes, kind, modifiedAt: this.#clock.now(), version: ++this.#version, failure: undefined };
  }

  #set(
    name: string,
    content: string | Uint8Array,
    hint: "entry" | "content",
    kind: ManifestFacts["kind"] = "file",
  ): void {
    this.#files.set(this.#at(name), this.#file(content, kind));
    this.#hint({ kind: hint, path: this.#at(name) });
  }

  #get(path: string): MemoryFile {
    const file = this.#there ? this.#files.get(path) : undefined;
    if (file === undefined) throw new HoldfastError("TEST", "not-found", `${path}: there is no such file`);
    if (file.failure !== undefined) throw file.failure;
    return file;
  }

  #mustBeThere(): void {
    if (!this.#there) throw new HoldfastError("TEST", "not-found", `${this.path}: there is no such folder`);
  }

  #hint(hint: ManifestHint): void {
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
