// SPDX-License-Identifier: Apache-2.0

import { expect, test } from "vitest";
import { parseCgroupOwner } from "../src/cgroup-path.ts";
import { parseOomKillCount } from "../src/oom-counter.ts";
import { computeOomGroup } from "../src/oom-group.ts";
import { ID_A, ID_B } from "./fixtures.ts";

const UID = "0f2b7c1e-5d55-4d0c-9d2f-3d5c1f2a9b10";
const SLICE = `kubepods-burstable-pod${UID.replaceAll("-", "_")}.slice`;

test.each([
  ["v1 or v2, cgroupfs, Guaranteed", `/kubepods/pod${UID}/${ID_A}`, UID, ID_A],
  ["cgroupfs below a root", `/hf/kubepods/burstable/pod${UID}/${ID_A}`, UID, ID_A],
  ["systemd", `/kubepods.slice/kubepods-burstable.slice/${SLICE}/cri-containerd-${ID_A}.scope`, UID, ID_A],
  [
    "systemd below a root",
    `/kubelet.slice/kubelet-kubepods.slice/kubelet-${SLICE}/cri-containerd-${ID_A}.scope`,
    UID,
    ID_A,
  ],
  ["CRI-O", `/kubepods.slice/kubepods-burstable.slice/${SLICE}/crio-${ID_A}.scope/container`, UID, ID_A],
  [
    "CRI-O's monitor",
    `/kubepods.slice/kubepods-burstable.slice/${SLICE}/crio-conmon-${ID_A}.scope`,
    UID,
    undefined,
  ],
  ["the pod itself", `/kubepods/besteffort/pod${UID}`, UID, undefined],
  ["below the container", `/kubepods/pod${UID}/${ID_A}/init.scope`, UID, ID_A],
  ["nested pods: the outer one", `/kubepods/pod${UID}/${ID_A}/kubepods/podother/${ID_B}`, UID, ID_A],
  ["docker", `/docker/${ID_A}`, undefined, ID_A],
  ["containerd without kube", `/k8s.io/${ID_A}`, undefined, ID_A],
  ["a service", "/system.slice/ssh.service", undefined, undefined],
  ["a folder that is called so", "/user/podcast/x", undefined, undefined],
  ["the root", "/", undefined, undefined],
])("cgroup path: %s", (_, path, podUid, containerId) => {
  expect(parseCgroupOwner(path)).toEqual({ podUid, containerId });
});

test("the counters of v1 and v2 are read, and an old kernel has none", () => {
  expect(parseOomKillCount("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n")).toBe(1);
  expect(parseOomKillCount("low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 1\n")).toBe(2);
  expect(parseOomKillCount("oom_kill_disable 0\nunder_oom 0\n")).toBeUndefined();
});

test("containers die as a whole on v2, unless the node or the container says otherwise", () => {
  const group = { "memory.oom.group": "1" };
  expect(computeOomGroup({ cgroupVersion: 2 })).toEqual(group);
  expect(computeOomGroup({ cgroupVersion: 2, singleProcessOOMKill: true })).toEqual({});
  expect(computeOomGroup({ cgroupVersion: 2, singleProcessOOMKill: true, own: false })).toEqual(group);
  expect(computeOomGroup({ cgroupVersion: 2, own: true })).toEqual({});
  expect(computeOomGroup({ cgroupVersion: 1, singleProcessOOMKill: false })).toEqual({});
});
