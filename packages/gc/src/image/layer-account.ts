// SPDX-License-Identifier: Apache-2.0

/** A layer of an image. */
export interface ImageLayer {
  readonly digest: string;
  readonly bytes: number;
}

/** Counts what removing images frees when some layers belong to several of them: a layer is free with the last image that has it. */
export class LayerAccount {
  readonly #layers: ReadonlyMap<string, readonly ImageLayer[]>;
  /** By digest: how many images that are left have it. */
  readonly #owners = new Map<string, number>();

  constructor(
    images: readonly { readonly id: string }[],
    layers: ReadonlyMap<string, readonly ImageLayer[]> = new Map(),
  ) {
    this.#layers = layers;
    for (const { id } of images)
      for (const digest of digestsOf(layers.get(id)))
        this.#owners.set(digest, (this.#owners.get(digest) ?? 0) + 1);
  }

  /** All images that are left together, what they share counted once. */
  total(images: readonly { readonly id: string; readonly sizeBytes: number }[]): number {
    const counted = new Set<string>();
    let bytes = 0;
    for (const { id, sizeBytes } of images) {
      const layers = this.#layers.get(id);
      if (layers === undefined) bytes += sizeBytes;
      for (const layer of layers ?? []) {
        if (counted.has(layer.digest)) continue;
        counted.add(layer.digest);
        bytes += layer.bytes;
      }
    }
    return bytes;
  }

  /** What removing this image now would free. Without knowledge of its layers: its size. */
  frees(image: { readonly id: string; readonly sizeBytes: number }): number {
    const layers = this.#layers.get(image.id);
    if (layers === undefined) return image.sizeBytes;
    const counted = new Set<string>();
    let bytes = 0;
    for (const layer of layers) {
      if (counted.has(layer.digest) || (this.#owners.get(layer.digest) ?? 0) > 1) continue;
      counted.add(layer.digest);
      bytes += layer.bytes;
    }
    return bytes;
  }

  /** Takes the image out and returns what that frees. */
  remove(image: { readonly id: string; readonly sizeBytes: number }): number {
    const bytes = this.frees(image);
    for (const digest of digestsOf(this.#layers.get(image.id)))
      this.#owners.set(digest, (this.#owners.get(digest) ?? 1) - 1);
    return bytes;
  }
}

/** An image may have the same layer twice. */
function digestsOf(layers: readonly ImageLayer[] = []): ReadonlySet<string> {
  return new Set(layers.map(({ digest }) => digest));
}
