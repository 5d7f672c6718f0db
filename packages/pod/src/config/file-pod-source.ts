// SPDX-License-Identifier: Apache-2.0

/**
 * Pods from a folder of manifests, or from one file.
 *
 * Owns: what each file says, its problems, and the last good content of files that broke. Reads: the folder, told by a watch, looked at as a whole
 * every 20 s. Invariants: a hint only says "look"; a file counts as a whole; a broken or unreadable file and a missing folder change nothing
 * about what runs; only a file that is gone from a folder that is there takes its pods away; every delivery is the complete set.
 * Lost on a crash: problems, and which of two files with the same pod came first; the last good texts are on disk.
 */
import type { Publisher } from "@holdfast/bus";
import { nullPublisher } from "@holdfast/bus";
import type { Clock, Timer } from "@holdfast/core/clock";
import { errorText } from "@holdfast/core/errors";
import { linkSignal, withDeadline } from "@holdfast/core/lifecycle";
import type { Component, Health, LinkedSignal } from "@holdfast/core/lifecycle";
import { silentLogger } from "@holdfast/core/log";
import type { Logger } from "@holdfast/core/log";
import type { Pod } from "@holdfast/core/pod-types";
import { DEFAULT_MAX_MANIFEST_BYTES } from "../manifest/parse-manifest.ts";
import type { ManifestProblem } from "../manifest/problem.ts";
import { fileProblem, ManifestFiles } from "./manifest-files.ts";
import { LastGoodWriter } from "./last-good-writer.ts";
import { ManifestLooker } from "./manifest-looker.ts";
import { mergeManifests } from "./merge-manifests.ts";
import type { MergedManifests } from "./merge-manifests.ts";
import type { LastGoodManifests, ManifestFolder, ManifestHint, ManifestWatch } from "./ports.ts";
import { ProblemTeller } from "./problem-teller.ts";
import type { SourceSnapshot } from "./pod-update.ts";

/** How a {@link FilePodSource} is made. */
export interface FilePodSourceOptions {
  readonly folder: ManifestFolder;
  readonly nodeName: string;
  readonly clock: Clock;
  /** Takes each complete set, as `PodConfig.update` does. */
  readonly deliver: (snapshot: SourceSnapshot) => void;
  /** Keeps last good texts over restarts. Without it a file that is broken at start runs nothing. */
  readonly lastGood?: LastGoodManifests;
  readonly publish?: Publisher;
  readonly logger?: Logger;
  /** Milliseconds between looks at the whole folder. Default 20,000. kubelet: fileCheckFrequency. */
  readonly fileCheckMs?: number;
  /** Larger files are refused by their size. Bytes, default 262,144. */
  readonly maxManifestBytes?: number;
  /** Static pods may be evicted here: what only eviction heeds is not warned about. Default false. */
  readonly evictable?: boolean;
}

const DEFAULT_FILE_CHECK_MS = 20_000;
/** Without a watch the folder is looked at this often. kubelet: retryPeriod. */
const UNWATCHED_CHECK_MS = 1000;
/** More files are named in a problem and not read. */
const MAX_FILES = 2000;
const LOOKS_AT_ONCE = 8;
const CALL_DEADLINE_MS = 10_000;
/** Between two deliveries: each is the complete set, and a hundred files that are copied into the folder shall not make a hundred of them. */
const DELIVERY_GAP_MS = 20;

/** The source "file". kubelet: config.sourceFile. */
export class FilePodSource implements Component {
  readonly name = "file-pod-source";
  readonly #options: FilePodSourceOptions;
  readonly #logger: Logger;
  readonly #files: ManifestFiles;
  readonly #looker: ManifestLooker;
  readonly #teller: ProblemTeller;
  readonly #lastGood: LastGoodWriter;
  #merged: MergedManifests = { pods: [], owners: new Map(), conflicts: [] };
  #folderProblem: ManifestProblem | undefined;
  #listedOnce = false;
  #deliverySuspended = true;
  #deliveryDue = false;
  #deliveredAt = Number.NEGATIVE_INFINITY;
  #deliveryTimer: Timer | undefined;
  #watch: ManifestWatch | undefined;
  #wake: (() => void) | undefined;
  #scanDue = false;
  #running: { readonly link: LinkedSignal; readonly loop: Promise<void> } | undefined;

