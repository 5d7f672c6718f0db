// SPDX-License-Identifier: Apache-2.0

/**
 * Sees what a plan of image GC is made from. kubelet: detectImages, and the image cache.
 *
 * Owns: when each image was first seen and last used, and the list of images that was seen last. Invariants: what is seen is remembered, also when the file
 * system's figures cannot be had. Lost on a crash: at most an hour of an image's last use.
 */
import type { Clock } from "@holdfast/core/clock";
import type { FilesystemFigures } from "../ports.ts";
import { computeUsage } from "./compute-usage.ts";
import type { GcImage, ImageGcFacts, ImageGcGoal } from "./image-gc-facts.ts";
import type { ImageGcPolicy } from "./image-gc-policy.ts";
import { needsLabels } from "./image-keep-rules.ts";
import type { ReadImageLayers } from "./image-layers.ts";
import type { ImageLocks } from "./image-locks.ts";
import { allNames } from "./image-names.ts";
import type { ImageReader } from "./image-reader.ts";
import type { ImageRecords } from "./image-records.ts";

/** How an {@link ImageGcLooker} is made. */
export interface ImageGcLookerOptions {
  readonly clock: Clock;
  readonly policy: ImageGcPolicy;
  readonly records: ImageRecords;
  readonly reader: ImageReader;
  readonly locks: ImageLocks;
  /** Undefined: each image counts with its size. */
  readonly layers: ReadImageLayers | undefined;
}

/** How a look is made. */
export interface LookOptions {
  /** Default: the one that it was made with. */
  readonly policy?: ImageGcPolicy;
  /** Whether layers are asked for. Default `when-needed`: when something is to be freed. */
  readonly layers?: "always" | "when-needed" | "never";
}

/** kubelet: imageCache. */
const LIST_FRESH_MS = 30_000;

/** See the top of the file. */
export class ImageGcLooker {
  readonly #options: ImageGcLookerOptions;
  #listed: { readonly at: number; readonly images: readonly GcImage[] } | undefined;

  constructor(options: ImageGcLookerOptions) {
    this.#options = options;
  }

  /** Rejects with what the runtime or the file system says. */
  async look(
    goal: ImageGcGoal,
    signal: AbortSignal,
    { policy = this.#options.policy, layers: wanted = "when-needed" }: LookOptions = {},
  ): Promise<ImageGcFacts> {
    const { clock, layers, reader, records } = this.#options;
    records.load();
    const now = clock.monotonic();
    const images = await reader.images(signal, { labels: needsLabels(policy.keep) });
    const { users, unreadable } = await reader.users(images, signal);
    this.#keepList(images);
    records.detect(images, (id) => users.has(id), now);
    const sandboxImages = await reader.sandboxImages(images, signal);
    const filesystem = goal === "unused" ? undefined : await reader.filesystem(signal);
    const needed =
      wanted === "always" || (wanted === "when-needed" && !isCalm(goal, filesystem?.figures, policy));
    const known = needed ? await layers?.(images, signal) : undefined;
    const { unpackedBytes = 0 } = filesystem ?? {};
    const asked = needed && unpackedBytes > 0 && (policy.amounts === "disk" || wanted === "always");
    const writableBytes = asked ? await reader.writableBytes(signal) : 0;
    return {
      images,
      users,
      records: records.all,
      sandboxImages,
      held: this.#heldAmong(images),
      unreadableUsers: unreadable.length,
      filesystem: filesystem?.figures,
      now,
      unpackedBytes: Math.max(unpackedBytes - writableBytes, 0),
      ...(known === undefined ? {} : { layers: known }),
    };
  }

  /** Images, biggest first, at most 30 s old; the last known ones when the runtime fails. kubelet: GetImageList. */
  async images(signal: AbortSignal): Promise<readonly GcImage[]> {
    const { clock, reader } = this.#options;
    const known = this.#listed;
    if (known !== undefined && clock.monotonic() - known.at < LIST_FRESH_MS) return known.images;
    try {
      return this.#keepList(await reader.images(signal, { labels: false }));
    } catch (error) {
      signal.throwIfAborted();
      if (known === undefined) throw error;
      return known.images;
    }
  }

  /** Images are being removed: the list is asked again. */
  distrustList(): void {
    if (this.#listed !== undefined) this.#listed = { ...this.#listed, at: -Infinity };
  }

  #heldAmong(images: readonly GcImage[]): ReadonlyMap<string, string> {
    const { locks } = this.#options;
    const held = new Map<string, string>();
    if (locks.snapshot().held.length === 0) return held;
    for (const image of images) {
      const by = locks.holderOf(allNames(image));
      if (by !== undefined) held.set(image.id, by);
    }
    return held;
  }

  #keepList(images: readonly GcImage[]): readonly GcImage[] {
    const sorted = images.toSorted((a, b) => b.sizeBytes - a.sizeBytes);
    this.#listed = { at: this.#options.clock.monotonic(), images: sorted };
    return sorted;
  }
}

/** Nothing is to be freed: what an image's removal would free is of no interest. */
function isCalm(
  goal: ImageGcGoal,
  filesystem: FilesystemFigures | undefined,
  policy: ImageGcPolicy,
): boolean {
  if (goal === "unused" || filesystem === undefined || policy.maxAgeMs > 0) return false;
  return computeUsage(filesystem, policy).toFreeBytes === 0;
}
