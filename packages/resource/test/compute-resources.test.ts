// SPDX-License-Identifier: Apache-2.0
import type { Container, Pod } from "@holdfast/core/pod-types";
import {
  computeContainerResources,
  computeOomScoreAdj,
  computePodCgroup,
  milliCpuToQuota,
  milliCpuToShares,
  podCgroupPath,
  podTotal,
  podUidOfCgroup,
  qosCgroupPath,
  sharesToWeight,
} from "@holdfast/resource";
import type { ResourceSettings } from "@holdfast/resource";
import fc from "fast-check";
import { expect, test } from "vitest";

const settings: ResourceSettings = {
  cpuCFSQuota: true,
  cpuCFSQuotaPeriodMs: 100,
  podPidsLimit: -1,
  memoryBytes: 8_000_000_000,
};

function container(
  requests: Record<string, string | number> = {},
  limits: Record<string, string | number> = {},
  extra: Partial<Container> = {},
): Container {
  return { name: "c", image: "i", resources: { requests, limits }, ...extra };
}
function pod(
  containers: Container[],
  initContainers: Container[] = [],
  extra: Partial<Pod["spec"]> = {},
): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p", namespace: "default", uid: "u" },
    spec: { containers, initContainers, ...extra },
  };
}

// kubelet: TestMilliCPUToShares, TestMilliCPUToQuota
test.each([
  [0, 2],
  [1, 2],
  [2, 2],
  [100, 102],
  [1000, 1024],
  [1_000_000, 262_144],
])("%i milli are %i shares", (milli, shares) => expect(milliCpuToShares(milli)).toBe(shares));
test.each([
  [0, 0],
  [5, 1000],
  [9, 1000],
  [10, 1000],
  [200, 20_000],
  [1500, 150_000],
])("%i milli are a quota of %i us", (milli, quota) => expect(milliCpuToQuota(milli, 100_000)).toBe(quota));
test.each([
  [2, 1],
  [28, 1],
  [1024, 39],
  [262_144, 10_000],
  [999_999, 10_000],
])("%i shares are weight %i", (shares, weight) => expect(sharesToWeight(shares)).toBe(weight));

test("property: shares and weight never leave the kernel's bounds", () => {
  fc.assert(
    fc.property(fc.nat(10_000_000), (milli) => {
      const shares = milliCpuToShares(milli);
      expect(
        shares >= 2 && shares <= 262_144 && sharesToWeight(shares) >= 1 && sharesToWeight(shares) <= 10_000,
      ).toBe(true);
    }),
  );
});

test("the pod's total is the larger of the running sum and the largest init step, sidecars included", () => {
  const sidecar = container({ cpu: "100m" }, {}, { restartPolicy: "Always" });
  const spec = pod(
    [container({ cpu: "200m" }), container({ cpu: "300m" })],
    [sidecar, container({ cpu: "1" })],
  ).spec;
  expect(podTotal(spec, "requests", "cpu")).toBe(1100);
  expect(podTotal({ ...spec, initContainers: [sidecar] }, "requests", "cpu")).toBe(600);
});

// kubelet: TestResourceConfigForPod
test.each([
  ["best effort", pod([container()]), { cpuShares: 2, cpuQuotaUs: undefined, memoryLimitBytes: undefined }],
  [
    "burstable, requests only",
    pod([container({ cpu: "100m", memory: "100Mi" })]),
    { cpuShares: 102, cpuQuotaUs: undefined, memoryLimitBytes: undefined },
  ],
  [
    "burstable, all limited",
    pod([container({ cpu: "100m", memory: "100Mi" }, { cpu: "200m", memory: "200Mi" })]),
    { cpuShares: 102, cpuQuotaUs: 20_000, memoryLimitBytes: 209_715_200 },
  ],
  [
    "burstable, one without limits",
    pod([container({}, { cpu: "200m", memory: "200Mi" }), container({ cpu: "1" })]),
    { cpuShares: 1228, cpuQuotaUs: undefined, memoryLimitBytes: undefined },
  ],
  [
    "guaranteed",
    pod([container({}, { cpu: "100m", memory: "100Mi" })]),
    { cpuShares: 102, cpuQuotaUs: 10_000, memoryLimitBytes: 104_857_600 },
  ],
])("pod cgroup: %s", (_name, aPod, expected) =>
  expect(computePodCgroup(aPod.spec, settings)).toMatchObject(expected),
);

