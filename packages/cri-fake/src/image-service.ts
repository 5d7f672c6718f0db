// SPDX-License-Identifier: Apache-2.0
//
// The image service: what is on disk, what a registry gives.

import {
  ImageFsInfoRequest,
  ImageFsInfoResponse,
  ImageStatusRequest,
  ListImagesRequest,
  PullImageRequest,
  RemoveImageRequest,
  StreamImagesRequest,
} from "@holdfast/cri";
import type { AuthConfig, CriImageService, Image, ImageFilter } from "@holdfast/cri";

import type { ImageFs } from "./disk.ts";
import { RuntimeFailure } from "./failure.ts";
import type { FakeImage, ImageStore } from "./images.ts";
import { normaliseReference, notInRegistry } from "./images.ts";
import type { MethodFactory } from "./method.ts";

/** Answers a pull: the image, or undefined when the registry does not have it. May throw a `RuntimeFailure`. */
export type Registry = (
  reference: string,
  auth: AuthConfig | undefined,
) => FakeImage | undefined | Promise<FakeImage | undefined>;

/** What images need of the runtime. */
export interface ImagePorts {
  readonly images: ImageStore;
  readonly registry: Registry;
  readonly stamp: () => bigint;
  readonly imageFs: () => ImageFs;
}

export function createImageService(
  { images, registry, stamp, imageFs }: ImagePorts,
  { unary, page }: MethodFactory,
): CriImageService {
  const list = (filter: ImageFilter | undefined): Image[] => {
    const name = filter?.image?.image ?? "";
    if (name === "") return images.list();
    const found = images.find({ image: name });
    return found === undefined ? [] : [found];
  };
  const target = ({ image }: { image?: { image: string } | undefined }): string => image?.image ?? "";
  return {
    listImages: unary("ListImages", ListImagesRequest, {
      handle: ({ filter }) => ({ images: list(filter) }),
      distort: ({ images: all }, { truncateTo = all.length }) => ({ images: all.slice(0, truncateTo) }),
    }),
    streamImages: page("StreamImages", StreamImagesRequest, ({ filter }) =>
      list(filter).map((image) => ({ images: [image] })),
    ),
    imageStatus: unary("ImageStatus", ImageStatusRequest, {
      target,
      handle: ({ image }) => ({ image: images.find(named(image)), info: {} }),
    }),
    pullImage: unary("PullImage", PullImageRequest, {
      target,
      deadlineMs: (_request, { imagePullMs }) => imagePullMs,
      handle: async ({ image, auth }) => {
        const reference = image?.image ?? "";
        if (reference === "")
          throw new RuntimeFailure(
            "CRI_UNKNOWN",
            'failed to parse image reference "": invalid reference format',
          );
        const pulled = await registry(normaliseReference(reference), auth);
        if (pulled === undefined) throw notInRegistry(reference);
        if (imageFs().availableBytes < (pulled.diskBytes ?? pulled.size ?? 0)) throw noSpace(reference);
        const { id } = images.add({ ...pulled, reference });
        return { imageRef: id };
      },
    }),
    removeImage: unary("RemoveImage", RemoveImageRequest, {
      target,
      handle: ({ image }) => {
        images.remove(named(image));
        return {};
      },
    }),
    imageFsInfo: unary("ImageFsInfo", ImageFsInfoRequest, {
      handle: () => {
        const { mountpoint, imageBytes, layerBytes, inodesUsed } = imageFs();
        const layers = [...layerBytes.values()].reduce((total, bytes) => total + bytes, 0);
        return ImageFsInfoResponse.fromPartial({
          imageFilesystems: [
            {
              timestamp: stamp(),
              fsId: { mountpoint },
              usedBytes: { value: imageBytes + layers },
              inodesUsed: { value: inodesUsed },
            },
          ],
        });
      },
    }),
  };
}

/** No name at all is an error; one that is not there is none. */
function named(image: { image: string } | undefined): { image: string } {
  if (image !== undefined && image.image !== "") return image;
  throw new RuntimeFailure("CRI_UNKNOWN", 'can not resolve "" locally: ambiguous digest string');
}

function noSpace(reference: string): RuntimeFailure {
  const full = normaliseReference(reference);
  return new RuntimeFailure(
    "CRI_UNKNOWN",
    `failed to pull and unpack image "${full}": failed to extract layer: no space left on device: unknown`,
  );
}
