// SPDX-License-Identifier: Apache-2.0

/**
 * Layers of images, as far as the CRI tells: which layers, not how big each is. Sizes are reckoned from those of the images, so that what several images share
 * counts once.
 */
import type { Clock } from "@holdfast/core/clock";
import { Limiter } from "@holdfast/core/limiter";
import type { ImageGcRuntime } from "../ports.ts";
import type { GcImage } from "./image-gc-facts.ts";
import type { ImageLayer } from "./layer-account.ts";
import { diffIdsIn } from "./verbose-info.ts";

/** An image and the digests of its layers. */
export interface LayeredImage {
  readonly id: string;
  readonly sizeBytes: number;
  readonly diffIds: readonly string[];
}

/** By image id. Images that are missing in it count with their own size. */
export type ReadImageLayers = (
  images: readonly GcImage[],
  signal: AbortSignal,
) => Promise<ReadonlyMap<string, readonly ImageLayer[]>>;

/**
 * Pure. From the smallest image on, an image's layers that no smaller one has share what its size exceeds the known ones by. Exact where images build on one
 * another or have one layer; elsewhere an estimate that never counts more in all than the images' sizes together.
 */
export function estimateImageLayers(
  images: readonly LayeredImage[],
): ReadonlyMap<string, readonly ImageLayer[]> {
  const known = new Map<string, number>();
  const layers = new Map<string, readonly ImageLayer[]>();
  const smallestFirst = images.toSorted((a, b) => a.sizeBytes - b.sizeBytes || (a.id < b.id ? -1 : 1));
  for (const { id, sizeBytes, diffIds } of smallestFirst) {
    const own = new Set(diffIds);
    let rest = sizeBytes;
    for (const digest of own) rest -= known.get(digest) ?? 0;
    const unknown = [...own].filter((digest) => !known.has(digest));
    for (const [index, digest] of unknown.entries()) {
      const bytes = Math.max(Math.floor(rest / (unknown.length - index)), 0);
      known.set(digest, bytes);
      rest -= bytes;
    }
    layers.set(
      id,
      Array.from(own, (digest) => ({ digest, bytes: known.get(digest) ?? 0 })),
    );
  }
  return layers;
}

const STATUS_DEADLINE_MS = 10_000;
const PARALLEL = 8;

/** Asks the runtime for each image's layers, once in its life. An image of which it does not tell is left out. */
export function runtimeImageLayers(
  runtime: Pick<ImageGcRuntime, "imageStatus">,
  clock: Pick<Clock, "timer">,
): ReadImageLayers {
  const diffIds = new Map<string, readonly string[]>();
  const limiter = new Limiter({ clock, limit: PARALLEL, releaseAfterMs: STATUS_DEADLINE_MS });
  const read = async (id: string, signal: AbortSignal): Promise<void> => {
    try {
      const { info } = await runtime.imageStatus(
        { image: { image: id }, verbose: true },
        { signal, deadlineMs: STATUS_DEADLINE_MS },
      );
      diffIds.set(id, diffIdsIn(info));
    } catch {
      signal.throwIfAborted(); // else: gone or hung; it counts with its size
    }
  };
  return async (images, signal) => {
    const listed = new Set(images.map(({ id }) => id));
    for (const id of diffIds.keys()) if (!listed.has(id)) diffIds.delete(id);
    const fresh = [...listed].filter((id) => !diffIds.has(id));
    await Promise.all(fresh.map((id) => limiter.run(() => read(id, signal), { signal })));
    return estimateImageLayers(
      images.flatMap(({ id, sizeBytes }) => {
        const own = diffIds.get(id) ?? [];
        return own.length === 0 ? [] : [{ id, sizeBytes, diffIds: own }];
      }),
    );
  };
}
