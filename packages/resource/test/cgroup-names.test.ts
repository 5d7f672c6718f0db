// SPDX-License-Identifier: Apache-2.0
import type { QosClass } from "@holdfast/core/pod-types";
import { podCgroupPath, podUidOfCgroup, qosCgroupPath } from "@holdfast/resource";
import type { CgroupDriver } from "@holdfast/resource";
import { expect, test } from "vitest";

test.each<[driver: CgroupDriver, root: string, qos: QosClass, path: string]>([
  ["cgroupfs", "/", "Guaranteed", "/kubepods/podu-1"],
  ["cgroupfs", "/node", "Burstable", "/node/kubepods/burstable/podu-1"],
  ["systemd", "/", "Guaranteed", "/kubepods.slice/kubepods-podu_1.slice"],
  [
    "systemd",
    "/",
    "BestEffort",
    "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podu_1.slice",
  ],
  ["systemd", "/node", "Guaranteed", "/node.slice/node-kubepods.slice/node-kubepods-podu_1.slice"],
  ["systemd", "/node.slice", "Guaranteed", "/node.slice/node-kubepods.slice/node-kubepods-podu_1.slice"],
  [
    "systemd",
    "/a-b/c",
    "Guaranteed",
    "/a_b.slice/a_b-c.slice/a_b-c-kubepods.slice/a_b-c-kubepods-podu_1.slice",
  ],
])("%s below %s, %s: %s", (driver, root, qos, path) => {
  expect(podCgroupPath(driver, root, qos, "u-1")).toBe(path);
  const parent = path.slice(0, path.lastIndexOf("/"));
  expect(qosCgroupPath(driver, root, qos)).toBe(parent);
  expect(podUidOfCgroup(driver, path.slice(parent.length + 1))).toBe("u-1");
  expect(podUidOfCgroup(driver, parent.slice(parent.lastIndexOf("/") + 1))).toBeUndefined();
});

test.each(["a/b", "..", "", "a_b", "a.b"])("a UID %j cannot name a cgroup", (uid) => {
  expect(() => podCgroupPath("cgroupfs", "/", "Guaranteed", uid)).toThrow(TypeError);
});
