// SPDX-License-Identifier: Apache-2.0

import { HoldfastError } from "@holdfast/core/errors";
import type { Pod, Volume } from "@holdfast/core/pod-types";
import { allContainers } from "@holdfast/core/pod";
import { wholeValue } from "@holdfast/core/quantity";
import type { VolumeHost } from "./ports.ts";

/** Where a volume's files live below the pod's folder. kubelet: GetPodVolumeDir with plugin kubernetes.io/empty-dir. */
export const EMPTY_DIR_FOLDER = "volumes/kubernetes.io~empty-dir";

/**
 * Size of an in-memory emptyDir in bytes: the smallest of what is set among the node's memory, the pod's memory limit (only if every
 * container has one) and sizeLimit. kubelet: emptyDir.calculateEmptyDirMemorySize.
 */
export function computeEmptyDirMemorySize(pod: Pod, volume: Volume, nodeMemoryBytes: number): number {
  const limits = allContainers(pod.spec).map((container) => container.resources?.limits?.["memory"]);
  const podLimit = limits.every((limit) => limit !== undefined)
    ? limits.reduce<number>((sum, limit) => sum + wholeValue(limit ?? 0), 0)
    : 0;
  const sizeLimit = volume.emptyDir?.sizeLimit === undefined ? 0 : wholeValue(volume.emptyDir.sizeLimit);
  return Math.min(...[nodeMemoryBytes, podLimit, sizeLimit].filter((size) => size > 0));
}

/** Makes an emptyDir, or finds it as it was: contents live as long as the pod. kubelet: emptyDir.SetUpAt. */
export async function setUpEmptyDir(
  host: VolumeHost,
  pod: Pod,
  volume: Volume,
  podDir: string,
  nodeMemoryBytes: number,
): Promise<string> {
  const path = `${podDir}/${EMPTY_DIR_FOLDER}/${volume.name}`;
  const medium = volume.emptyDir?.medium ?? "";
  if (medium !== "" && medium !== "Memory")
    throw new HoldfastError(
      "VOLUME_EMPTY_DIR",
      "bad-input",
      `emptyDir medium ${String(medium)} is not supported`,
    );
  if ((await host.kindOf(path)) !== "directory") await host.makeFolder(path, 0o777);
  if (medium === "Memory" && !(await host.isMountPoint(path)))
    await host.mountTmpfs(path, computeEmptyDirMemorySize(pod, volume, nodeMemoryBytes));
  const fsGroup = pod.spec.securityContext?.fsGroup;
  if (fsGroup !== undefined) await host.setGroup(path, fsGroup);
  return path;
}

/** Unmounts and removes every emptyDir under the pod's folder. */
export async function tearDownEmptyDirs(host: VolumeHost, podDir: string): Promise<void> {
  const folder = `${podDir}/${EMPTY_DIR_FOLDER}`;
  for (const name of await host.list(folder)) {
    const path = `${folder}/${name}`;
    if (await host.isMountPoint(path)) await host.unmount(path);
    await host.removeTree(path);
  }
  await host.removeTree(`${podDir}/volumes`);
}
