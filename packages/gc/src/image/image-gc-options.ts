// SPDX-License-Identifier: Apache-2.0

import type { Publisher } from "@holdfast/bus";
import type { Clock } from "@holdfast/core/clock";
import type { HoldfastError } from "@holdfast/core/errors";
import type { Logger } from "@holdfast/core/log";
import type { Metrics } from "@holdfast/core/metrics";
import type { GcCheckpoint, ImageGcRuntime, ReadBlob, ReadFilesystem } from "../ports.ts";
import type { ImageGcGoal, ImageGcPlan } from "./image-gc-facts.ts";
import type { ImageGcPolicy } from "./image-gc-policy.ts";
import type { ReadImageLayers } from "./image-layers.ts";
import type { ImageLocks } from "./image-locks.ts";
import type { RemovalOutcome } from "./image-remover.ts";

/** How an `ImageGcManager` is made. Milliseconds. */
export interface ImageGcManagerOptions {
  readonly runtime: ImageGcRuntime;
  readonly clock: Clock;
  /** `readNodeFilesystem` on a real machine. */
  readonly filesystem: ReadFilesystem;
  /** Default: the kubelet's, but only images of ours go. */
  readonly policy?: Partial<ImageGcPolicy>;
  /** Shared with what pulls images and creates containers. Default: one of its own. */
  readonly locks?: ImageLocks;
  /** Where ages are kept. Default: memory. */
  readonly checkpoint?: GcCheckpoint;
  /** Images that sandboxes are made of, besides what the runtime tells. Default none. */
  readonly sandboxImages?: readonly string[];
  /** Whether containers are asked, once each, which images they mount as volumes. Default true. */
  readonly imageVolumes?: boolean;
  /**
   * Layers of images: what several share counts once. Default: from what the runtime tells, asked once for each image when something is to go.
   * `"sizes"`: each image counts with its size, as the kubelet does it.
   */
  readonly layers?: ReadImageLayers | "sizes";
  /** `readContainerdBlob` on a real machine: sizes of layers from their manifests. Default: they are reckoned from the images' sizes. */
  readonly readBlob?: ReadBlob;
  /** Who holds the images' file system, in one line; asked when too little could be freed. Must not reject. `DiskLedger.heldBy` fits. Default: only images are told of. */
  readonly diskHeldBy?: () => Promise<string | undefined>;
  /** From the end of one pass to the next. Default 300 000. kubelet: ImageGCPeriod. */
  readonly periodMs?: number;
  /** The node, for events. */
  readonly nodeName?: string;
  readonly publish?: Publisher;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

/** What a pass does, as it does it. */
export type ImageGcStep =
  | { readonly kind: "plan"; readonly plan: ImageGcPlan }
  | {
      readonly kind: "removed";
      readonly imageId: string;
      readonly name: string;
      /** What the plan counted for it. */
      readonly freedBytes: number;
    }
  | {
      readonly kind: "spared";
      readonly imageId: string;
      readonly name: string;
      readonly why: string;
      readonly failed: boolean;
    };

/** What somebody who asks for a plan or a pass may wish. */
export interface ImageGcWish {
  /** Default `thresholds`. */
  readonly goal?: ImageGcGoal;
  /** Down to this usage of the image file system, whatever the thresholds are. 0 to 100. For `thresholds` only. */
  readonly targetPercent?: number;
  readonly signal?: AbortSignal;
}

/** How a pass is made. */
export interface ImageGcPassOptions extends Omit<ImageGcWish, "goal"> {
  readonly causes?: readonly number[];
  /** A person who asked for it; shown in `gc/ImageGcStarted`. */
  readonly by?: string;
  /** Called with the plan before anything is removed, then with each outcome. Must not throw. */
  readonly onStep?: (step: ImageGcStep) => void;
}

/** What came of a pass. */
export interface ImageGcResult extends RemovalOutcome {
  readonly plan: ImageGcPlan | undefined;
  /** Undefined: the goal was reached. */
  readonly error: HoldfastError | undefined;
  /** When too little could be freed: who holds the space. */
  readonly heldBy?: string;
}
