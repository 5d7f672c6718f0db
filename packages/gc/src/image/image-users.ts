// SPDX-License-Identifier: Apache-2.0

/** Pure: which containers use which images. */
import type { Container } from "@holdfast/cri";
import { CONTAINER_NAME_LABEL, POD_NAME_LABEL, POD_NAMESPACE_LABEL } from "@holdfast/core/names";
import type { ImageUser } from "./image-gc-facts.ts";
import { allNames, normalizeImageName } from "./image-names.ts";
import type { ImageNames } from "./image-names.ts";

/** What is read of a listed container. */
export type ImageUsingContainer = Pick<
  Container,
  "id" | "imageId" | "imageRef" | "image" | "labels" | "metadata"
>;

/** Names of images -> ids. */
export class ImageIndex {
  readonly #ids = new Map<string, string>();

  constructor(images: readonly ImageNames[]) {
    for (const image of images) for (const name of allNames(image)) this.#ids.set(name, image.id);
  }

  /** The first of these names that is some image's. */
  find(names: readonly string[]): string | undefined {
    for (const name of names) {
      const id = name === "" ? undefined : (this.#ids.get(name) ?? this.#ids.get(normalizeImageName(name)));
      if (id !== undefined) return id;
    }
    return undefined;
  }
}

/**
 * The image a container was made from, by what is surest first. kubelet: the CRI's imageId, else imageRef. containerd up to 2.1 leaves imageId empty and
 * lists the id as imageRef; others have a digest there.
 */
export function imageNamesOf({ imageId, imageRef, image }: ImageUsingContainer): readonly string[] {
  return [imageId, imageRef, image?.image ?? ""];
}

/** Users by image id. `mountsOf` names the images that a container mounts as volumes. */
export function computeImageUsers(
  images: readonly ImageNames[],
  containers: readonly ImageUsingContainer[],
  mountsOf: (containerId: string) => readonly string[],
): ReadonlyMap<string, readonly ImageUser[]> {
  const index = new ImageIndex(images);
  const users = new Map<string, ImageUser[]>();
  const add = (imageId: string | undefined, container: ImageUsingContainer, how: ImageUser["how"]): void => {
    if (imageId === undefined) return;
    const user = { containerId: container.id, name: shownContainer(container), how };
    const known = users.get(imageId);
    if (known === undefined) users.set(imageId, [user]);
    else known.push(user);
  };
  for (const container of containers) {
    add(index.find(imageNamesOf(container)), container, "image");
    for (const mounted of mountsOf(container.id)) add(index.find([mounted]), container, "mount");
  }
  return users;
}

/** `NAMESPACE/POD/CONTAINER`, else what is known. */
export function shownContainer({ id, labels, metadata }: ImageUsingContainer): string {
  const name = labels[CONTAINER_NAME_LABEL] ?? metadata?.name ?? "";
  const pod = labels[POD_NAME_LABEL] ?? "";
  if (pod === "") return name === "" ? id.slice(0, SHORT_ID) : `${name} (${id.slice(0, SHORT_ID)})`;
  return `${labels[POD_NAMESPACE_LABEL] ?? "default"}/${pod}/${name}`;
}

const SHORT_ID = 12;
