// SPDX-License-Identifier: Apache-2.0

/** Pure: names of images. kubelet: applyDefaultImageTag, pkg/util/parsers. */
import { HoldfastError } from "@holdfast/core/errors";
import type { Container, PullPolicy } from "@holdfast/core/pod-types";

const COMPONENT = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*";
const HOST =
  "(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?";
const REFERENCE = new RegExp(
  `^(?:${HOST}/)?${COMPONENT}(?:/${COMPONENT})*(?::([\\w][\\w.-]{0,127}))?(?:@([A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}))?$`,
);
const MAX_NAME = 1024;

interface ImageParts {
  readonly tag: string | undefined;
  readonly digest: string | undefined;
}

function parse(image: string): ImageParts {
  const match = image.length > MAX_NAME ? null : REFERENCE.exec(image);
  if (match === null) {
    throw new HoldfastError(
      "POD_IMAGE_NAME",
      "bad-input",
      `Failed to apply default image tag "${image.slice(0, 200)}": couldn't parse image name: invalid reference format`,
    );
  }
  return { tag: match[1], digest: match[2] };
}

/** Adds ":latest" where neither tag nor digest stands. Throws `bad-input` (POD_IMAGE_NAME). */
export function applyDefaultImageTag(image: string): string {
  const { tag, digest } = parse(image);
  return tag === undefined && digest === undefined ? `${image}:latest` : image;
}

/** The container's policy, or the API server's default. kubelet: SetDefaults_Container. */
export function pullPolicy({
  image,
  imagePullPolicy,
}: Pick<Container, "image" | "imagePullPolicy">): PullPolicy {
  if (imagePullPolicy !== undefined) return imagePullPolicy;
  const tagged = applyDefaultImageTag(image);
  return tagged.endsWith(":latest") && !tagged.includes("@") ? "Always" : "IfNotPresent";
}
