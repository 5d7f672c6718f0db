// SPDX-License-Identifier: Apache-2.0

/** What pods use of what is short. Pure. kubelet: podDiskUsage, podMemoryUsage, podLocalEphemeralStorageUsage. */
import type { Pod, Volume } from "@holdfast/core/pod-types";
import type { FilesystemLayout } from "./parse-thresholds.ts";
import type { FsFigures, PodFigures } from "./ports.ts";
import { filesystemOf } from "./signals.ts";
import type { Signal } from "./signals.ts";

/** Parts of a pod's storage. kubelet: fsStatsType. */
export type StoragePart = "root" | "logs" | "localVolumeSource" | "images";

const ALL: readonly StoragePart[] = ["root", "logs", "localVolumeSource"];

/** What counts against the file system that a signal is about. kubelet: buildSignalToRankFunc. */
export function storagePartsOf(signal: Signal, layout: FilesystemLayout): readonly StoragePart[] {
  if (!layout.dedicatedImageFs) return ALL;
  const isImages = filesystemOf(signal) === "imagefs";
  if (layout.splitContainerFs) return isImages ? ["images"] : ALL;
  return isImages || filesystemOf(signal) === "containerfs"
    ? ["root", "images"]
    : ["logs", "localVolumeSource"];
}

/** Bytes or inodes of the parts. kubelet: podDiskUsage. */
export function podStorageUsage(
  figures: PodFigures,
  pod: Pod,
  parts: readonly StoragePart[],
  unit: "bytes" | "inodes",
  volumes: ReadonlySet<string> = localVolumeNames(pod),
): number {
  const of = (fs: FsFigures | undefined): number => (unit === "bytes" ? fs?.usedBytes : fs?.inodesUsed) ?? 0;
  let sum = 0;
  for (const { rootfs, logs } of figures.containers) {
    if (parts.includes("root")) sum += of(rootfs);
    if (parts.includes("logs")) sum += of(logs);
  }
  if (parts.includes("localVolumeSource"))
    for (const volume of figures.volume ?? []) if (volumes.has(volume.name)) sum += of(volume);
  return sum;
}

/** Volumes on this machine that count when pods are compared: hostPath too. kubelet: localVolumeNames. */
export function localVolumeNames(pod: Pod): ReadonlySet<string> {
  return volumeNames(pod, (volume) => volume.hostPath !== undefined || isLocalEphemeral(volume));
}

/** Volumes that are the pod's own ephemeral storage. kubelet: localEphemeralVolumeNames. */
export function localEphemeralVolumeNames(pod: Pod): ReadonlySet<string> {
  return volumeNames(pod, isLocalEphemeral);
}

function volumeNames({ spec }: Pod, counts: (volume: Volume) => boolean): ReadonlySet<string> {
  return new Set((spec.volumes ?? []).filter(counts).map(({ name }) => name));
}

function isLocalEphemeral(volume: Volume): boolean {
  if (volume.emptyDir !== undefined) return volume.emptyDir.medium !== "Memory";
  return "configMap" in volume || "gitRepo" in volume;
}
