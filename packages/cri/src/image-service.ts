// SPDX-License-Identifier: Apache-2.0
//
// ImageService, RPC by RPC.

import type { Connection } from "./connection.ts";
import { imagePull } from "./deadlines.ts";
import * as image from "./gen/runtime/v1/image.ts";
import type { StringTable } from "./interning-reader.ts";
import { method } from "./method.ts";
import type { Codec, Definition, MethodTraits } from "./method.ts";
import type { CriImageService, CriUnary } from "./services.ts";

const aboutImage = (request: { image?: { image?: string } | undefined }): string | undefined =>
  request.image?.image;

export function createImageService(connection: Connection, intern: StringTable | undefined): CriImageService {
  const rpc = image.ImageServiceService;
  const unary = <Request, Response>(
    definition: Definition<Request, Response>,
    operation: string,
    request: Codec<Request>,
    response: Codec<Response>,
    traits?: MethodTraits<Request>,
  ): CriUnary<Request, Response> => {
    const made = method(definition, operation, request, response, traits);
    return (partial, options) => connection.unary(made, partial, options);
  };
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
