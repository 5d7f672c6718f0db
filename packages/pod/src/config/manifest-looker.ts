// SPDX-License-Identifier: Apache-2.0

/**
 * Looks at single files until what was read counts.
 *
 * Owns: one visit per path at a time. Reads: the folder port. Invariants: a file that was moved into its place is taken at once; one that is
 * being written is taken after 20 ms without a change; one that cannot be understood is called broken after 2 s without a change;
 * a missing file counts as deleted after 100 ms, and only while its folder is there. Lost on a crash: nothing.
 */
import type { Clock } from "@holdfast/core/clock";
import { HoldfastError, isNotFound } from "@holdfast/core/errors";
import { withDeadline } from "@holdfast/core/lifecycle";
import { ProblemList } from "../manifest/problem.ts";
import type { ManifestContent } from "../manifest/read-manifest.ts";
import { DELETION_SETTLE_MS, RECENT_WRITE_MS, settleWait } from "./compute-settle.ts";
import type { ManifestFiles } from "./manifest-files.ts";
import type { LastGoodWriter } from "./last-good-writer.ts";
import type { ManifestFacts, ManifestFolder } from "./ports.ts";

/** How a {@link ManifestLooker} is made. */
export interface ManifestLookerOptions {
  readonly folder: ManifestFolder;
  readonly clock: Clock;
  readonly files: ManifestFiles;
  readonly maxBytes: number;
  readonly lastGood: LastGoodWriter;
  /** Whether the folder can be listed now. */
  readonly folderIsThere: () => Promise<boolean>;
  /** Called after what is known of a file changed. */
  readonly onChange: () => void;
}

interface Visit {
  /** Someone was seen writing into the file. */
  written: boolean;
  version: string | undefined;
  /** Monotonic time of the last known change. */
  since: number;
  missingSince: number | undefined;
  /** Looked for because of a list, not because of a hint: nobody would have announced a writer. */
  readonly scanned: boolean;
  /** A hint came during the visit. */
  again: boolean;
}

const CALL_DEADLINE_MS = 10_000;

/** One file at a time per path, many paths side by side. */
export class ManifestLooker {
  readonly #options: ManifestLookerOptions;
  readonly #visits = new Map<string, Visit>();
  readonly #tasks = new Set<Promise<void>>();
  #signal: AbortSignal | undefined;

  constructor(options: ManifestLookerOptions) {
    this.#options = options;
  }

  /** Visits go on until `signal` aborts. */
  start(signal: AbortSignal): void {
    this.#signal = signal;
  }

  /** Waits for visits under way; the signal must have been aborted. */
  async stop(): Promise<void> {
    await Promise.allSettled(this.#tasks);
  }

  /** Files that were not judged in this run of the agent and are still being looked at: what was known of them before may be outdated. */
  unsettled(): readonly string[] {
    const { files } = this.#options;
    return [...this.#visits]
      .filter(([path, { missingSince }]) => {
        const file = files.get(path);
        return file?.restored === true || (missingSince === undefined && file === undefined);
      })
      .map(([path]) => path);
  }

  /** Something happened to a file. */
  hint(path: string, kind: "entry" | "content"): void {
    const visit = this.#visits.get(path);
    if (visit === undefined) {
      this.#track(this.#visit(path, false, kind === "content"));
      return;
    }
    visit.again = true;
    if (kind === "entry") return;
    visit.written = true;
    visit.since = this.#options.clock.monotonic();
  }

  /** Looks at a file because a list named it. Resolves after the first look; a file that is not settled is followed on. */
  async look(path: string): Promise<void> {
    if (!this.#visits.has(path)) await this.#visit(path, true, false);
  }

  async #visit(path: string, scanned: boolean, written: boolean): Promise<void> {
    const since = this.#options.clock.monotonic();
    const visit: Visit = {
      written,
      version: undefined,
      since,
      missingSince: undefined,
      scanned,
      again: false,
    };
    this.#visits.set(path, visit);
    const wait = await this.#attempt(path, visit);
    if (wait === undefined && !visit.again) {
      this.#visits.delete(path);
      return;
    }
    this.#track(this.#follow(path, visit, wait ?? 0).finally(() => this.#visits.delete(path)));
  }

  /** Remembers work under way, so that stop() can wait for it. */
  #track(work: Promise<void>): void {
    const task = work.finally(() => this.#tasks.delete(task));
    this.#tasks.add(task);
  }

  async #follow(path: string, visit: Visit, firstWait: number): Promise<void> {
    let wait: number | undefined = firstWait;
    while (wait !== undefined) {
      try {
        if (wait > 0) await this.#options.clock.sleep(wait, { signal: this.#signal });
      } catch {
        return; // stop() was called
      }
      visit.again = false;
      wait = await this.#attempt(path, visit);
      if (wait === undefined && visit.again) wait = 0;
    }
  }

  /** One look that never rejects. Milliseconds until the next one; undefined when the file was judged. */
  async #attempt(path: string, visit: Visit): Promise<number | undefined> {
    if (this.#signal?.aborted) return undefined;
    try {
      return await this.#lookOnce(path, visit);
    } catch (error) {
      if (isNotFound(error)) return await this.#missing(path, visit);
      this.#options.files.unreadable(path, error);
      this.#options.onChange();
      return undefined;
    }
  }

  async #lookOnce(path: string, visit: Visit): Promise<number | undefined> {
    const { folder, files, maxBytes, onChange } = this.#options;
    const facts = await this.#call(`stat ${path}`, folder.stat(path));
    visit.missingSince = undefined;
    if (files.get(path)?.version === facts.version) return undefined;
    this.#note(visit, facts);
    if (facts.kind !== "file") {
      const folderHint = facts.kind === "directory";
      const what = folderHint ? "is a folder; folders in the folder are not read" : "is no regular file";
      files.notAFile(path, facts.version, what, folderHint ? "warning" : "error");
      onChange();
      return undefined;
    }
    const content =
      facts.size > maxBytes ? tooLarge(path, facts.size, maxBytes) : await this.#readContent(path, maxBytes);
    const after = await this.#call(`stat ${path}`, folder.stat(path));
    const recent = visit.scanned && this.#wallAge(after) < RECENT_WRITE_MS;
    if (after.version !== facts.version || recent) visit.written = true;
    this.#note(visit, after);
    const wait = settleWait({
      failed: content.failed,
      written: visit.written,
      quietMs: Math.max(
        this.#options.clock.monotonic() - visit.since,
        visit.written ? 0 : this.#wallAge(after),
      ),
    });
    if (wait !== undefined) return wait;
    if (after.version !== facts.version) return 0;
    this.#judge(path, facts.version, content);
    return undefined;
  }

