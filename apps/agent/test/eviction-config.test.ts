// SPDX-License-Identifier: Apache-2.0

import { describeThreshold } from "@holdfast/eviction";
import { expect, test } from "vitest";
import { parseConfig } from "../src/config/parse-config.ts";

const KUBELET = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n";
const AGENT = "---\napiVersion: holdfast.agent/v1alpha1\nkind: AgentConfiguration\n";
const eviction = (text: string) => parseConfig(text, "config.yaml", "here").config.eviction;

test("without a word the kubelet's thresholds hold, and no static pod is evicted", () => {
  const { thresholds, ...others } = eviction("");
  expect(thresholds.map(describeThreshold)).toEqual([
    "allocatableMemory.available<100Mi",
    "memory.available<100Mi",
    "nodefs.available<10%",
    "nodefs.inodesFree<5%",
    "imagefs.available<15%",
    "imagefs.inodesFree<5%",
  ]);
  expect(others).toEqual({
    transitionPeriodMs: 300_000,
    maxPodGraceSeconds: 0,
    evictStaticPods: false,
    watchMemory: false,
    localStorageCapacityIsolation: true,
  });
});

test("where pods have no limit of their own, no threshold is for it", () => {
  const { thresholds } = eviction(`${KUBELET}enforceNodeAllocatable: [none]\n`);
  expect(thresholds.map(({ signal }) => signal)).not.toContain("allocatableMemory.available");
});

test("an empty evictionHard is none", () => {
  expect(eviction(`${KUBELET}evictionHard: {}\n`).thresholds).toEqual([]);
});

test("all keys", () => {
  const text = `${KUBELET}evictionHard: { nodefs.available: 1Gi }
evictionSoft: { memory.available: 20% }
evictionSoftGracePeriod: { memory.available: 90s }
evictionMinimumReclaim: { nodefs.available: 500Mi }
evictionPressureTransitionPeriod: 30s
evictionMaxPodGracePeriod: 60
kernelMemcgNotification: true
enforceNodeAllocatable: [none]
${AGENT}evictStaticPods: true
evictionPressure: { memory.psi.full.avg60: 40% }
`;
  const config = eviction(text);
  expect(config.thresholds.map(describeThreshold)).toEqual([
    "nodefs.available<1Gi",
    "memory.available<20%",
    "memory.psi.full.avg60>40%",
  ]);
  expect(config).toMatchObject({
    transitionPeriodMs: 30_000,
    maxPodGraceSeconds: 60,
    evictStaticPods: true,
    watchMemory: true,
  });
});

test.each([
  [
    "evictionHard: { mem.available: 1Gi }",
    /config.yaml:3: evictionHard\[mem.available\]: unsupported eviction signal/,
  ],
  [
    "evictionHard: { memory.available: -1 }",
    /config.yaml:3: evictionHard\[memory.available\]: .* must be positive/,
  ],
  [
    "evictionSoft: { memory.available: 1Gi }",
    /config.yaml:3: evictionSoft\[memory.available\]: grace period must be/,
  ],
  ["evictionHard: 5", /config.yaml:3: evictionHard: must be a mapping/],
])("refused: %s", (line, problem) => {
  expect(() => eviction(`${KUBELET}${line}\n`)).toThrow(problem);
});
