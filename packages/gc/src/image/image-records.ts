// SPDX-License-Identifier: Apache-2.0

/**
 * What is remembered of images: when each was first seen and last used, and whether this agent brought it. kubelet: imageRecords.
 *
 * Owns: the records, one per listed image. Kept over restarts of the agent as wall times; in memory they are monotonic, so that a clock that is
 * stepped changes no age while the agent runs. Lost on a crash: at most an hour of an image's last use. Lost with the store: all of it; then every image
 * is new and nobody's.
 */
import { clampedAge } from "@holdfast/core/clock";
import type { Clock } from "@holdfast/core/clock";
import { errorText } from "@holdfast/core/errors";
import type { Logger } from "@holdfast/core/log";
import type { GcCheckpoint } from "../ports.ts";
import type { GcImage, ImageRecord } from "./image-gc-facts.ts";

const PREFIX = "image/";
/** A last use that is newer by less is not written while the image stays in use. */
const WRITE_EVERY_MS = 60 * 60_000;
/** A stored time tells no more than this: ten years. */
const MAX_AGE_MS = 10 * 365 * 24 * 60 * 60_000;

interface Kept {
  readonly firstDetectedAt: number;
  lastUsedAt: number | undefined;
  ours: boolean;
  inUse: boolean;
  /** What the checkpoint says of the last use; undefined when nothing was written. */
  written: { readonly lastUsedAt: number | undefined } | undefined;
}

/** How {@link ImageRecords} are made. */
export interface ImageRecordsOptions {
  readonly clock: Pick<Clock, "now" | "monotonic">;
  readonly checkpoint: GcCheckpoint;
  readonly logger: Logger;
}

/** See the top of the file. */
export class ImageRecords {
  readonly #options: ImageRecordsOptions;
  readonly #records = new Map<string, Kept>();
  #loaded = false;
  #writeProblem = false;

  constructor(options: ImageRecordsOptions) {
    this.#options = options;
  }

  /** By image id. */
  get all(): ReadonlyMap<string, ImageRecord> {
    return this.#records;
  }

  /** Reads what was kept. What cannot be read is as if it were not there. */
  load(): void {
    if (this.#loaded) return;
    this.#loaded = true;
    const { checkpoint, clock, logger } = this.#options;
    try {
      for (const [key, text] of checkpoint.entries(PREFIX)) {
        const stored = parse(text);
        const id = key.slice(PREFIX.length);
        if (stored === undefined || this.#records.has(id)) continue;
        const back = (wall: number): number => clock.monotonic() - clampedAge(clock, wall, MAX_AGE_MS);
        const lastUsedAt = stored.used === undefined ? undefined : back(stored.used);
        // A clock that was stepped back made the first sight later than the last use.
        const firstDetectedAt = Math.min(back(stored.first), lastUsedAt ?? Infinity);
        this.#records.set(id, {
          firstDetectedAt,
          lastUsedAt,
          ours: stored.ours,
          inUse: false,
          written: { lastUsedAt },
        });
      }
    } catch (error) {
      logger.warn("ages of images cannot be read", { err: errorText(error) });
    }
  }

  /** Takes in what a detection that began at `startedAt` saw. kubelet: detectImages. */
  detect(images: readonly GcImage[], inUse: (id: string) => boolean, startedAt: number): void {
    const now = this.#options.clock.monotonic();
    const listed = new Set<string>();
    for (const { id } of images) {
      listed.add(id);
      const record = this.#records.get(id) ?? this.#add(id, startedAt, false);
      const used = inUse(id);
      if (used) record.lastUsedAt = now;
      const ended = record.inUse && !used;
      record.inUse = used;
      if (record.written === undefined || ended || this.#isStale(record)) this.#write(id, record);
    }
    for (const [id, { firstDetectedAt }] of this.#records)
      // One that was pulled while the list was made is not in it yet.
      if (!listed.has(id) && firstDetectedAt < startedAt) this.forget(id);
  }

  /** This agent pulled or imported an image, and began to at `startedAt`. One that was there before stays whose it was. */
  pulled(id: string, startedAt: number): void {
    this.load();
    const record = this.#records.get(id);
    if (record === undefined) this.#write(id, this.#add(id, this.#options.clock.monotonic(), true));
    else if (!record.ours && record.firstDetectedAt >= startedAt) {
      record.ours = true;
      this.#write(id, record);
    }
  }

  /** The image is gone. */
  forget(id: string): void {
    this.#records.delete(id);
    this.#guarded(() => this.#options.checkpoint.delete(PREFIX + id));
  }

  /** Writes what is newer than the checkpoint. */
  flush(): void {
    for (const [id, record] of this.#records)
      if (record.written?.lastUsedAt !== record.lastUsedAt) this.#write(id, record);
  }

  #add(id: string, firstDetectedAt: number, ours: boolean): Kept {
    const record = { firstDetectedAt, lastUsedAt: undefined, ours, inUse: false, written: undefined };
    this.#records.set(id, record);
    return record;
  }

  #isStale({ written, lastUsedAt }: Kept): boolean {
    return lastUsedAt !== undefined && lastUsedAt - (written?.lastUsedAt ?? -Infinity) >= WRITE_EVERY_MS;
  }

  #write(id: string, record: Kept): void {
    const { clock, checkpoint } = this.#options;
    const wall = (at: number): number => Math.round(clock.now() - (clock.monotonic() - at));
    const { firstDetectedAt, lastUsedAt, ours } = record;
    const stored: Stored = {
      first: wall(firstDetectedAt),
      used: lastUsedAt === undefined ? undefined : wall(lastUsedAt),
      ours,
    };
    this.#guarded(() => checkpoint.set(PREFIX + id, JSON.stringify(stored)));
    record.written = { lastUsedAt };
  }

  /** GC goes on without its memory. Told once. */
  #guarded(work: () => void): void {
    try {
      work();
      this.#writeProblem = false;
    } catch (error) {
      if (!this.#writeProblem)
        this.#options.logger.warn("ages of images cannot be written", { err: errorText(error) });
      this.#writeProblem = true;
    }
  }
}

interface Stored {
  readonly first: number;
  readonly used: number | undefined;
  readonly ours: boolean;
}

function parse(text: string): Stored | undefined {
  try {
    const { first, used, ours } = JSON.parse(text) as Partial<Stored>;
    if (typeof first !== "number" || !Number.isFinite(first)) return undefined;
    return { first, used: Number.isFinite(used) ? used : undefined, ours: ours === true };
  } catch {
    return undefined; // damaged: the image counts as new
  }
}