  constructor(options: FilePodSourceOptions) {
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
    const { nodeName, evictable = false } = options;
    this.#files = new ManifestFiles({ nodeName, evictable });
    this.#teller = new ProblemTeller(options.publish ?? nullPublisher, this.#logger);
    this.#lastGood = new LastGoodWriter(options.lastGood, this.#logger);
    this.#looker = new ManifestLooker({
      folder: options.folder,
      clock: options.clock,
      lastGood: this.#lastGood,
      files: this.#files,
      maxBytes: options.maxManifestBytes ?? DEFAULT_MAX_MANIFEST_BYTES,
      folderIsThere: () => this.#list().then((paths) => paths !== undefined),
      onChange: () => this.#changed(),
    });
  }

  /** Resolves when every file was looked at once and the first set was delivered; half-written and broken files may follow. */
  async start(signal?: AbortSignal): Promise<void> {
    if (this.#running !== undefined) return;
    const link = linkSignal(signal);
    this.#looker.start(link.signal);
    await this.#restore();
    await this.#openWatch(link.signal);
    await this.#scan();
    signal?.throwIfAborted();
    // From here on only stop() ends it.
    link[Symbol.dispose]();
    this.#deliverySuspended = false;
    this.#deliver();
    this.#running = { link, loop: this.#loop(link.signal) };
  }

  async stop(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    this.#deliverySuspended = true;
    this.#deliveryTimer?.cancel();
    this.#deliveryDue = false;
    running?.link.abort(new Error("file-pod-source stops"));
    this.#wake?.();
    await running?.loop;
    await this.#looker.stop();
    await this.#lastGood.drain();
    await this.#closeWatch();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  health(): Health {
    return { failures: this.#folderProblem === undefined ? [] : [this.#folderProblem.reason] };
  }

  /** Whether the folder was read once as a whole. */
  get listedOnce(): boolean {
    return this.#listedOnce;
  }

  /** The pods that the manifests ask for, last good versions included. */
  pods(): readonly Pod[] {
    return this.#merged.pods;
  }

  /** Everything that is wrong now: with the folder, then file by file in the order of their names. */
  problems(): readonly ManifestProblem[] {
    const folder = this.#folderProblem === undefined ? [] : [this.#folderProblem];
    const files = [...this.#files.problems(), ...this.#merged.conflicts];
    return [...folder, ...files.toSorted((a, b) => (a.file < b.file ? -1 : Number(a.file > b.file)))];
  }

  /** What is wrong with the manifest that a pod comes from: while there are errors, its last good version runs. */
  problemsOf(pod: Pod): readonly ManifestProblem[] {
    const path = this.manifestOf(pod);
    return path === undefined ? [] : this.problems().filter(({ file }) => file === path);
  }

  /** The file that a pod comes from. */
  manifestOf(pod: Pod): string | undefined {
    return this.#merged.owners.get(`${pod.metadata.namespace}/${pod.metadata.name}`);
  }

  async #restore(): Promise<void> {
    try {
      for (const [path, text] of (await this.#options.lastGood?.list()) ?? [])
        this.#files.restore(path, text);
    } catch (err) {
      this.#logger.warn("last good manifests cannot be read", { err });
    }
  }

  async #loop(signal: AbortSignal): Promise<void> {
    const { fileCheckMs = DEFAULT_FILE_CHECK_MS } = this.#options;
    while (!signal.aborted) {
      if (!this.#scanDue)
        await this.#pause(
          this.#watch === undefined ? Math.min(UNWATCHED_CHECK_MS, fileCheckMs) : fileCheckMs,
        );
      this.#scanDue = false;
      if (signal.aborted) return;
      if (this.#watch === undefined) await this.#openWatch(signal);
      await this.#scan();
    }
  }

  /** Sleeps, or until {@link FilePodSource.#scanSoon}. */
  async #pause(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = this.#options.clock.timer(ms, resolve);
    this.#wake = resolve;
    await promise;
    this.#wake = undefined;
    timer.cancel();
  }

  #scanSoon(): void {
    this.#scanDue = true;
    this.#wake?.();
  }

  async #openWatch(signal: AbortSignal): Promise<void> {
    let lost = false;
    try {
      const opening = this.#options.folder.watch(
        (hint) => this.#onHint(hint),
        (reason) => {
          lost = true;
          this.#logger.warn("manifest folder is no longer watched", {
            path: this.#options.folder.path,
            reason,
          });
          if (this.#watch !== undefined) void this.#closeWatch().then(() => this.#scanSoon());
        },
      );
      const watch = await withDeadline(this.#options.clock, CALL_DEADLINE_MS, "watching manifests", opening);
      // One that was lost before it was open would be taken for one that tells of changes; it is tried anew at the next look.
      if (lost || signal.aborted) await watch.close();
      else this.#watch = watch;
    } catch (err) {
      this.#logger.debug("manifest folder is not watched", { path: this.#options.folder.path, err });
    }
  }

  async #closeWatch(): Promise<void> {
    const watch = this.#watch;
    this.#watch = undefined;
    await watch?.close();
  }

  #onHint(hint: ManifestHint): void {
    if (hint.kind === "all") this.#scanSoon();
    else this.#looker.hint(hint.path, hint.kind);
  }

  /** Looks at every file of the folder and at every file that was there before. */
  async #scan(): Promise<void> {
    const listed = await this.#list();
    if (listed === undefined) {
      this.#changed();
      return;
    }
    const paths = [...new Set([...listed.slice(0, MAX_FILES), ...this.#files.paths()])];
    const next = paths.values();
    const work = async (): Promise<void> => {
      for (const path of next) await this.#looker.look(path);
    };
    await Promise.all(Array.from({ length: LOOKS_AT_ONCE }, work));
    this.#listedOnce = true;
    this.#changed();
  }

  /** The folder's files; undefined, with a problem set, when it cannot be listed. */
  async #list(): Promise<readonly string[] | undefined> {
    const { folder, clock } = this.#options;
    try {
      const paths = await withDeadline(clock, CALL_DEADLINE_MS, "listing manifests", folder.list());
      this.#folderProblem =
        paths.length > MAX_FILES
          ? fileProblem(folder.path, `holds ${paths.length} files; the first ${MAX_FILES} are read`)
          : undefined;
      return paths;
    } catch (error) {
      const reason = `cannot be read, so its pods stay as they are: ${errorText(error)}`;
      if (this.#folderProblem?.reason !== reason)
        this.#logger.warn("manifest folder cannot be read", { path: folder.path, err: error });
      this.#folderProblem = fileProblem(folder.path, reason);
      return undefined;
    }
  }

  /** Delivers once for all changes of this turn; while more and more come, once in a while for all of them. */
  #changed(): void {
    if (this.#deliverySuspended || this.#deliveryDue) return;
    this.#deliveryDue = true;
    const deliver = (): void => {
      if (!this.#deliveryDue) return;
      this.#deliveryDue = false;
      this.#deliveredAt = clock.monotonic();
      this.#deliver();
    };
    const { clock } = this.#options;
    const waitMs = this.#deliveredAt + DELIVERY_GAP_MS - clock.monotonic();
    if (waitMs > 0) this.#deliveryTimer = clock.timer(waitMs, deliver);
    else queueMicrotask(deliver);
  }

  #deliver(): void {
    const unsettled = new Set(this.#looker.unsettled());
    const delivered = new Set(this.#merged.owners.values());
    // Their pods go on if they run, and are not started by what the file perhaps does not say any more.
    const settled = [...this.#files.pods()].filter(([path]) => !unsettled.has(path) || delivered.has(path));
    this.#merged = mergeManifests(new Map(settled), this.#merged.owners);
    this.#teller.tell(this.problems());
    const unknown = [...new Set([...this.#files.unknown(), ...unsettled])];
    this.#options.deliver({ source: "file", pods: this.#merged.pods, ready: this.#listedOnce, unknown });
  }
}
