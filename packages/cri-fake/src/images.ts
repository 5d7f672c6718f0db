// SPDX-License-Identifier: Apache-2.0
//
// The images that are on the fake's disk, and where more can be pulled from. An image is found by id, by any of its references, or by a
// short name as docker knows it.

import type { Image } from "@holdfast/cri";

import { RuntimeFailure } from "./failure.ts";

/** An image. */
export interface FakeImage {
  /** `docker.io/library/busybox:1.36`, or short. */
  readonly reference: string;
  /** `sha256:…`. Default: made up from the reference, always the same. */
  readonly id?: string;
  /** Further tags of the same image. */
  readonly tags?: readonly string[];
  /** Bytes. Default 2,000,000. */
  readonly size?: number;
  /** Bytes on disk when unpacked. Default: its size. */
  readonly diskBytes?: number;
  /** A number or a name, as in the image's configuration. Default root's 0. */
  readonly user?: number | string;
  /** Who the image knows besides root. */
  readonly users?: readonly ImageUser[];
  /** Kept by image GC. Default false. */
  readonly pinned?: boolean;
  /** References by digest. Default: one, made up from the id. */
  readonly repoDigests?: readonly string[];
}

/** A line of an image's `/etc/passwd`, with the groups that `/etc/group` has it in. */
export interface ImageUser {
  readonly name: string;
  readonly uid: number;
  /** Default: its uid. */
  readonly gid?: number;
  readonly groups?: readonly number[];
}

/** What is on every fake's disk unless told: what Holdfast's own tests build for containerd. */
export const LOCAL_IMAGES: readonly FakeImage[] = [
  { reference: "holdfast.local/busybox:1", repoDigests: [] },
  { reference: "holdfast.local/pause:1", size: 300_000, pinned: true, repoDigests: [] },
];

/** An image's default user, and all that it knows. */
export interface ImageUsers {
  readonly user: number | string;
  readonly users: readonly ImageUser[];
}

/** How an image is asked for in a request. */
interface ImageName {
  readonly image: string;
}

const DEFAULT_SIZE = 2_000_000;
const SHORT_ID = /^(sha256:)?[0-9a-f]{6,64}$/;

/** `busybox` is `docker.io/library/busybox:latest`. */
export function normaliseReference(reference: string): string {
  if (reference === "" || reference.startsWith("sha256:")) return reference;
  const [first = "", ...rest] = reference.split("/");
  const hasHost = rest.length > 0 && (/[.:]/.test(first) || first === "localhost");
  const path = hasHost
    ? reference
    : rest.length > 0
      ? `docker.io/${reference}`
      : `docker.io/library/${reference}`;
  const last = path.slice(path.lastIndexOf("/") + 1);
  return last.includes(":") || last.includes("@") ? path : `${path}:latest`;
}

/** The images on disk. */
export class ImageStore {
  readonly #images = new Map<string, Image>();
  readonly #diskBytes = new Map<string, number>();
  readonly #users = new Map<string, readonly ImageUser[]>();
  readonly #pins: boolean;

  /** With `pins` false, as on containerd 1.6, none is shown as pinned. */
  constructor(images: readonly FakeImage[], pins = true) {
    this.#pins = pins;
    for (const image of images) this.add(image);
  }

  /** Bytes on disk, of each image. */
  get diskBytes(): number[] {
    return [...this.#diskBytes.values()];
  }

  /** Puts one on the disk; a reference that named another image moves to this one. */
  add(image: FakeImage): Image {
    const reference = normaliseReference(image.reference);
    const id = image.id ?? digestOf(reference);
    const byDigest = reference.includes("@");
    const tags = [...(byDigest ? [] : [reference]), ...(image.tags ?? []).map(normaliseReference)];
    for (const other of this.#images.values())
      other.repoTags = other.repoTags.filter((tag) => !tags.includes(tag));
    const known = this.#images.get(id);
    const repository = reference.replace(/[:@][^/]*$/, "");
    const { user = 0 } = image;
    const made: Image = {
      id,
      repoTags: [...new Set([...(known?.repoTags ?? []), ...tags])],
      repoDigests: [
        ...new Set([
          ...(known?.repoDigests ?? []),
          ...(image.repoDigests ?? (byDigest ? [] : [`${repository}@${digestOf(id)}`])),
          ...(byDigest ? [reference] : []),
        ]),
      ],
      size: BigInt(image.size ?? DEFAULT_SIZE),
      uid: typeof user === "number" ? { value: BigInt(user) } : undefined,
      username: typeof user === "string" ? user : "",
      spec: undefined,
      pinned: this.#pins && (image.pinned ?? false),
    };
    this.#images.set(id, made);
    this.#diskBytes.set(id, image.diskBytes ?? Number(made.size));
    this.#users.set(id, image.users ?? []);
    return copyOf(made);
  }

  /** Who a container of it runs as, and who else it knows. */
  usersOf({ id, uid, username }: Image): ImageUsers {
    return { user: username === "" ? Number(uid?.value ?? 0n) : username, users: this.#users.get(id) ?? [] };
  }

  list(): Image[] {
    return Array.from(this.#images.values(), copyOf);
  }

  /** By id, reference, short name, or the beginning of an id. */
  find({ image }: ImageName): Image | undefined {
    const exact = this.#images.get(image) ?? this.#images.get(`sha256:${image}`);
    const reference = normaliseReference(image);
    const found =
      exact ??
      [...this.#images.values()].find(
        ({ repoTags, repoDigests }) => repoTags.includes(reference) || repoDigests.includes(reference),
      ) ??
      (SHORT_ID.test(image)
        ? [...this.#images.values()].find(({ id }) => id.startsWith(`sha256:${image.replace("sha256:", "")}`))
        : undefined);
    return found === undefined ? undefined : copyOf(found);
  }

  /** The whole image goes, with all its references, as containerd's CRI does it. */
  remove(name: ImageName): void {
    const found = this.find(name);
    if (found === undefined) return;
    this.#images.delete(found.id);
    this.#diskBytes.delete(found.id);
    this.#users.delete(found.id);
  }

  /** Throws what containerd says when a container's image is not there. */
  require(name: ImageName): Image {
    const found = this.find(name);
    if (found === undefined)
      throw new RuntimeFailure(
        "CRI_NOT_FOUND",
        `failed to get image from containerd "${name.image}": image "${normaliseReference(name.image)}": not found`,
      );
    return found;
  }
}

/** What a registry that does not have it makes containerd say. */
export function notInRegistry(reference: string): RuntimeFailure {
  const full = normaliseReference(reference);
  return new RuntimeFailure(
    "CRI_NOT_FOUND",
    `failed to pull and unpack image "${full}": failed to resolve reference "${full}": ${full}: not found`,
  );
}

function copyOf(image: Image): Image {
  return { ...image, repoTags: [...image.repoTags], repoDigests: [...image.repoDigests] };
}

/** Looks like a SHA-256 and depends on the text only. */
export function digestOf(text: string): string {
  let digest = "";
  for (let word = 0; word < 8; word++) {
    let hash = 0x811c9dc5 ^ (word * 0x9e3779b1);
    for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
    hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
    digest += ((hash ^ (hash >>> 13)) >>> 0).toString(16).padStart(8, "0");
  }
  return `sha256:${digest}`;
}
