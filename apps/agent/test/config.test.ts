// SPDX-License-Identifier: Apache-2.0
import { parseConfig } from "../src/config/parse-config.ts";
import { expect, test } from "vitest";

const parse = (text: string) => parseConfig(text, "config.yaml", "Node-A");
const problems = (text: string): string => {
  try {
    parse(text);
    return "";
  } catch (error) {
    return (error as Error).message;
  }
};

test("an empty text is all defaults, with the host's name in lower case", () => {
  const { config, warnings } = parse("");
  expect(config).toMatchObject({
    nodeName: "node-a",
    staticPodPath: "/etc/holdfast/manifests",
    runtimeEndpoint: "unix:///run/containerd/containerd.sock",
    syncFrequencyMs: 60_000,
    maxContainerRestartPeriodMs: 300_000,
    maxParallelImagePulls: 1,
    resolvConf: "/etc/resolv.conf",
  });
  expect(warnings).toEqual([]);
});

test("a KubeletConfiguration is accepted as it is: known keys honoured, unsupported ones named with their line", () => {
  const { config, warnings, sources } = parse(
    [
      "apiVersion: kubelet.config.k8s.io/v1beta1",
      "kind: KubeletConfiguration",
      "staticPodPath: /etc/kubernetes/manifests",
      "syncFrequency: 30s",
      "clusterDNS: [10.96.0.10]",
      'resolvConf: ""',
      "serializeImagePulls: false",
      "maxParallelImagePulls: 3",
      "crashLoopBackOff: { maxContainerRestartPeriod: 60s }",
      "containerRuntimeEndpoint: /run/x.sock",
      "hairpinMode: promiscuous-bridge",
      "---",
      "apiVersion: holdfast.agent/v1alpha1",
      "kind: AgentConfiguration",
      "nodeName: edge-7",
    ].join("\n"),
  );
  expect(config).toMatchObject({
    staticPodPath: "/etc/kubernetes/manifests",
    syncFrequencyMs: 30_000,
    clusterDNS: ["10.96.0.10"],
    resolvConf: "",
    maxParallelImagePulls: 3,
    maxContainerRestartPeriodMs: 60_000,
    runtimeEndpoint: "unix:///run/x.sock",
    nodeName: "edge-7",
  });
  expect(warnings).toEqual(["config.yaml:11: hairpinMode is not supported yet and has no effect"]);
  expect(sources.get("nodeName")).toBe("config.yaml:15");
});

const HEAD = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n";
test.each([
  [
    "an unknown key, with the nearest one",
    `${HEAD}staticPodPaht: /x`,
    'config.yaml:3: unknown key "staticPodPaht"; did you mean "staticPodPath"?',
  ],
  ["a wrong type", `${HEAD}maxPods: many`, 'config.yaml:3: maxPods: must be a whole number, got "many"'],
  [
    "out of range",
    `${HEAD}crashLoopBackOff:\n  maxContainerRestartPeriod: 500s`,
    "config.yaml:4: crashLoopBackOff.maxContainerRestartPeriod: must be at most 300000 ms",
  ],
  ["a bad duration", `${HEAD}syncFrequency: soon`, "no duration"],
  ["a relative path", `${HEAD}podLogsDir: logs`, "podLogsDir: must be an absolute path"],
  [
    "an endpoint that is no socket",
    `${HEAD}containerRuntimeEndpoint: tcp://1.2.3.4:1`,
    "must be a unix socket",
  ],
  ["an unknown document", "apiVersion: v1\nkind: Pod", 'unknown document "v1 Pod"'],
  ["a document given twice", `${HEAD}---\n${HEAD}`, "is given twice"],
  ["a list", "- a", "must be a mapping"],
  ["broken YAML", `${HEAD}a: [`, "config.yaml:"],
  ["a duplicate key", `${HEAD}maxPods: 1\nmaxPods: 2`, "config.yaml:4"],
  [
    "a bad node name",
    "apiVersion: holdfast.agent/v1alpha1\nkind: AgentConfiguration\nnodeName: A_B",
    "nodeName: must be a DNS name",
  ],
  [
    "thresholds the wrong way round",
    `${HEAD}imageGCHighThresholdPercent: 70`,
    "config.yaml:3: imageGCLowThresholdPercent (80) must be below imageGCHighThresholdPercent (70)",
  ],
  ["a size that is none", `${HEAD}containerLogMaxSize: big`, "config.yaml:3: containerLogMaxSize: "],
  ["a size that is too small", `${HEAD}containerLogMaxSize: 10`, "must be at least 1024 bytes"],
  ["a driver that is none", `${HEAD}cgroupDriver: docker`, "must be one of cgroupfs, systemd"],
])("refused: %s", (_name, text, message) => expect(problems(text)).toContain(message));

