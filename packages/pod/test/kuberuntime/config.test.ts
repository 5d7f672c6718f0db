// SPDX-License-Identifier: Apache-2.0

import { describe, expect, it } from "vitest";
import { containerConfig } from "../../src/kuberuntime/container-config.ts";
import type { ContainerConfigInput } from "../../src/kuberuntime/container-config.ts";
import { readContainerAnnotations } from "../../src/kuberuntime/container-labels.ts";
import { sandboxConfig } from "../../src/kuberuntime/sandbox-config.ts";
import { namespaceOptions, verifyRunAsNonRoot } from "../../src/kuberuntime/security-context.ts";
import type { ImageUser } from "../../src/kuberuntime/security-context.ts";
import { container, makePod, sidecar } from "./fixtures.ts";

const owner = { nodeName: "node-1", instanceId: "instance-1" };
const OWNED = { "holdfast.agent/node": "node-1", "holdfast.agent/instance": "instance-1" };
const IDENTITY = {
  "io.kubernetes.pod.name": "web",
  "io.kubernetes.pod.namespace": "default",
  "io.kubernetes.pod.uid": "uid-1",
};

const input: ContainerConfigInput = {
  owner,
  restartCount: 3,
  imageId: "sha256:busybox",
  imageUser: { uid: undefined, username: "" },
  facts: {
    nodeName: "node-1",
    nodeIps: ["192.168.1.1"],
    podIps: ["10.0.0.1", "fd00::1"],
    nodeAllocatable: { cpu: "2", memory: "1Gi" },
  },
  volumes: new Map([
    ["data", { hostPath: "/host/data", readOnly: false }],
    ["ro", { hostPath: "/host/ro", readOnly: true }],
  ]),
  files: { etcHosts: "/pods/uid-1/etc-hosts", terminationLog: "/pods/uid-1/containers/foo1/00000003" },
  resources: {
    cpuPeriod: 100_000,
    cpuQuota: 50_000,
    cpuShares: 512,
    memoryLimitInBytes: 1024,
    oomScoreAdj: 999,
    cpusetCpus: "",
    cpusetMems: "",
    unified: { "memory.oom.group": "1" },
  },
  security: { seccompDefault: false, extraMaskedPaths: ["/extra"] },
};

// kubelet: TestGeneratePodSandboxConfig, TestPodLabels, TestPodAnnotations
describe("sandboxConfig", () => {
  const more = {
    attempt: 2,
    owner,
    logDirectory: "/var/log/pods/default_web_uid-1",
    dns: { servers: ["1.1.1.1"], searches: [], options: [] },
    clusterDomain: "cluster.local",
    cgroupParent: "/kubepods/poduid-1",
  };
  it("tells the runtime all about the pod", () => {
    const pod = makePod({
      metadata: { labels: { app: "web", "io.kubernetes.pod.uid": "forged" }, annotations: { note: "x" } },
      spec: {
        hostname: "own",
        initContainers: [sidecar("side", { securityContext: { privileged: true } })],
        securityContext: { runAsUser: 5, runAsGroup: 6, fsGroup: 7, supplementalGroups: [8] },
      },
    });
    expect(sandboxConfig(pod, more)).toEqual({
      metadata: { name: "web", namespace: "default", uid: "uid-1", attempt: 2 },
      hostname: "own",
      logDirectory: "/var/log/pods/default_web_uid-1",
      dnsConfig: more.dns,
      portMappings: [],
      labels: { app: "web", ...IDENTITY, ...OWNED },
      annotations: { note: "x" },
      linux: {
        cgroupParent: "/kubepods/poduid-1",
        sysctls: {},
        securityContext: {
          namespaceOptions: { network: 0, pid: 1, ipc: 0 },
          runAsUser: { value: 5n },
          runAsGroup: { value: 6n },
          supplementalGroups: [7n, 8n],
          privileged: true,
          seccomp: { profileType: 0, localhostRef: "" },
        },
      },
    });
  });
  it("has no hostname with hostNetwork", () =>
    expect(sandboxConfig(makePod({ spec: { hostNetwork: true } }), more).hostname).toBe(""));
});

// kubelet: TestGenerateLinuxContainerConfigNamespaces
describe("namespaces", () => {
  it.each([
    ["default", {}, { network: 0, pid: 1, ipc: 0 }],
    ["host", { hostNetwork: true, hostPID: true, hostIPC: true }, { network: 2, pid: 2, ipc: 2 }],
    ["shared processes", { shareProcessNamespace: true }, { network: 0, pid: 0, ipc: 0 }],
  ])("%s", (_title, spec, expected) => expect(namespaceOptions(makePod({ spec }))).toEqual(expected));
});