  async #readContent(path: string, maxBytes: number): Promise<ManifestContent> {
    const { folder, files } = this.#options;
    const bytes = await this.#call(`read ${path}`, folder.read(path, maxBytes));
    return files.read(path, bytes);
  }

  #judge(path: string, version: string, content: ManifestContent): void {
    const { files, lastGood, onChange } = this.#options;
    const before = files.get(path)?.good?.text;
    files.judge(path, version, content);
    onChange();
    if (!content.failed && content.text !== undefined && content.text !== before)
      lastGood.keep(path, content.text);
  }

  /** Gone, or just being replaced. Without its folder nobody can tell: then it stays. */
  async #missing(path: string, visit: Visit): Promise<number | undefined> {
    const { clock, files, folderIsThere, lastGood, onChange } = this.#options;
    if (files.get(path) === undefined) {
      // It vanished before it was understood. Together with its folder: then it may come back, and nobody knows what it means.
      if (!(await folderIsThere())) files.unreadable(path, new Error("its folder is gone"));
      onChange();
      return undefined;
    }
    const now = clock.monotonic();
    visit.missingSince ??= now;
    const left = visit.missingSince + DELETION_SETTLE_MS - now;
    if (left > 0) return left;
    if (!(await folderIsThere())) {
      // What was kept from before counts again: nothing newer will come.
      if (files.get(path)?.restored === true) files.unreadable(path, new Error("its folder is gone"));
      onChange();
      return undefined;
    }
    files.remove(path);
    lastGood.keep(path, undefined);
    onChange();
    return undefined;
  }

  #note(visit: Visit, facts: ManifestFacts): void {
    if (visit.version === facts.version) return;
    if (visit.version !== undefined) visit.since = this.#options.clock.monotonic();
    visit.version = facts.version;
  }

  /** How long ago the file says it was written; 0 when its time lies in the future. */
  #wallAge(facts: ManifestFacts): number {
    return Math.max(this.#options.clock.now() - facts.modifiedAt, 0);
  }

  #call<T>(what: string, work: Promise<T>): Promise<T> {
    return withDeadline(this.#options.clock, CALL_DEADLINE_MS, what, work);
  }
}

function tooLarge(path: string, size: number, maxBytes: number): ManifestContent {
  const problems = new ProblemList(path);
  const error = manifestTooLarge(size, maxBytes);
  problems.add("error", "", error.message);
  return { pods: [], problems: problems.list(), failed: true };
}

/** What reading a file larger than the limit rejects with. */
export function manifestTooLarge(size: number, limitBytes: number): HoldfastError {
  return new HoldfastError(
    "POD_MANIFEST_TOO_LARGE",
    "bad-input",
    `the file has ${size} bytes; at most ${limitBytes} are read (maxManifestBytes)`,
  );
}
