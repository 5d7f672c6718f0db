// SPDX-License-Identifier: Apache-2.0

/**
 * Layers of images, so that what several images share counts once. The CRI tells which layers an image has, not how big each is: that stands in the image's
 * manifest. Where no manifest can be had, sizes are reckoned from those of the images.
 */
import type { Clock } from "@holdfast/core/clock";
import { Limiter } from "@holdfast/core/limiter";
import { withDeadline } from "@holdfast/core/lifecycle";
import type { ImageGcRuntime, ReadBlob } from "../ports.ts";
import type { GcImage } from "./image-gc-facts.ts";
import { findLayerSizes } from "./image-manifest.ts";
import type { ImageLayer } from "./layer-account.ts";
import { diffIdsIn } from "./verbose-info.ts";

/** An image and the digests of its layers. */
export interface LayeredImage {
  readonly id: string;
  readonly sizeBytes: number;
  readonly diffIds: readonly string[];
  /** Of each of them, packed; undefined when that is not known. */
  readonly layerBytes?: readonly number[] | undefined;
}

/** By image id. Images that are missing in it count with their own size. */
export type ReadImageLayers = (
  images: readonly GcImage[],
  signal: AbortSignal,
) => Promise<ReadonlyMap<string, readonly ImageLayer[]>>;

/**
 * Pure. Known sizes are taken as they are. Of the other images, from the smallest on, the layers that no smaller one has share what its size exceeds the known
 * ones by: exact where images build on one another or have one layer; elsewhere an estimate that never counts more in all than the images' sizes together.
 */
export function estimateImageLayers(
  images: readonly LayeredImage[],
): ReadonlyMap<string, readonly ImageLayer[]> {
  const known = new Map<string, number>();
  for (const { diffIds, layerBytes } of images)
    if (layerBytes?.length === diffIds.length)
      for (const [index, digest] of diffIds.entries()) known.set(digest, layerBytes[index] ?? 0);
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

/** Of how many bytes each layer is. */
interface Known {
  readonly diffIds: readonly string[];
  readonly layerBytes: readonly number[] | undefined;
}

/**
 * Asks the runtime for each image's layers, and `readBlob` for their sizes, once in its life. An image of which the runtime does not tell is left out.
 */
export function runtimeImageLayers(
  runtime: Pick<ImageGcRuntime, "imageStatus" | "imageFsInfo">,
  clock: Pick<Clock, "timer">,
  readBlob?: ReadBlob,
): ReadImageLayers {
  const known = new Map<string, Known>();
  const limiter = new Limiter({ clock, limit: PARALLEL, releaseAfterMs: STATUS_DEADLINE_MS });
  const read = async (image: GcImage, mountpoint: string, signal: AbortSignal): Promise<void> => {
    try {
      const { info } = await runtime.imageStatus(
        { image: { image: image.id }, verbose: true },
        { signal, deadlineMs: STATUS_DEADLINE_MS },
      );
      const sizes =
        readBlob === undefined || mountpoint === ""
          ? undefined
          : findLayerSizes(image, (digest) => readBlob(mountpoint, digest));
      const what = `reading the manifest of ${image.id}`;
      const layerBytes =
        sizes && (await withDeadline(clock, STATUS_DEADLINE_MS, what, sizes).catch(() => undefined));
      known.set(image.id, { diffIds: diffIdsIn(info), layerBytes });
    } catch {
      signal.throwIfAborted(); // else: gone or hung; it counts with its size
    }
  };
  const mountpointOf = async (signal: AbortSignal): Promise<string> => {
    if (readBlob === undefined) return "";
    try {
      const options = { signal, deadlineMs: STATUS_DEADLINE_MS };
      const { imageFilesystems } = await runtime.imageFsInfo({}, options);
      return imageFilesystems[0]?.fsId?.mountpoint ?? "";
    } catch {
      signal.throwIfAborted();
      return ""; // sizes are reckoned
    }
  };
  return async (images, signal) => {
    const listed = new Set(images.map(({ id }) => id));
    for (const id of known.keys()) if (!listed.has(id)) known.delete(id);
    const fresh = images.filter(({ id }) => !known.has(id));
    if (fresh.length > 0) {
      const mountpoint = await mountpointOf(signal);
      await Promise.all(fresh.map((image) => limiter.run(() => read(image, mountpoint, signal), { signal })));
    }
    return estimateImageLayers(
      images.flatMap(({ id, sizeBytes }) => {
        const { diffIds = [], layerBytes } = known.get(id) ?? {};
        return diffIds.length === 0 ? [] : [{ id, sizeBytes, diffIds, layerBytes }];
      }),
    );
  };
}
