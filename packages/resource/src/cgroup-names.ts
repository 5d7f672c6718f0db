// SPDX-License-Identifier: Apache-2.0

import type { QosClass } from "@holdfast/core/pod-types";

/** Who makes cgroups: the agent and runc themselves, or systemd for them. kubelet: cgroupDriver. */
export type CgroupDriver = "cgroupfs" | "systemd";

const CLASS_NAME: Readonly<Record<QosClass, string | undefined>> = {
  Guaranteed: undefined,
  Burstable: "burstable",
  BestEffort: "besteffort",
};

/** What may stand in a path. No `_`: systemd's names spell a dash so, and the UID must be read back from the name. */
const SAFE_UID = /^[A-Za-z0-9-]{1,128}$/;

/** Path of the QoS class cgroup below `root`; the Guaranteed class is `kubepods` itself. kubelet: CgroupName of the QoS containers. */
export function qosCgroupPath(driver: CgroupDriver, root: string, qos: QosClass): string {
  return join(driver, root, ["kubepods", ...(CLASS_NAME[qos] === undefined ? [] : [CLASS_NAME[qos]])]);
}

/** Path of a pod's cgroup: also what is given to the runtime as `cgroup_parent`. kubelet: GetPodContainerName. */
export function podCgroupPath(driver: CgroupDriver, root: string, qos: QosClass, uid: string): string {
  if (!SAFE_UID.test(uid)) throw new TypeError(`pod UID ${JSON.stringify(uid)} cannot name a cgroup`);
  const parts = ["kubepods", ...(CLASS_NAME[qos] === undefined ? [] : [CLASS_NAME[qos]]), `pod${uid}`];
  return join(driver, root, parts);
}

/** The pod's UID from the last component of its cgroup, or undefined when it is no pod's. */
export function podUidOfCgroup(driver: CgroupDriver, name: string): string | undefined {
  const match = driver === "systemd" ? /(?:^|-)pod([^/]+)\.slice$/.exec(name) : /^pod(.+)$/.exec(name);
  const uid = match?.[1];
  if (uid === undefined) return undefined;
  return driver === "systemd" ? uid.replaceAll("_", "-") : uid;
}

/** systemd spells the way down into each name: kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podX.slice. */
function sliceParts(parts: readonly string[]): string[] {
  const escaped = parts.map((part) => part.replaceAll("-", "_"));
  return escaped.map((_, index) => `${escaped.slice(0, index + 1).join("-")}.slice`);
}

/** systemd has one name for the whole way, so the root's components become slices too. kubelet: ParseCgroupfsToCgroupName, ToSystemd. */
function join(driver: CgroupDriver, root: string, parts: readonly string[]): string {
  const above = root.split("/").filter((part) => part !== "");
  if (driver === "cgroupfs") return `/${[...above, ...parts].join("/")}`;
  return `/${sliceParts([...above.map((part) => part.replace(/\.slice$/, "")), ...parts]).join("/")}`;
}