test("quota enforcement can be off, and a pid limit is written when it is set", () => {
  const values = computePodCgroup(pod([container({}, { cpu: "1", memory: "1Gi" })]).spec, {
    ...settings,
    cpuCFSQuota: false,
    podPidsLimit: 64,
  });
  expect([values.cpuQuotaUs, values.pidsLimit]).toEqual([-1, 64]);
});

// kubelet: TestGetContainerOOMScoreAdjust
const half = settings.memoryBytes / 2;
const eighth = settings.memoryBytes / 8;
const bigSidecar = container({ memory: half }, {}, { restartPolicy: "Always" });
test.each<[string, Pod, Container | undefined, number]>([
  ["best effort", pod([container()]), undefined, 1000],
  ["guaranteed", pod([container({}, { cpu: "1", memory: "1Gi" })]), undefined, -997],
  ["cpu limits only", pod([container({}, { cpu: "1" })]), undefined, 999],
  ["half of the machine", pod([container({ memory: half })]), undefined, 500],
  ["nearly all of it", pod([container({ memory: settings.memoryBytes - 1 })]), undefined, 3],
  [
    "node critical",
    pod([container()], [], { priority: 2_000_001_000, priorityClassName: "system-node-critical" }),
    undefined,
    -997,
  ],
  [
    "cluster critical",
    pod([container()], [], { priority: 2_000_000_000, priorityClassName: "system-cluster-critical" }),
    undefined,
    1000,
  ],
  ["big sidecar", pod([container({ memory: eighth })], [bigSidecar]), bigSidecar, 500],
])("oom_score_adj: %s", (_name, aPod, of, score) =>
  expect(computeOomScoreAdj(aPod, of ?? (aPod.spec.containers[0] as Container), settings.memoryBytes)).toBe(
    score,
  ),
);

test("container resources as the CRI takes them", () => {
  const aPod = pod([container({ cpu: "100m" }, { cpu: "500m", memory: "64Mi" })]);
  const of = aPod.spec.containers[0] as Container;
  expect(computeContainerResources(aPod, of, settings, 1)).toMatchObject({
    cpuShares: 102,
    cpuQuota: 50_000,
    cpuPeriod: 100_000,
    memoryLimitInBytes: 67_108_864,
    unified: {},
  });
  expect(computeContainerResources(aPod, of, settings, 2).unified).toEqual({ "memory.oom.group": "1" });
});

// kubelet: TestCgroupNameToSystemdBasename
test("cgroup names of both drivers, and back", () => {
  expect(podCgroupPath("cgroupfs", "/", "Burstable", "a-b")).toBe("/kubepods/burstable/poda-b");
  expect(podCgroupPath("cgroupfs", "/hf", "Guaranteed", "a-b")).toBe("/hf/kubepods/poda-b");
  expect(podCgroupPath("systemd", "/", "BestEffort", "a-b")).toBe(
    "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-poda_b.slice",
  );
  expect(qosCgroupPath("systemd", "/", "Guaranteed")).toBe("/kubepods.slice");
  expect(podUidOfCgroup("cgroupfs", "poda-b")).toBe("a-b");
  expect(podUidOfCgroup("systemd", "kubepods-besteffort-poda_b.slice")).toBe("a-b");
  expect(podUidOfCgroup("cgroupfs", "burstable")).toBeUndefined();
  expect(() => podCgroupPath("cgroupfs", "/", "Burstable", "../../x")).toThrow(/cannot name a cgroup/);
});
