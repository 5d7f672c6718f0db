// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { parseConfig } from "../src/config/parse-config.ts";
import type { ResourceConfig } from "../src/config/resource-config.ts";

const HEAD = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n";
const parse = (yaml: string): ResourceConfig =>
  parseConfig(`${HEAD}${yaml}`, "config.yaml", "node").config.resources;
const problemOf = (yaml: string): string => {
  try {
    parse(yaml);
    return "";
  } catch (error) {
    return (error as Error).message;
  }
};

test("nothing is dedicated unless it is asked for", () => {
  expect(parse("")).toMatchObject({
    cpuManagerPolicy: "none",
    cpuManagerPolicyOptions: {},
    cpuManagerReconcilePeriodMs: 10_000,
    memoryManagerPolicy: "None",
    reservedMemory: [],
    topologyManagerPolicy: "none",
    topologyManagerScope: "container",
    topologyManagerPolicyOptions: { preferClosestNumaNodes: false, maxAllowableNumaNodes: 8 },
    systemReserved: {},
    kubeReserved: {},
  });
});

test("a kubelet's configuration is taken as it is", () => {
  const { warnings, config } = parseConfig(
    `${HEAD}cpuManagerPolicy: static
cpuManagerPolicyOptions: { full-pcpus-only: "true", strict-cpu-reservation: true }
cpuManagerReconcilePeriod: 5s
reservedSystemCPUs: "0,4-5"
systemReserved: { memory: 1Gi }
kubeReserved: { cpu: 500m, memory: 512Mi }
memoryManagerPolicy: Static
reservedMemory:
- numaNode: 0
  limits: { memory: 1636Mi }
topologyManagerPolicy: restricted
topologyManagerScope: pod
topologyManagerPolicyOptions: { prefer-closest-numa-nodes: "true", max-allowable-numa-nodes: "16" }
`,
    "config.yaml",
    "node",
  );
  expect(warnings).toEqual([]);
  const { reservedSystemCPUs, ...rest } = config.resources;
  expect(String(reservedSystemCPUs)).toBe("0,4-5");
  expect(rest).toEqual({
    cpuManagerPolicy: "static",
    cpuManagerPolicyOptions: { fullPcpusOnly: true, strictCpuReservation: true },
    cpuManagerReconcilePeriodMs: 5000,
    memoryManagerPolicy: "Static",
    reservedMemory: [{ numaNode: 0, limits: { memory: "1636Mi" } }],
    topologyManagerPolicy: "restricted",
    topologyManagerScope: "pod",
    topologyManagerPolicyOptions: { preferClosestNumaNodes: true, maxAllowableNumaNodes: 16 },
    systemReserved: { memory: "1Gi" },
    kubeReserved: { cpu: "500m", memory: "512Mi" },
    limitPods: true,
  });
});

// kubelet: ValidateKubeletConfiguration, TestCPUManagerHandlePolicyOptions
test.each([
  [
    "an unknown policy",
    "cpuManagerPolicy: dynamic",
    'config.yaml:3: cpuManagerPolicy: unknown policy: "dynamic"',
  ],
  [
    "static without a reservation",
    "cpuManagerPolicy: static",
    "config.yaml:3: cpuManagerPolicy: static needs CPUs",
  ],
  ["a reservation of nothing", "cpuManagerPolicy: static\nsystemReserved: { cpu: 0 }", "static needs CPUs"],
  [
    "an option of none",
    "cpuManagerPolicyOptions: { full-pcpus-only: true }",
    "config.yaml:3: cpuManagerPolicyOptions: None policy",
  ],
  [
    "an option that is no truth",
    "cpuManagerPolicy: static\nreservedSystemCPUs: 0-1\ncpuManagerPolicyOptions: { full-pcpus-only: 7 }",
    "neither true nor false",
  ],
  [
    "options that are a list",
    "topologyManagerPolicyOptions: [a]",
    "config.yaml:3: topologyManagerPolicyOptions: must be a mapping",
  ],
  [
    "an option that is a mapping",
    "topologyManagerPolicyOptions: { a: {} }",
    "must be a mapping of names to plain values",
  ],
  ["CPUs that are none", "reservedSystemCPUs: 0-x", 'config.yaml:3: reservedSystemCPUs: "0-x" is no id'],
  ["a scope", "topologyManagerScope: node", 'topologyManagerScope: unknown scope: "node"'],
  ["a topology policy", "topologyManagerPolicy: strict", 'topologyManagerPolicy: unknown policy: "strict"'],
  ["a memory policy", "memoryManagerPolicy: static", 'memoryManagerPolicy: unknown policy: "static"'],
  [
    "memory of no node",
    "reservedMemory: [{ limits: { memory: 1Gi } }]",
    "config.yaml:3: reservedMemory: must be a list of",
  ],
  [
    "a resource that cannot be reserved",
    "systemReserved: { nvidia.com/gpu: 1 }",
    'systemReserved: "nvidia.com/gpu" cannot be reserved',
  ],
  ["an amount that is none", "kubeReserved: { memory: much }", "config.yaml:3: kubeReserved:"],
])("%s is refused with its line", (_name, yaml, text) => {
  expect(problemOf(yaml)).toContain(text);
});

test("all pods together are held to what is not reserved, unless nobody is; cgroups of the system are not known yet", () => {
  expect(parse("").limitPods).toBe(true);
  expect(parse("enforceNodeAllocatable: [none]").limitPods).toBe(false);
  expect(parse("enforceNodeAllocatable: []").limitPods).toBe(false);
  const { config, warnings } = parseConfig(
    `${HEAD}enforceNodeAllocatable: [pods, system-reserved, kube-reserved-compressible]`,
    "config.yaml",
    "node",
  );
  expect(config.resources.limitPods).toBe(true);
  expect(warnings).toEqual([
    'config.yaml:3: enforceNodeAllocatable: "system-reserved" is not supported yet and has no effect',
    'config.yaml:3: enforceNodeAllocatable: "kube-reserved-compressible" is not supported yet and has no effect',
  ]);
  expect(problemOf("enforceNodeAllocatable: [none, pods]")).toContain("none stands alone");
  expect(problemOf("enforceNodeAllocatable: [all]")).toContain('must be a list of pods or none, got "all"');
});