describe("containerConfig", () => {
  const foo = container("foo1", {
    command: ["sh", "-c", "$(GREETING)"],
    args: ["$(NOPE)"],
    workingDir: "/w",
    env: [
      { name: "NAME", value: "me" },
      { name: "GREETING", value: "hi $(NAME) $(LATER)" },
      { name: "LATER", value: "x" },
      { name: "EMPTY", value: "" },
      { name: "IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
      { name: "IPS", valueFrom: { fieldRef: { fieldPath: "status.podIPs" } } },
      { name: "NODE", valueFrom: { fieldRef: { fieldPath: "spec.nodeName" } } },
      { name: "HOST", valueFrom: { fieldRef: { fieldPath: "status.hostIP" } } },
      { name: "APP", valueFrom: { fieldRef: { fieldPath: "metadata.labels['app']" } } },
      { name: "CPU", valueFrom: { resourceFieldRef: { resource: "limits.cpu", divisor: "1m" } } },
      { name: "CPUS", valueFrom: { resourceFieldRef: { resource: "limits.cpu" } } },
      { name: "MEM", valueFrom: { resourceFieldRef: { resource: "limits.memory", divisor: "1Mi" } } },
    ],
    resources: { limits: { cpu: "1500m" } },
    volumeMounts: [
      { name: "data", mountPath: "data", mountPropagation: "HostToContainer" },
      { name: "ro", mountPath: "/ro" },
    ],
    securityContext: {
      runAsUser: 9,
      readOnlyRootFilesystem: true,
      allowPrivilegeEscalation: false,
      capabilities: { add: ["NET_ADMIN"], drop: ["ALL"] },
    },
  });
  const pod = makePod({ metadata: { labels: { app: "web" } }, spec: { containers: [foo] } });
  const config = containerConfig(pod, foo, input);

  // kubelet: TestGenerateContainerConfig, TestMakeEnvironmentVariables
  it("names, image, command, environment", () => {
    expect(config).toMatchObject({
      metadata: { name: "foo1", attempt: 3 },
      image: { image: "sha256:busybox", userSpecifiedImage: "busybox:1" },
      command: ["sh", "-c", "hi me $(LATER)"],
      args: ["$(NOPE)"],
      workingDir: "/w",
      logPath: "foo1/3.log",
    });
    expect(Object.fromEntries((config.envs ?? []).map(({ key, value }) => [key, String(value)]))).toEqual({
      NAME: "me",
      GREETING: "hi me $(LATER)",
      LATER: "x",
      EMPTY: "",
      IP: "10.0.0.1",
      IPS: "10.0.0.1,fd00::1",
      NODE: "node-1",
      HOST: "192.168.1.1",
      APP: "web",
      CPU: "1500",
      CPUS: "2",
      MEM: "1024",
    });
  });

  // kubelet: TestMakeMounts, TestMakeMountsEtcHostsFile
  it("mounts in order", () =>
    expect(config.mounts).toEqual([
      { containerPath: "/data", hostPath: "/host/data", readonly: false, propagation: 1 },
      { containerPath: "/ro", hostPath: "/host/ro", readonly: true, propagation: 0 },
      { containerPath: "/etc/hosts", hostPath: "/pods/uid-1/etc-hosts", selinuxRelabel: true },
      {
        containerPath: "/dev/termination-log",
        hostPath: "/pods/uid-1/containers/foo1/00000003",
        selinuxRelabel: true,
      },
    ]));

  it("security and resources", () => {
    expect(config.linux?.securityContext).toMatchObject({
      capabilities: { addCapabilities: ["NET_ADMIN"], dropCapabilities: ["ALL"] },
      privileged: false,
      runAsUser: { value: 9n },
      readonlyRootfs: true,
      noNewPrivs: true,
      seccomp: { profileType: 1 },
    });
    expect(config.linux?.securityContext?.maskedPaths).toContain("/extra");
    expect(config.linux?.securityContext?.maskedPaths).toContain("/proc/kcore");
    expect(config.linux?.resources).toMatchObject({ cpuQuota: 50_000n, cpuShares: 512n, oomScoreAdj: 999n });
  });

  // kubelet: TestContainerLabels, TestContainerAnnotations
  it("labels and annotations, and back", () => {
    expect(config.labels).toEqual({ ...IDENTITY, ...OWNED, "io.kubernetes.container.name": "foo1" });
    expect(config.annotations).toEqual({
      "io.kubernetes.container.hash": expect.stringMatching(/^[0-9a-f]{1,8}$/) as string,
      "io.kubernetes.container.restartCount": "3",
      "io.kubernetes.container.terminationMessagePath": "/dev/termination-log",
      "io.kubernetes.container.terminationMessagePolicy": "File",
    });
    const preStop = { exec: { command: ["bye"] } };
    const full = container("foo1", { lifecycle: { preStop }, ports: [{ containerPort: 80 }] });
    const slow = makePod({
      metadata: { deletionGracePeriodSeconds: 5 },
      spec: { containers: [full], terminationGracePeriodSeconds: 60 },
    });
    const { annotations = {} } = containerConfig(slow, full, input);
    expect(annotations["io.kubernetes.container.ports"]).toBe('[{"containerPort":80}]');
    expect(readContainerAnnotations(annotations as Record<string, string>)).toEqual({
      deletionGracePeriodSeconds: 5,
      terminationGracePeriodSeconds: 60,
      preStop,
    });
    expect(readContainerAnnotations({ "io.kubernetes.container.preStopHandler": "{" })).toEqual({
      deletionGracePeriodSeconds: undefined,
      terminationGracePeriodSeconds: undefined,
      preStop: undefined,
    });
  });

  it.each([
    [
      "an unknown field",
      { env: [{ name: "A", valueFrom: { fieldRef: { fieldPath: "spec.x" } } }] },
      "unsupported fieldPath",
    ],
    [
      "an unknown resource",
      { env: [{ name: "A", valueFrom: { resourceFieldRef: { resource: "limits.gpu" } } }] },
      "unsupported container resource",
    ],
    ["a volume that is not there", { volumeMounts: [{ name: "no", mountPath: "/x" }] }, "cannot find volume"],
    [
      "a sub-path",
      { volumeMounts: [{ name: "data", mountPath: "/x", subPath: "../y" }] },
      "not supported yet",
    ],
  ])("refuses %s", (_title, more, message) =>
    expect(() => containerConfig(pod, container("foo1", more), input)).toThrow(message),
  );

  it("devices of plugins: their variables and annotations give way, their mounts come first", () => {
    const made = containerConfig(pod, foo, {
      ...input,
      devices: {
        envs: [
          { name: "FROM_PLUGIN", value: "1" },
          { name: foo.env?.[0]?.name ?? "", value: "plugin" },
        ],
        mounts: [{ containerPath: "/lib/gpu", hostPath: "/usr/lib/gpu", readOnly: true }],
        devices: [{ containerPath: "/dev/gpu0", hostPath: "/dev/nvidia0", permissions: "rw" }],
        annotations: { "io.kubernetes.container.hash": "no", mine: "yes" },
        cdiDevices: ["example.com/gpu=0"],
      },
    });
    expect(made.envs?.map(({ key, value }) => `${key}=${String(value)}`)).toEqual([
      "FROM_PLUGIN=1",
      ...(config.envs ?? []).map(({ key, value }) => `${key}=${String(value)}`),
    ]);
    expect(made.mounts).toEqual([
      { containerPath: "/lib/gpu", hostPath: "/usr/lib/gpu", readonly: true },
      ...(config.mounts ?? []),
    ]);
    expect(made.devices).toEqual([
      { containerPath: "/dev/gpu0", hostPath: "/dev/nvidia0", permissions: "rw" },
    ]);
    expect(made.CDIDevices).toEqual([{ name: "example.com/gpu=0" }]);
    expect(made.annotations).toEqual({ ...config.annotations, mine: "yes" });
  });

  it("the image's user is used when the pod names none", () => {
    const userOf = (imageUser: ImageUser): unknown => {
      const { runAsUser, runAsUsername } =
        containerConfig(makePod(), container("foo1"), { ...input, imageUser }).linux?.securityContext ?? {};
      return { runAsUser, runAsUsername };
    };
    expect(userOf({ uid: 7n, username: "" })).toEqual({ runAsUser: { value: 7n }, runAsUsername: "" });
    expect(userOf({ uid: undefined, username: "www" })).toEqual({
      runAsUser: undefined,
      runAsUsername: "www",
    });
  });
});

// kubelet: TestVerifyRunAsNonRoot
describe("verifyRunAsNonRoot", () => {
  const none: ImageUser = { uid: undefined, username: "" };
  it.each<[string, object, object, ImageUser, string | undefined]>([
    ["not asked for", {}, {}, none, undefined],
    ["explicit user", { runAsNonRoot: true, runAsUser: 1 }, {}, none, undefined],
    ["explicit root", { runAsNonRoot: true, runAsUser: 0 }, {}, none, "breaks non-root policy"],
    ["root by the pod", { runAsNonRoot: true }, { runAsUser: 0 }, none, "breaks non-root policy"],
    [
      "asked for by the pod, refused by the container",
      { runAsNonRoot: false },
      { runAsNonRoot: true },
      none,
      undefined,
    ],
    ["image with a user", { runAsNonRoot: true }, {}, { uid: 5n, username: "" }, undefined],
    ["image as root", { runAsNonRoot: true }, {}, { uid: 0n, username: "" }, "image will run as root"],
    ["image without a user", { runAsNonRoot: true }, {}, none, "image will run as root"],
    [
      "image with a name",
      { runAsNonRoot: true },
      {},
      { uid: undefined, username: "www" },
      "non-numeric user (www)",
    ],
  ])("%s", (_title, own, ofPod, user, message) => {
    const verify = (): void =>
      verifyRunAsNonRoot(
        makePod({ spec: { securityContext: ofPod } }),
        container("c", { securityContext: own }),
        user,
      );
    if (message === undefined) expect(verify).not.toThrow();
    else expect(verify).toThrow(message);
  });
});
