// SPDX-License-Identifier: Apache-2.0

import type { Pod } from "@holdfast/core/pod-types";
import { admitUnderPressure, evictionMessage, parseThresholdConfig } from "@holdfast/eviction";
import type { PodFigures, PressureConditionType, StarvedResource } from "@holdfast/eviction";
import { describe, expect, test } from "vitest";
import { figuresOf, MI, pod } from "./builders.ts";
import type { PodShape } from "./builders.ts";

// kubelet: TestAdmitUnderNodeConditions
describe("admission", () => {
  const shapes: Readonly<Record<string, PodShape>> = {
    BestEffort: {},
    Burstable: { requests: { cpu: "100m" } },
    Guaranteed: { requests: { cpu: "1", memory: "1Gi" }, limits: { cpu: "1", memory: "1Gi" } },
    static: { isStatic: true },
    critical: { priority: 2_000_000_000 },
  };
  const cases: readonly (readonly [string, readonly PressureConditionType[], string])[] = [
    ["BestEffort", [], ""],
    ["BestEffort", ["MemoryPressure"], "The node had condition: [MemoryPressure]. "],
    ["Burstable", ["MemoryPressure"], ""],
    ["Guaranteed", ["MemoryPressure"], ""],
    ["BestEffort", ["DiskPressure"], "The node had condition: [DiskPressure]. "],
    ["Guaranteed", ["DiskPressure"], "The node had condition: [DiskPressure]. "],
    [
      "Burstable",
      ["MemoryPressure", "DiskPressure"],
      "The node had condition: [MemoryPressure DiskPressure]. ",
    ],
    ["Burstable", ["PIDPressure"], "The node had condition: [PIDPressure]. "],
    ["static", ["DiskPressure"], ""],
    ["critical", ["DiskPressure", "PIDPressure"], ""],
  ];
  test.each(cases)("%s under %j", (name, conditions, message) => {
    expect(admitUnderPressure(pod("p", shapes[name]), conditions)?.message ?? "").toBe(message);
  });

  test.each([
    [{ key: "node.kubernetes.io/memory-pressure", operator: "Exists", effect: "NoSchedule" }, true],
    [{ operator: "Exists" }, true],
    [{ key: "node.kubernetes.io/memory-pressure", effect: "NoSchedule" }, true],
    [{ key: "node.kubernetes.io/memory-pressure", operator: "Exists", effect: "NoExecute" }, false],
    [{ key: "node.kubernetes.io/disk-pressure", operator: "Exists" }, false],
  ])("a toleration %o", (toleration, admitted) => {
    const one = pod("p");
    one.spec.tolerations = [toleration];
    expect(admitUnderPressure(one, ["MemoryPressure"]) === undefined).toBe(admitted);
    expect(admitUnderPressure(one, ["DiskPressure"])).toBeDefined();
  });
});

// kubelet: TestEvictionMessage
describe("messages", () => {
  const memory = parseThresholdConfig({
    evictionHard: { "memory.available": "2Gi" },
    allocatableMemory: false,
  });
  const seen = new Map([["memory.available", { available: 1500 * MI, capacity: 8192 * MI, at: 0 }]] as const);
  const message = (
    resource: StarvedResource,
    one: Pod,
    figures: PodFigures | undefined,
    observed = new Map() as typeof seen,
  ) => evictionMessage({ resource, pod: one, figures, thresholds: memory, observations: observed });
  const LOW = "The node was low on resource: memory. ";

  test("no container exceeds memory usage", () => {
    const figures = figuresOf("p", { memory: "100Mi" });
    const { message: text, annotations } = message(
      "memory",
      pod("p", { requests: { memory: "200Mi" } }),
      figures,
    );
    expect(text).toBe(LOW);
    expect(annotations).toEqual({
      starved_resource: "memory",
      offending_containers: "",
      offending_containers_usage: "",
    });
  });

  test("threshold and available", () => {
    expect(message("memory", pod("p"), undefined, seen)).toEqual({
      message: `${LOW}Threshold quantity: 2Gi, available: 1500Mi. `,
      annotations: {},
    });
  });

  test("a container without a request, and one that is not of the spec", () => {
    const figures = { ...figuresOf("p", { memory: "250Mi" }) };
    const both = {
      ...figures,
      containers: [...figures.containers, { name: "ephemeral", memory: { workingSetBytes: 900 * MI } }],
    };
    expect(message("memory", pod("p"), both).message).toBe(
      `${LOW}Container main was using 250Mi, request is 0, has larger consumption of memory. `,
    );
  });

  test("an init container and a sidecar", () => {
    const one = pod("p", { requests: { memory: "1Gi" } });
    one.spec.initContainers = [
      { name: "side", image: "x", restartPolicy: "Always", resources: { requests: { memory: "0.5Gi" } } },
    ];
    const figures: PodFigures = {
      podRef: { uid: "p" },
      containers: [{ name: "side", memory: { workingSetBytes: 600 * MI } }],
    };
    expect(message("memory", one, figures)).toEqual({
      message: `${LOW}Container side was using 600Mi, request is 512Mi, has larger consumption of memory. `,
      annotations: {
        starved_resource: "memory",
        offending_containers: "side",
        offending_containers_usage: "600Mi",
      },
    });
  });

  test("a request of the pod as a whole", () => {
    const one = pod("p", { requests: { memory: "200Mi" } });
    Object.assign(one.spec, { resources: { requests: { memory: "250Mi" } } });
    const { message: text, annotations } = message("memory", one, figuresOf("p", { memory: "600Mi" }));
    expect(text).toBe(
      `${LOW}Pod p was using 600Mi, request is 250Mi, has larger consumption of memory. Container main was using 600Mi, request is 200Mi, has larger consumption of memory. `,
    );
    expect(annotations).toMatchObject({ offending_pod: "p", offending_pod_usage: "600Mi" });
  });

  test("ephemeral storage needs layers and logs to be known", () => {
    const figures = figuresOf("p", { rootfs: "100Mi", logs: "50Mi" });
    const text = (given: PodFigures): string => message("ephemeral-storage", pod("p"), given).message;
    expect(text(figures)).toBe(
      "The node was low on resource: ephemeral-storage. Container main was using 150Mi, request is 0, has larger consumption of ephemeral-storage. ",
    );
    expect(text({ ...figures, containers: [{ name: "main", rootfs: { usedBytes: 5 } }] })).toBe(
      "The node was low on resource: ephemeral-storage. ",
    );
  });

  test("inodes and processes name no containers", () => {
    const figures = figuresOf("p", { inodes: 9, processes: 9 });
    expect(message("inodes", pod("p"), figures).message).toBe("The node was low on resource: inodes. ");
    expect(message("pids", pod("p"), figures).message).toBe("The node was low on resource: pids. ");
  });
});