test("what bounds the disk: the kubelet's defaults, and sizes with units", () => {
  expect(parseConfig("", "config.yaml", "host").config).toMatchObject({
    imageGCHighThresholdPercent: 85,
    imageGCLowThresholdPercent: 80,
    imageMinimumGCAgeMs: 120_000,
    imageMaximumGCAgeMs: 0,
    imageGCScope: "ours",
    containerLogMaxSizeBytes: 10 * 2 ** 20,
    containerLogMaxFiles: 5,
    containerLogMaxWorkers: 1,
    containerLogMonitorIntervalMs: 10_000,
  });
  const text = `${HEAD}containerLogMaxSize: 64Ki\nimageMaximumGCAge: 24h`;
  expect(parseConfig(text, "config.yaml", "host").config).toMatchObject({
    containerLogMaxSizeBytes: 65_536,
    imageMaximumGCAgeMs: 86_400_000,
  });
});

test("all problems come at once", () => {
  expect(problems(`${HEAD}maxPods: x\nsyncFrequency: y\nfoo: z`).split("\n")).toHaveLength(4);
});

test("probeOutput is on unless it is turned off", () => {
  const text = "apiVersion: holdfast.agent/v1alpha1\nkind: AgentConfiguration\nprobeOutput: false\n";
  expect(parse("").config.probeOutput).toBe(true);
  expect(parse(text).config.probeOutput).toBe(false);
});

const AGENT = "apiVersion: holdfast.agent/v1alpha1\nkind: AgentConfiguration\n";

test("what stays of images, dead containers and their logs", () => {
  expect(parse("").config).toMatchObject({
    imageGCKeep: [],
    imageGCAmounts: "reported",
    maximumDeadContainersPerContainer: 1,
    maximumDeadContainers: -1,
    minimumContainerTTLMs: 0,
    maximumContainerListBytes: 12 * 2 ** 20,
    podLogRetentionAttempts: 5,
    podLogRetentionBytes: 64 * 2 ** 20,
  });
  const text = `${AGENT}imageGCKeep:
- reference: docker.io/library/postgres:*
  why: 40 minutes to pull
- { label: keep=yes, minSize: 1Gi }
- { digest: "sha256:1", maxSize: 10Mi }
maximumDeadContainersPerContainer: 3
maximumDeadContainers: 100
minimumContainerTTLDuration: 1m
maximumContainerListSize: 8Mi
podLogRetention: { attempts: 10, size: 1Gi }
`;
  expect(parse(text).config).toMatchObject({
    imageGCKeep: [
      { reference: "docker.io/library/postgres:*", why: "40 minutes to pull" },
      { label: "keep=yes", minSizeBytes: 2 ** 30 },
      { digest: "sha256:1", maxSizeBytes: 10 * 2 ** 20 },
    ],
    maximumDeadContainersPerContainer: 3,
    maximumDeadContainers: 100,
    minimumContainerTTLMs: 60_000,
    maximumContainerListBytes: 8 * 2 ** 20,
    podLogRetentionAttempts: 10,
    podLogRetentionBytes: 2 ** 30,
  });
});

test.each([
  ["a rule that is none", "imageGCKeep: [nginx]", "rule 1 must be a mapping of reference"],
  ["no list", "imageGCKeep: { reference: a }", "must be a list of rules"],
  [
    "a rule that keeps everything",
    "imageGCKeep: [{ why: so }]",
    "rule 1 says nothing: it would keep every image",
  ],
  [
    "an unknown key",
    "imageGCKeep: [{ refrence: a }]",
    'rule 1 has an unknown key "refrence"; did you mean "reference"?',
  ],
  ["a size that is none", "imageGCKeep: [{ minSize: big }]", "rule 1 has a minSize that is no size"],
  ["amounts that are none", "imageGCAmounts: packed", "imageGCAmounts: must be one of reported, disk"],
  ["a list beyond what fits", "maximumContainerListSize: 16Mi", "must be at most 15728640 bytes"],
])("refused of image rules: %s", (_name, text, message) =>
  expect(problems(`${AGENT}${text}`)).toContain(message),
);
