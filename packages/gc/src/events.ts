// SPDX-License-Identifier: Apache-2.0

/**
 * Events of garbage collection: an intent before each removal, its outcome after. Each removal names the pass that made it as its cause. Where
 * the kubelet records a Kubernetes event, the payload carries that event's type, reason and message.
 */
import { defineEvent } from "@holdfast/bus";
import type { EventType } from "@holdfast/bus";

/** What a Kubernetes event on the node shows. */
export interface GcEventText {
  readonly eventType: "Normal" | "Warning";
  readonly reason: "ImageGCFailed" | "FreeDiskSpaceFailed" | "InvalidDiskCapacity" | "ContainerGCFailed";
  readonly message: string;
  /** More than the kubelet says: who holds the space. "" for nothing to add. */
  readonly detail: string;
}

/** A pass of image GC that has something to remove. */
export interface ImageGcStartedData {
  readonly goal: "thresholds" | "unused";
  readonly images: number;
  /** 0 to 100; undefined when the goal does not depend on it. */
  readonly usagePercent: number | undefined;
  readonly toFreeBytes: number | undefined;
  /** A person who asked for it; undefined: nobody did. */
  readonly by: string | undefined;
}

/** One image and why it goes. */
export interface ImageRemovalData {
  readonly imageId: string;
  readonly names: readonly string[];
  readonly sizeBytes: number;
  readonly rule: string;
  readonly reason: string;
}

/** What a removed container or sandbox was, and why it goes. */
export interface DeadRemovalData {
  readonly id: string;
  readonly rule: string;
  readonly reason: string;
}

/** Log files that were removed or rotated. */
export interface LogRemovalData {
  readonly path: string;
  readonly bytes: number;
  readonly rule: string;
  readonly reason: string;
}

/** Image GC begins to remove. The cause of every removal of its pass. */
export const ImageGcStarted: EventType<ImageGcStartedData, "gc/ImageGcStarted"> =
  defineEvent<ImageGcStartedData>()("gc/ImageGcStarted");

/** An image will be removed: nobody used it a moment ago, and nobody of ours can begin to until it is gone. */
export const ImageRemoving: EventType<ImageRemovalData, "gc/ImageRemoving"> =
  defineEvent<ImageRemovalData>()("gc/ImageRemoving");

/** An image is gone. */
export const ImageRemoved: EventType<ImageRemovalData, "gc/ImageRemoved"> =
  defineEvent<ImageRemovalData>()("gc/ImageRemoved");

/** An image stays, although the plan said otherwise: somebody began to use it, or it could not be removed. */
export const ImageSpared: EventType<
  { readonly imageId: string; readonly why: string; readonly failed: boolean },
  "gc/ImageSpared"
> = defineEvent<{ readonly imageId: string; readonly why: string; readonly failed: boolean }>()(
  "gc/ImageSpared",
);

/** Somebody else created a container with an image in the very moment in which it was removed. */
export const RemovedImageUsed: EventType<
  { readonly imageId: string; readonly containerId: string; readonly message: string },
  "gc/RemovedImageUsed"
> = defineEvent<{ readonly imageId: string; readonly containerId: string; readonly message: string }>()(
  "gc/RemovedImageUsed",
);

/** kubelet: ImageGCFailed, FreeDiskSpaceFailed, InvalidDiskCapacity. */
export const ImageGcFailed: EventType<GcEventText, "gc/ImageGcFailed"> =
  defineEvent<GcEventText>()("gc/ImageGcFailed");

/** Container GC begins to remove. The cause of every removal of its pass. */
export const ContainerGcStarted: EventType<
  { readonly containers: number; readonly sandboxes: number; readonly logFolders: number },
  "gc/ContainerGcStarted"
> = defineEvent<{
  readonly containers: number;
  readonly sandboxes: number;
  readonly logFolders: number;
}>()("gc/ContainerGcStarted");

/** A dead container will be removed. */
export const DeadContainerRemoving: EventType<DeadRemovalData, "gc/DeadContainerRemoving"> =
  defineEvent<DeadRemovalData>()("gc/DeadContainerRemoving");

/** A dead container is gone. */
export const DeadContainerRemoved: EventType<DeadRemovalData, "gc/DeadContainerRemoved"> =
  defineEvent<DeadRemovalData>()("gc/DeadContainerRemoved");

/** A dead sandbox will be stopped once more and removed. */
export const DeadSandboxRemoving: EventType<DeadRemovalData, "gc/DeadSandboxRemoving"> =
  defineEvent<DeadRemovalData>()("gc/DeadSandboxRemoving");

/** A dead sandbox is gone. */
export const DeadSandboxRemoved: EventType<DeadRemovalData, "gc/DeadSandboxRemoved"> =
  defineEvent<DeadRemovalData>()("gc/DeadSandboxRemoved");

/** kubelet: ContainerGCFailed. */
export const ContainerGcFailed: EventType<GcEventText, "gc/ContainerGcFailed"> =
  defineEvent<GcEventText>()("gc/ContainerGcFailed");

/** Logs were removed: of a pod that is gone, or of old attempts. */
export const LogsRemoved: EventType<LogRemovalData, "gc/LogsRemoved"> =
  defineEvent<LogRemovalData>()("gc/LogsRemoved");

/** A log was moved aside and its container writes to a new file. */
export const LogRotated: EventType<
  { readonly path: string; readonly rotatedTo: string; readonly bytes: number },
  "gc/LogRotated"
> = defineEvent<{ readonly path: string; readonly rotatedTo: string; readonly bytes: number }>()(
  "gc/LogRotated",
);

/** A rotation did not come off. Told once per log until one does. */
export const LogRotationFailed: EventType<
  { readonly path: string; readonly error: string },
  "gc/LogRotationFailed"
> = defineEvent<{ readonly path: string; readonly error: string }>()("gc/LogRotationFailed");
