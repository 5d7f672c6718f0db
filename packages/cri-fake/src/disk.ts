// SPDX-License-Identifier: Apache-2.0
//
// The image file system: how much there is, and what images and writable layers take of it. Pure: it adds up what it is given.

/** How the image file system is made. */
export interface ImageFsOptions {
  /** Bytes; used by images and writable layers together at most so much. Default: unbounded. */
  readonly capacityBytes?: number | undefined;
  /** Default: the overlayfs snapshotter's folder of containerd. */
  readonly mountpoint?: string | undefined;
  /** Bytes that something else takes of it. Default 0. */
  readonly otherBytes?: number | undefined;
}

/** The image file system, seen from inside. */
export interface ImageFs {
  readonly mountpoint: string;
  /** Infinity when unbounded. */
  readonly capacityBytes: number;
  /** All together, as `df` shows it. */
  readonly usedBytes: number;
  readonly availableBytes: number;
  readonly imageBytes: number;
  /** By container id. */
  readonly layerBytes: ReadonlyMap<string, number>;
  readonly inodesUsed: number;
}

/** What {@link imageFsOf} adds up. */
export interface DiskContents {
  readonly images: readonly number[];
  /** By container id: what programs would have written, were there room. */
  readonly layers: ReadonlyMap<string, number>;
}

const MOUNTPOINT = "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs";
const INODES_PER_IMAGE = 300;
const INODES_PER_LAYER = 8;

/** Who writes when it is full writes nothing: what does not fit is taken from the layers, from each its share. */
export function imageFsOf(options: ImageFsOptions, { images, layers }: DiskContents): ImageFs {
  const { capacityBytes = Number.POSITIVE_INFINITY, mountpoint = MOUNTPOINT, otherBytes = 0 } = options;
  const imageBytes = sum(images);
  const wanted = sum(layers.values());
  const room = Math.max(capacityBytes - otherBytes - imageBytes, 0);
  const share = wanted > room ? room / wanted : 1;
  const layerBytes = new Map([...layers].map(([id, bytes]) => [id, Math.floor(bytes * share)]));
  const usedBytes = Math.min(otherBytes + imageBytes + sum(layerBytes.values()), capacityBytes);
  return {
    mountpoint,
    capacityBytes,
    usedBytes,
    availableBytes: capacityBytes - usedBytes,
    imageBytes,
    layerBytes,
    inodesUsed: images.length * INODES_PER_IMAGE + layers.size * INODES_PER_LAYER,
  };
}

function sum(numbers: Iterable<number>): number {
  let total = 0;
  for (const number of numbers) total += number;
  return total;
}
