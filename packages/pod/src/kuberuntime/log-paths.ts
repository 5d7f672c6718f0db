// SPDX-License-Identifier: Apache-2.0

/** Pure: where logs of pods and containers lie. kubelet: kuberuntime/legacy.go, helpers.go. */
import type { Pod } from "@holdfast/core/pod-types";

/** What the names of log folders are made of. */
export type PodName = Pick<Pod["metadata"], "name" | "namespace" | "uid">;

/** `ROOT/NAMESPACE_NAME_UID`. kubelet: BuildPodLogsDirectory. */
export function podLogDirectory(root: string, { name, namespace, uid }: PodName): string {
  return `${root}/${namespace}_${name}_${uid}`;
}

/** Relative to the pod's log folder, as the CRI takes it. kubelet: buildContainerLogsPath. */
export function containerLogPath(container: string, restartCount: number): string {
  return `${container}/${restartCount}.log`;
}

/** The UID in the name of a pod's log folder. kubelet: parsePodUIDFromLogsDirectory. */
export function podUidOfLogDirectory(name: string): string {
  return name.slice(name.lastIndexOf("_") + 1);
}

/** The longest base name of a link, without its ending. */
const MAX_BASE = 251;

/** `ROOT/POD_NAMESPACE_CONTAINER-ID.log`: where log collectors look. kubelet: legacyLogSymlink. */
export function legacyLogLink(root: string, pod: PodName, container: string, containerId: string): string {
  const base = `${pod.name}_${pod.namespace}_${container}-${containerId}`.slice(0, MAX_BASE);
  return `${root}/${base}.log`;
}

/** What the names of all links of a pod, and of others of its name, begin with. */
export function legacyLogPrefix({ name, namespace }: PodName): string {
  return `${name}_${namespace}_`.slice(0, MAX_BASE);
}

/** Whether a file in a container's log folder is of that restart: `3.log`, `3.log.20240102-030405.gz`. */
export function isLogOfRestart(fileName: string, restartCount: number): boolean {
  return fileName.startsWith(`${restartCount}.log`);
}
