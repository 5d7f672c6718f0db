// SPDX-License-Identifier: Apache-2.0

/**
 * What is on the node and belongs to no pod that is known. kubelet: HandlePodCleanups.
 *
 * Only what the runtime's labels or a pod's folder prove to be ours is ever found here. Cgroups, volumes and logs need no search of their own: the folder
 * is made before them and removed after them, so a pod's folder leads to all of them.
 */
import type { Logger } from "@holdfast/core/log";
import type { Pod } from "@holdfast/core/pod-types";
import { errorText } from "@holdfast/core/errors";
import { namelessSpecPod } from "./pod-directories.ts";
import type { PodDirectories } from "./pod-directories.ts";
import type { UnclaimedPod } from "./pod-workers.ts";
import type { OwnedPod, OwnedPods } from "./ports.ts";

/** Names of a pod by its UID, from the runtime and from its folder. */
export interface FoundOnNode {
  readonly runtime: readonly OwnedPod[];
  readonly folders: readonly string[];
}

/** UIDs on the node that `isKnown` does not know, with what the runtime says of them. Pure. */
export function computeUnclaimed(
  found: FoundOnNode,
  isKnown: (uid: string) => boolean,
): ReadonlyMap<string, OwnedPod | undefined> {
  const unclaimed = new Map<string, OwnedPod | undefined>();
  for (const uid of found.folders) if (!isKnown(uid)) unclaimed.set(uid, undefined);
  for (const pod of found.runtime) if (!isKnown(pod.uid)) unclaimed.set(pod.uid, pod);
  return unclaimed;
}

/** Looks at the node. */
export async function findOnNode(
  owned: OwnedPods,
  dirs: PodDirectories,
  signal: AbortSignal,
): Promise<FoundOnNode> {
  const [runtime, folders] = await Promise.all([owned.list(signal), dirs.uids()]);
  return { runtime, folders };
}

/** The pod with its stored manifest, else with what its labels say. */
export async function readUnclaimed(
  uid: string,
  owned: OwnedPod | undefined,
  dirs: PodDirectories,
  logger: Logger,
): Promise<UnclaimedPod> {
  const stored = await storedManifest(uid, dirs, logger);
  return {
    pod: stored ?? namelessSpecPod(owned ?? { uid, name: "", namespace: "" }),
    runtimeOnly: stored === undefined,
    live: owned?.live === true,
  };
}

async function storedManifest(uid: string, dirs: PodDirectories, logger: Logger): Promise<Pod | undefined> {
  try {
    return await dirs.manifest(uid);
  } catch (error) {
    logger.warn("stored manifest cannot be read", { podUid: uid, err: errorText(error) });
    return undefined;
  }
}
