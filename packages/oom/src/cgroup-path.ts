// SPDX-License-Identifier: Apache-2.0

/** What a cgroup's path says about who lives in it. */
export interface CgroupOwner {
  /** Undefined for what is no pod's: `/docker/ID`, `/system.slice/x.service`. */
  readonly podUid: string | undefined;
  /** Undefined for a pod's own cgroup and what is above it. */
  readonly containerId: string | undefined;
}

const POD_CGROUPFS = /^pod([A-Za-z0-9-]{1,128})$/;
// systemd spells the way down into the name: kubepods-burstable-podUID.slice, with `_` for the UID's dashes.
const POD_SYSTEMD = /^(?:[^/]*-)?kubepods(?:-burstable|-besteffort)?-pod([A-Za-z0-9_]{1,128})\.slice$/;
const KUBEPODS = /^(?:.*-)?kubepods(?:\.slice)?$/;
const QOS = /^(?:burstable|besteffort)$/;
const ID = /^[0-9a-f]{64}$/;
// cri-containerd-ID.scope, crio-ID.scope, docker-ID.scope; crio-conmon-ID.scope is the monitor's, not the container's.
const ID_SCOPE = /^(?:cri-containerd|crio|docker|libpod)-([0-9a-f]{64})\.scope$/;

/**
 * Reads the pod's UID and the container's id from a cgroup path: v1 and v2, the drivers cgroupfs and systemd, below any root. The outermost
 * pod and container count: what runs nested in a container is the container's. kubelet: GetPodCgroupNameSuffix, ParseSystemdToCgroupName.
 */
export function parseCgroupOwner(path: string): CgroupOwner {
  const parts = path.split("/").filter((part) => part !== "");
  for (const [index, part] of parts.entries()) {
    const podUid = podUidAt(parts, index, part);
    if (podUid !== undefined) return { podUid, containerId: containerIdIn(parts[index + 1] ?? "") };
  }
  // Outside of pods, the innermost name that is an id: kind's nodes are containers themselves.
  const containerId = parts.map(containerIdIn).findLast((id) => id !== undefined);
  return { podUid: undefined, containerId };
}

function podUidAt(parts: readonly string[], index: number, part: string): string | undefined {
  const systemd = POD_SYSTEMD.exec(part)?.[1];
  if (systemd !== undefined) return systemd.replaceAll("_", "-");
  const cgroupfs = POD_CGROUPFS.exec(part)?.[1];
  if (cgroupfs === undefined) return undefined;
  const above = parts[index - 1] ?? "";
  const parent = QOS.test(above) ? (parts[index - 2] ?? "") : above;
  return KUBEPODS.test(parent) ? cgroupfs : undefined;
}

function containerIdIn(part: string): string | undefined {
  return ID.test(part) ? part : ID_SCOPE.exec(part)?.[1];
}
