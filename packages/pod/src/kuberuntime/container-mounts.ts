// SPDX-License-Identifier: Apache-2.0

/** Pure: mounts of a container. kubelet: makeMounts. */
import type { DeepPartial, Mount } from "@holdfast/cri";
import { MountPropagation } from "@holdfast/cri";
import { HoldfastError } from "@holdfast/core/errors";
import type { Container, VolumeMount } from "@holdfast/core/pod-types";
import type { MountedVolume } from "../ports.ts";
import { terminationMessagePath } from "./container-labels.ts";
import { ETC_HOSTS_PATH } from "./etc-hosts.ts";

/** Files that the manager itself puts into a container; undefined for none. */
export interface ManagedFiles {
  readonly etcHosts: string | undefined;
  readonly terminationLog: string | undefined;
}

/** Volumes in spec order, then /etc/hosts, then the termination log. Throws `bad-input` (POD_MOUNT). */
export function containerMounts(
  container: Container,
  volumes: ReadonlyMap<string, MountedVolume>,
  files: ManagedFiles,
): DeepPartial<Mount>[] {
  const mounts = (container.volumeMounts ?? []).map((mount) => volumeMount(mount, volumes));
  if (files.etcHosts !== undefined)
    mounts.push({ containerPath: ETC_HOSTS_PATH, hostPath: files.etcHosts, selinuxRelabel: true });
  if (files.terminationLog !== undefined) {
    mounts.push({
      containerPath: terminationMessagePath(container),
      hostPath: files.terminationLog,
      selinuxRelabel: true,
    });
  }
  return mounts;
}

/** Whether the manager writes /etc/hosts: not when the container mounts something there itself. */
export function mountsEtcHosts(container: Container): boolean {
  return (container.volumeMounts ?? []).some(({ mountPath }) => mountPath === ETC_HOSTS_PATH);
}

function volumeMount(mount: VolumeMount, volumes: ReadonlyMap<string, MountedVolume>): DeepPartial<Mount> {
  const volume = volumes.get(mount.name);
  const refuse = (message: string): never => {
    throw new HoldfastError("POD_MOUNT", "bad-input", message);
  };
  if (volume === undefined)
    return refuse(`cannot find volume "${mount.name}" to mount into container at ${mount.mountPath}`);
  if (mount.subPath !== undefined && mount.subPath !== "")
    return refuse(`sub-paths of volumes are not supported yet (volume "${mount.name}")`);
  return {
    containerPath: mount.mountPath.startsWith("/") ? mount.mountPath : `/${mount.mountPath}`,
    hostPath: volume.hostPath,
    readonly: mount.readOnly === true || volume.readOnly,
    propagation: propagation(mount.mountPropagation),
  };
}

function propagation(mode: VolumeMount["mountPropagation"]): MountPropagation {
  switch (mode) {
    case "HostToContainer":
      return MountPropagation.PROPAGATION_HOST_TO_CONTAINER;
    case "Bidirectional":
      return MountPropagation.PROPAGATION_BIDIRECTIONAL;
    case "None":
    case undefined:
      return MountPropagation.PROPAGATION_PRIVATE;
  }
}
