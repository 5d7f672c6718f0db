// SPDX-License-Identifier: Apache-2.0

/** What plans of image GC are made from, and what they are. */
import type { FilesystemFigures } from "../ports.ts";
import type { FilesystemUsageFacts } from "./compute-usage.ts";
import type { ImageNames } from "./image-names.ts";
import type { ImageLayer } from "./layer-account.ts";

/** An image as the runtime lists it. */
export interface GcImage extends ImageNames {
  readonly sizeBytes: number;
  /** The runtime's own mark; containerd: label io.cri-containerd.pinned. */
  readonly pinned: boolean;
  /** Of the image's configuration; only known when a keep rule asks for one. */
  readonly labels?: Readonly<Record<string, string>>;
}

/** What is remembered of an image. Monotonic milliseconds. */
export interface ImageRecord {
  readonly firstDetectedAt: number;
  /** Undefined: never seen in use. */
  readonly lastUsedAt: number | undefined;
  /** This agent pulled or imported it. */
  readonly ours: boolean;
}

/** A container that uses an image. */
export interface ImageUser {
  readonly containerId: string;
  /** `NAMESPACE/POD/CONTAINER`, or what of that is known. */
  readonly name: string;
  /** As its image, or as a volume. */
  readonly how: "image" | "mount";
}

/** What a plan is made from. */
export interface ImageGcFacts {
  readonly images: readonly GcImage[];
  /** By image id; containers of every owner, dead ones too. */
  readonly users: ReadonlyMap<string, readonly ImageUser[]>;
  readonly records: ReadonlyMap<string, ImageRecord>;
  /** Ids of images that sandboxes are made of, which no list of containers names. */
  readonly sandboxImages: ReadonlySet<string>;
  /** By image id: who is about to use it. */
  readonly held: ReadonlyMap<string, string>;
  /** Containers whose volumes could not be read: an image that was never a container's may be one of them. */
  readonly unreadableUsers: number;
  /** Undefined when its figures cannot be had: then nothing goes, but for `unused`. */
  readonly filesystem: FilesystemFigures | undefined;
  /** The start of the pass. */
  readonly now: number;
  /** By image id. With it, what several images share counts once; without it reported sizes are added up, as the kubelet does. */
  readonly layers?: ReadonlyMap<string, readonly ImageLayer[]>;
  /** What all images take unpacked, beside the sizes that are reported, as far as it can be told from what containers wrote; 0 or undefined when that is not known. */
  readonly unpackedBytes?: number;
}

/**
 * Why an image goes or stays. Of those that stay, the first that holds is given: in-use, held, sandbox-image, pinned, keep-rule, not-ours,
 * unknown-user, then just-used, too-young, frees-nothing, then no-figures, enough-space, enough-freed. Those that go: max-age, space, unused.
 */
export type ImageRule =
  | "in-use"
  | "held"
  | "sandbox-image"
  | "pinned"
  | "keep-rule"
  | "not-ours"
  | "unknown-user"
  | "just-used"
  | "too-young"
  | "frees-nothing"
  | "no-figures"
  | "enough-space"
  | "enough-freed"
  | "max-age"
  | "space"
  | "unused";

/** One line of a plan. */
export interface ImageGcEntry {
  readonly image: GcImage;
  readonly verdict: "remove" | "keep";
  readonly rule: ImageRule;
  readonly reason: string;
  /** May go; one that stays all the same takes the place of one before it that cannot be removed. */
  readonly candidate: boolean;
  readonly users: readonly ImageUser[];
  readonly lastUsedAgoMs: number | undefined;
  readonly firstSeenAgoMs: number;
  /** What its removal would free after those before it. */
  readonly freesBytes: number;
}

/** What is to be reached: the low threshold, or every unused image gone (as eviction wants). */
export type ImageGcGoal = "thresholds" | "unused";

/** What would be done. */
export interface ImageGcPlan {
  readonly goal: ImageGcGoal;
  /** Before the plan; undefined when the figures are not known. */
  readonly usage: FilesystemUsageFacts | undefined;
  /** Those that go, in their order; then those that may; then the rest, biggest first. */
  readonly entries: readonly ImageGcEntry[];
  /** What the space pass is to free; for `unused` without limit. */
  readonly wantedBytes: number;
  readonly wouldFreeBytes: number;
  /** About what that comes to on the disk, where images lie packed and unpacked; undefined when that is not known. */
  readonly wouldFreeOnDiskBytes: number | undefined;
  /** What each byte that is freed counts for: 1, unless the policy counts what images take on the disk. */
  readonly countsPerByte: number;
  /** What is missing to the low threshold after that. */
  readonly shortBytes: number;
}
