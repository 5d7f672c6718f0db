// SPDX-License-Identifier: Apache-2.0

/** Sizes of an image's layers, from its manifest. */
import type { GcImage } from "./image-gc-facts.ts";

/** Manifests of an index that are looked at: one for each platform. */
const MAX_MANIFESTS = 32;

/**
 * The packed sizes of the image's layers, lowest first; undefined when none of its manifests can be read. A manifest is the image's when it names its
 * configuration, whose digest is the image's id.
 */
export async function findLayerSizes(
  { id, repoDigests }: Pick<GcImage, "id" | "repoDigests">,
  readBlob: (digest: string) => Promise<string | undefined>,
): Promise<readonly number[] | undefined> {
  const digests = repoDigests.flatMap((name) => {
    const at = name.indexOf("@");
    return at < 0 ? [] : [name.slice(at + 1)];
  });
  for (const digest of new Set(digests)) {
    const document = parse(await readBlob(digest));
    const own = layerSizesIn(document, id);
    if (own !== undefined) return own;
    for (const listed of manifestsIn(document)) {
      const sizes = layerSizesIn(parse(await readBlob(listed)), id);
      if (sizes !== undefined) return sizes;
    }
  }
  return undefined;
}

interface Descriptor {
  readonly digest?: unknown;
  readonly size?: unknown;
}

interface Document {
  readonly config?: Descriptor;
  readonly layers?: readonly Descriptor[];
  readonly manifests?: readonly Descriptor[];
}

function layerSizesIn(document: Document | undefined, imageId: string): readonly number[] | undefined {
  if (document?.config?.digest !== imageId || !Array.isArray(document.layers)) return undefined;
  const sizes = (document.layers as readonly (Descriptor | null)[]).map((layer) => layer?.size);
  return sizes.every((size): size is number => Number.isSafeInteger(size) && (size as number) >= 0)
    ? sizes
    : undefined;
}

function manifestsIn(document: Document | undefined): readonly string[] {
  if (!Array.isArray(document?.manifests)) return [];
  return (document.manifests as readonly (Descriptor | null)[])
    .slice(0, MAX_MANIFESTS)
    .flatMap((one) => (typeof one?.digest === "string" ? [one.digest] : []));
}

function parse(text: string | undefined): Document | undefined {
  try {
    const value: unknown = text === undefined ? undefined : JSON.parse(text);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined; // cut off, or no JSON: sizes are reckoned
  }
}
