// SPDX-License-Identifier: Apache-2.0

import { describe, expect, it } from "vitest";
import { readManifest } from "../../src/manifest/read-manifest.ts";
import { podText, problemsOf, read } from "./build.ts";

describe("fields that are not honoured", () => {
  const refused: readonly [string, string][] = [
    [
      "spec.securityContext.seccompProfile",
      podText({ spec: "securityContext: {seccompProfile: {type: RuntimeDefault}}" }),
    ],
    [
      "spec.containers[0].securityContext.appArmorProfile",
      podText({ container: "securityContext: {appArmorProfile: {type: RuntimeDefault}}" }),
    ],
    [
      "spec.containers[0].securityContext.seLinuxOptions",
      podText({ container: "securityContext: {seLinuxOptions: {level: a}}" }),
    ],
    [
      "spec.containers[0].securityContext.procMount",
      podText({ container: "securityContext: {procMount: Unmasked}" }),
    ],
    ["spec.securityContext.sysctls", podText({ spec: "securityContext: {sysctls: [{name: a, value: b}]}" })],
    ["spec.runtimeClassName", podText({ spec: "runtimeClassName: gvisor" })],
    ["spec.hostUsers", podText({ spec: "hostUsers: false" })],
    ["spec.imagePullSecrets", podText({ spec: "imagePullSecrets: [{name: a}]" })],
    ["spec.ephemeralContainers", podText({ spec: "ephemeralContainers: [{name: a}]" })],
    ["spec.resourceClaims", podText({ spec: "resourceClaims: [{name: a}]" })],
    ["spec.readinessGates", podText({ spec: "readinessGates: [{conditionType: a}]" })],
    ["spec.resources", podText({ spec: "resources: {limits: {cpu: 1}}" })],
    ["spec.containers[0].envFrom", podText({ container: "envFrom: [{secretRef: {name: a}}]" })],
    [
      "spec.containers[0].env[0].valueFrom.secretKeyRef",
      podText({ container: "env: [{name: A, valueFrom: {secretKeyRef: {name: a, key: b}}}]" }),
    ],
    [
      "spec.containers[0].volumeDevices",
      podText({ container: "volumeDevices: [{name: a, devicePath: /dev/x}]" }),
    ],
    [
      "spec.containers[0].volumeMounts[0].subPath",
      podText({
        container: "volumeMounts: [{name: v, mountPath: /a, subPath: b}]",
        spec: "volumes: [{name: v}]",
      }),
    ],
    [
      "spec.containers[0].volumeMounts[0].subPathExpr",
      podText({
        container: "volumeMounts: [{name: v, mountPath: /a, subPathExpr: b}]",
        spec: "volumes: [{name: v}]",
      }),
    ],
    [
      "spec.containers[0].lifecycle.preStop.httpGet",
      podText({ container: "lifecycle: {preStop: {httpGet: {port: 1}}}" }),
    ],
    [
      "spec.containers[0].restartPolicyRules",
      podText({ container: "restartPolicyRules: [{action: Restart}]" }),
    ],
    [
      "spec.containers[0].resources.limits[kubernetes.io/gpu]",
      podText({ container: "resources: {limits: {kubernetes.io/gpu: 1}}" }),
    ],
    [
      "spec.containers[0].resources.limits.hugepages-2Mi",
      podText({ container: "resources: {limits: {hugepages-2Mi: 2Mi}}" }),
    ],
    ["spec.volumes[0].secret", podText({ spec: "volumes: [{name: v, secret: {secretName: a}}]" })],
    [
      "spec.volumes[0].persistentVolumeClaim",
      podText({ spec: "volumes: [{name: v, persistentVolumeClaim: {claimName: a}}]" }),
    ],
    ["spec.volumes[0].downwardAPI", podText({ spec: "volumes: [{name: v, downwardAPI: {}}]" })],
  ];
  it.each(refused)("refuses %s by name", (field, text) => {
    expect(problemsOf(text)).toEqual([
      expect.stringContaining(`error: ${field}: Forbidden: not supported by Holdfast: `),
    ]);
  });

  const warned: readonly [string, string][] = [
    ["spec.tolerations", podText({ spec: "tolerations: [{operator: Exists}]" })],
    ["spec.nodeSelector", podText({ spec: "nodeSelector: {a: b}" })],
    ["spec.schedulerName", podText({ spec: "schedulerName: mine" })],
    ["spec.priorityClassName", podText({ spec: "priorityClassName: high" })],
    ["spec.serviceAccountName", podText({ spec: "serviceAccountName: me" })],
    ["metadata.resourceVersion", podText({ metadata: 'resourceVersion: "1"' })],
    ["status", `${podText()}status: {phase: Running}\n`],
  ];
  it.each(warned)("runs the pod and warns of %s by name", (field, text) => {
    expect(read(text)).toMatchObject({ failed: false, pods: [{}] });
    expect(problemsOf(text)).toEqual([expect.stringContaining(`warning: ${field}: has no effect: `)]);
  });

  const heededByEviction: readonly [string, string][] = [
    ["spec.priority", podText({ spec: "priority: 1000" })],
    [
      "spec.volumes[0].emptyDir.sizeLimit",
      podText({ spec: "volumes: [{name: v, emptyDir: {sizeLimit: 1Gi}}]" }),
    ],
    [
      "spec.containers[0].resources.limits.ephemeral-storage",
      podText({ container: "resources: {limits: {ephemeral-storage: 1Gi}}" }),
    ],
  ];
  it.each(heededByEviction)("warns of %s unless static pods are evicted", (field, text) => {
    const [problem, ...more] = problemsOf(text);
    expect(problem).toContain(`warning: ${field}: `);
    expect(problem).toContain(" unless evictStaticPods is set: ");
    expect(more).toEqual([]);
    const origin = { path: "/m/web.yaml", nodeName: "n1", evictable: true };
    expect(readManifest(new TextEncoder().encode(text), origin)).toMatchObject({
      failed: false,
      problems: [],
    });
  });

  it("says nothing of the system's own priority", () => {
    const spec = "priority: 2000001000\npriorityClassName: system-node-critical";
    expect(problemsOf(podText({ spec }))).toEqual([]);
  });

  it.each([
    ["system-node-critical", 2_000_001_000],
    ["system-cluster-critical", 2_000_000_000],
    ["high", undefined],
  ])("the class %s means priority %s", (name, priority) => {
    const { pods } = read(podText({ spec: `priorityClassName: ${name}` }));
    expect(pods[0]?.pod.spec.priority).toBe(priority);
  });

  it("says nothing of values that mean the same as nothing", () => {
    const text = podText({
      spec: "hostUsers: true\nschedulerName: default-scheduler\nautomountServiceAccountToken: false\nimagePullSecrets: []\nruntimeClassName: ~",
      container:
        "securityContext: {procMount: Default, seccompProfile: {type: Unconfined}}\nreadinessProbe: ~",
    });
    expect(problemsOf(text)).toEqual([]);
  });
});
