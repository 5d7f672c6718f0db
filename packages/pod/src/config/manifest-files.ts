// SPDX-License-Identifier: Apache-2.0

import { errorText } from "@holdfast/core/errors";
import type { ManifestProblem } from "../manifest/problem.ts";
import { readManifest } from "../manifest/read-manifest.ts";
import type { ManifestContent, ManifestOrigin, ManifestPod } from "../manifest/read-manifest.ts";

/** What is known of one manifest. */
export interface ManifestFile {
  /** Of the file as it was last judged; undefined when it must be judged again. */
  readonly version: string | undefined;
  /** The last good content: what runs. */
  readonly good: ManifestContent | undefined;
  /** What is wrong with the file as it is now. */
  readonly problems: readonly ManifestProblem[];
  /** It could not be read and never was: nobody knows which pods it means. */
  readonly unknown: boolean;
  /** What is known of it is from before the agent's start: the file itself was not judged yet. */
  readonly restored?: true;
}

/** The files of a source and what they say. Keeps the last good content of a file that broke. */
export class ManifestFiles {
  readonly #origin: Omit<ManifestOrigin, "path">;
  readonly #files = new Map<string, ManifestFile>();

  constructor(origin: Omit<ManifestOrigin, "path">) {
    this.#origin = origin;
  }

  get(path: string): ManifestFile | undefined {
    return this.#files.get(path);
  }

  paths(): readonly string[] {
    return [...this.#files.keys()];
  }

  /** The pods of every file, by path. */
  pods(): ReadonlyMap<string, readonly ManifestPod[]> {
    return new Map([...this.#files].map(([path, { good }]) => [path, good?.pods ?? []]));
  }

  problems(): readonly ManifestProblem[] {
    return [...this.#files.values()].flatMap(({ problems }) => problems);
  }

  unknown(): readonly string[] {
    return [...this.#files].filter(([, { unknown }]) => unknown).map(([path]) => path);
  }

  /** Begins with a text that was good once: it runs until the file itself was read. */
  restore(path: string, text: string): void {
    const good = this.read(path, new TextEncoder().encode(text));
    if (good.failed) return;
    this.#files.set(path, { version: undefined, good, problems: [], unknown: false, restored: true });
  }

  /** Parses without taking anything up. */
  read(path: string, bytes: Uint8Array): ManifestContent {
    return readManifest(bytes, { path, ...this.#origin }, this.#files.get(path)?.good);
  }

  /** The file says this now. Broken content leaves the last good one running. */
  judge(path: string, version: string, content: ManifestContent): void {
    const good = content.failed ? this.#files.get(path)?.good : content;
    this.#files.set(path, { version, good, problems: content.problems, unknown: false });
  }

  /** The file cannot be read now: its pods stay. */
  unreadable(path: string, error: unknown): void {
    const good = this.#files.get(path)?.good;
    const text = errorText(error);
    // The problem names its file already.
    const reason = `cannot be read: ${text.startsWith(`${path}: `) ? text.slice(path.length + 2) : text}`;
    this.#files.set(path, {
      version: undefined,
      good,
      problems: [fileProblem(path, reason)],
      unknown: good === undefined,
    });
  }

  /** It is no file that could hold a pod (a socket, a folder). What ran from it before stays. */
  notAFile(path: string, version: string, what: string, severity: ManifestProblem["severity"]): void {
    const good = this.#files.get(path)?.good;
    this.#files.set(path, { version, good, problems: [fileProblem(path, what, severity)], unknown: false });
  }

  /** The file is gone, and its pods with it. */
  remove(path: string): boolean {
    return this.#files.delete(path);
  }
}

/** A problem of a file as a whole. */
export function fileProblem(
  file: string,
  reason: string,
  severity: ManifestProblem["severity"] = "error",
): ManifestProblem {
  return { file, line: 0, column: 0, fieldPath: "", reason, severity };
}
