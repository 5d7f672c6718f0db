// SPDX-License-Identifier: Apache-2.0

/**
 * What folders take, remembered for a while: adding one up costs a system call for each file.
 *
 * Owns: figures by path, with the moment of their measuring. Invariants: each walk has a bound of files and of time; a walk that hangs is contained; what is
 * not asked for in a round is forgotten after its age. Lost on a crash: nothing.
 */
import type { Clock } from "@holdfast/core/clock";
import { linkSignal } from "@holdfast/core/lifecycle";
import type { MeasureTree, StatsHost, TreeUsage } from "../ports.ts";
import type { ContainedCalls } from "./contained-calls.ts";

/** How {@link TreeMeter} is made. */
export interface TreeMeterOptions {
  readonly clock: Clock;
  readonly measureTree: MeasureTree;
  readonly listFolders: StatsHost["listFolders"];
  readonly calls: ContainedCalls;
  /** Files and folders of one walk. Default 100,000. */
  readonly maxEntries?: number;
  /** A walk ends after it, with what it has: less than the calls' deadline, so that a long one is told from one that hangs. Default 1.5 s. */
  readonly walkMs?: number;
}

/** One measuring. */
export interface MeasuredTree extends TreeUsage {
  /** Wall milliseconds. */
  readonly measuredAt: number;
}

const DEFAULT_MAX_ENTRIES = 100_000;
const DEFAULT_WALK_MS = 1500;
const CAPACITY = 10_000;

/** See the top of the file. */
export class TreeMeter {
  readonly #options: TreeMeterOptions;
  readonly #known = new Map<string, { readonly at: number; readonly tree: MeasuredTree | undefined }>();

  constructor(options: TreeMeterOptions) {
    this.#options = options;
  }

  /**
   * What the folder takes, measured at most `maxAgeMs` ago; undefined when it is not there. `flat` counts the files directly in it only. Rejects with
   * `STATS_HUNG`, with the system's error, or with the signal's reason.
   */
  async measure(
    path: string,
    {
      maxAgeMs,
      flat = false,
      signal,
    }: { readonly maxAgeMs: number; readonly flat?: boolean; readonly signal?: AbortSignal },
  ): Promise<MeasuredTree | undefined> {
    const {
      clock,
      measureTree,
      calls,
      maxEntries = DEFAULT_MAX_ENTRIES,
      walkMs = DEFAULT_WALK_MS,
    } = this.#options;
    const key = keyOf(path, flat);
    const known = this.#known.get(key);
    if (known !== undefined && clock.monotonic() - known.at <= maxAgeMs) return known.tree;
    const measuredAt = clock.now();
    const at = clock.monotonic();
    const usage = await calls.run(
      path,
      async (deadline) => {
        using life = linkSignal(deadline);
        const timer = clock.timer(walkMs, () => life.abort());
        try {
          return await measureTree(path, { maxEntries, flat, signal: life.signal });
        } finally {
          timer.cancel();
        }
      },
      signal,
    );
    const tree = usage === undefined ? undefined : { ...usage, measuredAt };
    this.#known.delete(key);
    this.#known.set(key, { at, tree });
    if (this.#known.size > CAPACITY) this.#dropOldest();
    return tree;
  }

  /** The newest measuring, however old; undefined when there is none. */
  last(path: string, flat = false): MeasuredTree | undefined {
    return this.#known.get(keyOf(path, flat))?.tree;
  }

  /** Names of the folders in a folder, not remembered. Rejects as `measure` does. */
  folders(path: string, signal?: AbortSignal): Promise<readonly string[]> {
    const { calls, listFolders } = this.#options;
    return calls.run(`the list of ${path}`, () => listFolders(path), signal);
  }

  #dropOldest(): void {
    const oldest = this.#known.keys().next().value;
    if (oldest !== undefined) this.#known.delete(oldest);
  }
}

/** The same folder may be measured whole and flat. */
function keyOf(path: string, flat: boolean): string {
  return flat ? `${path}/.` : path;
}
