// SPDX-License-Identifier: Apache-2.0
import type { Pod, PodStatus, ResourceRequirements } from "@holdfast/core/pod-types";
import type { AppliedResources, ContainerRecord } from "@holdfast/core/runtime-status";
import { generateApiPodStatus } from "@holdfast/status";
import type { ApiPodStatus, PodStatusInput } from "@holdfast/status";
import { describe, expect, test } from "vitest";
import { container, exited, options, pod, record, runtime } from "./builders.ts";

function generate(of: Pod, more: Partial<PodStatusInput> = {}): ApiPodStatus {
  return generateApiPodStatus({
    ...options(),
    pod: of,
    runtime: runtime([record("a")]),
    previous: undefined,
    now: 10_500,
    hostIPs: [],
    ...more,
  }).status;
}

describe("details of a container", () => {
  const resources = { requests: { cpu: "100m", memory: "64Mi" }, limits: { memory: "64Mi" } };
  const mounts = [
    { name: "data", mountPath: "/data" },
    { name: "config", mountPath: "/config", readOnly: true },
  ];
  const of = pod("Always", [container("a", { resources, volumeMounts: mounts })]);
  const first = (answer: ContainerRecord[], previous?: PodStatus) =>
    generate(of, { runtime: runtime(answer), previous }).containerStatuses?.[0];

  test("mounts, what is allocated and what is in force, also before the start", () => {
    expect(first([])).toMatchObject({
      volumeMounts: [
        { name: "data", mountPath: "/data" },
        { name: "config", mountPath: "/config", readOnly: true, recursiveReadOnly: "Disabled" },
      ],
      allocatedResources: resources.requests,
      resources,
    });
    expect(generate(pod("Always")).containerStatuses?.[0]).not.toHaveProperty("resources");
  });

  test("what the runtime says of a running container goes before the spec, and is kept when it is not repeated", () => {
    const told = record("a", {
      resources: { cpuRequestMilli: 1500, memoryLimitBytes: 128 * 2 ** 20 },
      user: { uid: 7, gid: 8, supplementalGroups: [8] },
    });
    const one = first([told]);
    const inForce = { requests: { cpu: "1500m", memory: "64Mi" }, limits: { memory: "128Mi" } };
    expect(one?.resources).toEqual(inForce);
    expect(one?.allocatedResources).toEqual(resources.requests);
    expect(one?.user).toEqual({ linux: { uid: 7, gid: 8, supplementalGroups: [8] } });
    const before: ApiPodStatus = { phase: "Running", containerStatuses: one === undefined ? [] : [one] };
    expect(first([record("a")], before)?.resources).toEqual(inForce);
    expect(first([record("a", { id: "successor" })], before)?.resources).toEqual(resources);
    expect(first([exited("a", 0)], before)?.resources).toEqual(resources);
  });

  test.each<[string, ResourceRequirements | undefined, AppliedResources, ResourceRequirements | undefined]>([
    ["a class without requests has 2 shares", undefined, { cpuRequestMilli: 2 }, undefined],
    [
      "nor does a request of memory alone make one of CPU",
      { requests: { memory: "1Mi" } },
      { cpuRequestMilli: 2 },
      { requests: { memory: "1Mi" } },
    ],
    [
      "the least that the kernel has stands for anything below it",
      { requests: { cpu: "1m" }, limits: { cpu: "3m" } },
      { cpuRequestMilli: 2, cpuLimitMilli: 10 },
      { requests: { cpu: "1m" }, limits: { cpu: "3m" } },
    ],
    [
      "but not for more",
      { requests: { cpu: "1" }, limits: { cpu: "1" } },
      { cpuRequestMilli: 2, cpuLimitMilli: 10 },
      { requests: { cpu: "2m" }, limits: { cpu: "10m" } },
    ],
    [
      "the same amount stays as it is written",
      { requests: { cpu: 0.5 }, limits: { cpu: "0.5", memory: "100M" } },
      { cpuRequestMilli: 500, cpuLimitMilli: 500, memoryLimitBytes: 1e8 },
      { requests: { cpu: 0.5 }, limits: { cpu: "0.5", memory: "100M" } },
    ],
    [
      "a limit set from outside is shown",
      { requests: { memory: "1Mi" }, limits: { memory: "1Mi" } },
      { cpuRequestMilli: 2, cpuLimitMilli: 2000, memoryLimitBytes: 2 ** 20 + 1 },
      { requests: { memory: "1Mi" }, limits: { cpu: "2", memory: "1048577" } },
    ],
    [
      "other resources are the spec's",
      { limits: { "example.com/device": 1 } },
      { cpuRequestMilli: 2, memoryLimitBytes: 2 ** 30 },
      { limits: { "example.com/device": 1, memory: "1Gi" } },
    ],
  ])("resources of a running container: %s", (_name, spec, applied, wanted) => {
    const one = generate(pod("Always", [container("a", spec === undefined ? {} : { resources: spec })]), {
      runtime: runtime([record("a", { resources: applied })]),
    }).containerStatuses?.[0];
    expect(one?.resources).toEqual(wanted);
  });
});
