// SPDX-License-Identifier: Apache-2.0
//
// ImageService, RPC by RPC.

import type { Connection } from "./connection.ts";
import { imagePull } from "./deadlines.ts";
import * as image from "./gen/runtime/v1/image.ts";
import type { StringTable } from "./interning-reader.ts";
import { method } from "./method.ts";
import { unaryOn } from "./unary.ts";
import type { CriImageService } from "./services.ts";

const aboutImage = (request: { image?: { image?: string } | undefined }): string | undefined =>
  request.image?.image;

export function createImageService(connection: Connection, intern: StringTable | undefined): CriImageService {
  const rpc = image.ImageServiceService;
  const unary = unaryOn(connection);
  const streamImages = method(
    rpc.streamImages,
    "stream_images",
    image.StreamImagesRequest,
    image.StreamImagesResponse,
    { intern },
  );
  return {
    listImages: unary(rpc.listImages, "list_images", image.ListImagesRequest, image.ListImagesResponse, {
      intern,
    }),
    imageStatus: unary(rpc.imageStatus, "image_status", image.ImageStatusRequest, image.ImageStatusResponse, {
      target: aboutImage,
      intern,
    }),
    pullImage: unary(rpc.pullImage, "pull_image", image.PullImageRequest, image.PullImageResponse, {
      target: aboutImage,
      deadline: imagePull,
    }),
    removeImage: unary(rpc.removeImage, "remove_image", image.RemoveImageRequest, image.RemoveImageResponse, {
      target: aboutImage,
    }),
    imageFsInfo: unary(rpc.imageFsInfo, "image_fs_info", image.ImageFsInfoRequest, image.ImageFsInfoResponse),
    streamImages: (partial, options) => connection.stream(streamImages, partial, options),
  };
}
