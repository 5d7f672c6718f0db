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
}

const MOUNTPOINT = "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs";
const INODES_PER_IMAGE = 300n;

export function createImageService(
  { images, registry, stamp }: ImagePorts,
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
      handle: ({ image }) => ({ image: images.find(image ?? { image: "" }), info: {} }),
    }),
    pullImage: unary("PullImage", PullImageRequest, {
      target,
      deadlineMs: (_request, { imagePullMs }) => imagePullMs,
      handle: async ({ image, auth }) => {
        const reference = image?.image ?? "";
        const pulled = await registry(normaliseReference(reference), auth);
        if (pulled === undefined) throw notInRegistry(reference);
        const { id } = images.add({ ...pulled, reference });
        return { imageRef: id };
      },
    }),
    removeImage: unary("RemoveImage", RemoveImageRequest, {
      target,
      handle: ({ image }) => {
        images.remove(image ?? { image: "" });
        return {};
      },
    }),
    imageFsInfo: unary("ImageFsInfo", ImageFsInfoRequest, {
      handle: () => {
        const all = images.list();
        const bytes = all.reduce((total, { size }) => total + size, 0n);
        return ImageFsInfoResponse.fromPartial({
          imageFilesystems: [
            {
              timestamp: stamp(),
              fsId: { mountpoint: MOUNTPOINT },
              usedBytes: { value: bytes },
              inodesUsed: { value: BigInt(all.length) * INODES_PER_IMAGE },
            },
          ],
        });
      },
    }),
  };
}
