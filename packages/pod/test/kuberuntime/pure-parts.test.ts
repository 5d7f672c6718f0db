// SPDX-License-Identifier: Apache-2.0

import { describe, expect, it } from "vitest";
import { backoffKey, hashContainer } from "../../src/kuberuntime/container-hash.ts";
import { computeGracePeriod } from "../../src/kuberuntime/compute-grace-period.ts";
import type { KillReason } from "../../src/kuberuntime/events.ts";
import { expand } from "../../src/kuberuntime/env-expansion.ts";
import { managedHostsContent, nodeHostsContent } from "../../src/kuberuntime/etc-hosts.ts";
import { podHostname } from "../../src/kuberuntime/hostname.ts";
import { applyDefaultImageTag, pullPolicy } from "../../src/kuberuntime/image-name.ts";
import { legacyLogLink, podLogDirectory, podUidOfLogDirectory } from "../../src/kuberuntime/log-paths.ts";
import { portMappings } from "../../src/kuberuntime/port-mappings.ts";
import { restartCountFromLogNames } from "../../src/kuberuntime/restart-count.ts";
import { shouldContainerBeRestarted } from "../../src/kuberuntime/should-restart.ts";
import { lastLogLines, readTerminationMessage } from "../../src/kuberuntime/termination-message.ts";
import { container, exited, makePod, record } from "./fixtures.ts";
import { MemoryFiles } from "./memory-ports.ts";

describe("container hash", () => {
  // kubelet: TestConsistentHashContainer
  it.each([
    ["test_container", "foo/image:v1", "8e45cbd0"],
    ["nginx", "nginx:1.27", "91edee8f"],
    ["a&b", "x<y>", "57b7762a"],
  ])("%s %s", (name, image, hash) => expect(hashContainer({ name, image })).toBe(hash));

  // kubelet: TestGetBackoffKey
  it("back-off key", () => {
    const pod = makePod({ metadata: { name: "web", namespace: "default", uid: "12345678" } });
    const nginx = container("nginx", { image: "nginx:1.27" });
    expect(backoffKey(pod, nginx)).toBe("56c657b413a9ce66");
    expect(backoffKey(pod, { ...nginx, image: "nginx:1.28" })).not.toBe("56c657b413a9ce66");
    expect(backoffKey(pod, { ...nginx, resources: { limits: { cpu: "1" } } })).not.toBe("56c657b413a9ce66");
    expect(backoffKey(pod, { ...nginx, args: ["x"] })).toBe("56c657b413a9ce66");
  });
});

// kubelet: TestMapReference, TestMapping
describe("expansion", () => {
  const variables = new Map(
    Object.entries({ VAR_A: "A", VAR_B: "B", VAR_C: "C", VAR_REF: "$(VAR_A)", VAR_EMPTY: "" }),
  );
  it.each([
    ["$(VAR_A)", "A"],
    ["___$(VAR_B)___", "___B___"],
    ["$(VAR_A)$(VAR_B)-1", "AB-1"],
    ["$$(VAR_B)_$(VAR_A)", "$(VAR_B)_A"],
    ["$$$(VAR_A)", "$A"],
    ["$$$$$$$(VAR_A)", "$$$A"],
    ["$(VAR_A$(VAR_B))", "$(VAR_A$(VAR_B))"],
    ["$(VAR_REF)", "$(VAR_A)"],
    ["foo$(VAR_Awhoops!", "foo$(VAR_Awhoops!"],
    ["f00__(VAR_A)__", "f00__(VAR_A)__"],
    ["${VAR_A}", "${VAR_A}"],
    ["$?", "$?"],
    ["$VAR_A", "$VAR_A"],
    ["trailing $", "trailing $"],
    ["$", "$"],
    ["foo$(VAR_EMPTY)bar", "foobar"],
    ["$(NOT_DEFINED)", "$(NOT_DEFINED)"],
    ["", ""],
  ])("%s", (text, result) => expect(expand(text, (name) => variables.get(name))).toBe(result));
});

// kubelet: TestRestartCountByLogDir
describe("restart count from logs", () => {
  it.each([
    [["0.log.rotated-log"], 1],
    [["0.log", "1.log", "2.log"], 3],
    [["5.log.rotated", "6.log", "7.log"], 8],
    [["145.log.log.rotated"], 146],
    [["a.log.rotated", "b.log.rotated", "12log.rotated"], 0],
    [
      ["9223372036854775808.log.rotated", "23.log", "23a.log", "1aaa.log.rotated", "2.log", "3.log.rotated"],
      24,
    ],
    [["rotated.23.log", "mylog42.log"], 0],
    [[], 0],
  ])("%j", (names, count) => expect(restartCountFromLogNames(names)).toBe(count));
});

describe("hosts file", () => {
  const head =
    "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n";
  // kubelet: TestManagedHostsFileContent
  it("of a pod", () => {
    expect(managedHostsContent(["1.2.3.4"], "web", "")).toBe(`${head}1.2.3.4\tweb\n`);
    expect(managedHostsContent(["1.2.3.4", "fd00::1"], "web", "sub.ns.svc.local")).toBe(
      `${head}1.2.3.4\tweb.sub.ns.svc.local\tweb\nfd00::1\tweb.sub.ns.svc.local\tweb\n`,
    );
    expect(managedHostsContent(["1.2.3.4"], "web", "", [{ ip: "5.6.7.8", hostnames: ["a", "b"] }])).toBe(
      `${head}1.2.3.4\tweb\n\n# Entries added by HostAliases.\n5.6.7.8\ta\tb\n`,
    );
  });
  // kubelet: TestNodeHostsFileContent
  it("of a pod on the host's network", () =>
    expect(nodeHostsContent("127.0.0.1\tlocalhost\n")).toBe(
      "# Kubernetes-managed hosts file (host network).\n127.0.0.1\tlocalhost\n",
    ));
});

// kubelet: TestGeneratePodHostNameAndDomain
describe("hostname", () => {
  const long = "a".repeat(62);
  it.each([
    ["the pod's name", {}, "web", "", ""],
    ["spec.hostname", { hostname: "own" }, "web", "own", ""],
    ["with a subdomain", { subdomain: "sub" }, "web", "web", "sub.default.svc.cluster.local"],
    ["Hostname Truncation - pod name is too long", {}, "a".repeat(80), "a".repeat(63), ""],
    ["no dash at the end of what is cut", {}, `${long}-${long}`, long, ""],
    [
      "setHostnameAsFQDN",
      { subdomain: "s", setHostnameAsFQDN: true },
      "web",
      "web.s.default.svc.cluster.local",
      "s.default.svc.cluster.local",
    ],
  ])("%s", (_title, spec, name, hostname, domain) =>
    expect(podHostname(makePod({ spec, metadata: { name } }), "cluster.local")).toEqual({
      hostname: hostname || name,
      domain,
    }),
  );
  it("a name that is too long as FQDN is refused", () =>
    expect(() =>
      podHostname(
        makePod({ spec: { subdomain: "s", setHostnameAsFQDN: true }, metadata: { name: long } }),
        "cluster.local",
      ),
    ).toThrow("is too long"));
});

// kubelet: TestMakePortMappings
describe("port mappings", () => {
  it("of all regular containers, without doubles", () => {
    const pod = makePod({
      spec: {
        initContainers: [container("init", { ports: [{ containerPort: 1 }] })],
        containers: [
          container("a", {
            ports: [
              { name: "foo", containerPort: 80, hostPort: 8080, hostIP: "127.0.0.1" },
              { name: "foo", containerPort: 80, hostPort: 8081 },
              { containerPort: 443, protocol: "UDP" },
              { containerPort: 443, protocol: "UDP" },
              { containerPort: 443, hostIP: "::", protocol: "UDP" },
            ],
          }),
        ],
      },
    });
    expect(portMappings(pod)).toEqual([
      { hostIp: "127.0.0.1", hostPort: 8080, containerPort: 80, protocol: 0 },
      { hostIp: "", hostPort: 0, containerPort: 443, protocol: 1 },
      { hostIp: "::", hostPort: 0, containerPort: 443, protocol: 1 },
    ]);
  });
});

// kubelet: TestApplyDefaultImageTag
describe("image names", () => {
  it.each([
    ["root", "root:latest"],
    ["root:tag", "root:tag"],
    ["registry.example:5000/a/b", "registry.example:5000/a/b:latest"],
    ["root@sha256:e4c0df75810b953d6717b8f8f28298d73870e8aa2a0d5e77b8391f16fdfbbbe2", undefined],
  ])("%s", (image, expected) => expect(applyDefaultImageTag(image)).toBe(expected ?? image));
  it.each(["http://foo", "Upper", "a b", "", "a@sha256:12"])("%j is no name", (image) =>
    expect(() => applyDefaultImageTag(image)).toThrow("couldn't parse image name"),
  );
  it.each([
    ["a", "Always"],
    ["a:latest", "Always"],
    ["a:1", "IfNotPresent"],
    ["a@sha256:e4c0df75810b953d6717b8f8f28298d73870e8aa2a0d5e77b8391f16fdfbbbe2", "IfNotPresent"],
  ])("default policy of %s", (image, policy) => expect(pullPolicy({ image })).toBe(policy));
});

describe("log paths", () => {
  const pod = { name: "web", namespace: "default", uid: "u1" };
  it("are the kubelet's", () => {
    expect(podLogDirectory("/var/log/pods", pod)).toBe("/var/log/pods/default_web_u1");
    expect(podUidOfLogDirectory("default_web_u1")).toBe("u1");
    expect(podUidOfLogDirectory("u1")).toBe("u1");
    expect(legacyLogLink("/l", pod, "c", "id")).toBe("/l/web_default_c-id.log");
    // kubelet: TestLogSymLink
    expect(legacyLogLink("/l", { ...pod, name: "n".repeat(300) }, "c", "id")).toHaveLength(3 + 251 + 4);
  });
});

// kubelet: TestKillContainerGracePeriod
describe("grace period", () => {
  const probe = (seconds: number): { livenessProbe: { terminationGracePeriodSeconds: number } } => ({
    livenessProbe: { terminationGracePeriodSeconds: seconds },
  });
  it.each<[string, number | undefined, number | undefined, object, KillReason, number]>([
    ["default termination grace period", undefined, undefined, {}, "PodKilled", 2],
    ["use pod termination grace period", 30, undefined, {}, "PodKilled", 30],
    ["deletion grace wins", 30, 7, probe(10), "LivenessProbe", 7],
    ["liveness probe overrides pod termination grace period", 30, undefined, probe(10), "LivenessProbe", 10],
    ["probe period > pod period", 30, undefined, probe(300), "LivenessProbe", 300],
    [
      "non-liveness probe failure, use pod termination grace period",
      30,
      undefined,
      probe(10),
      "StartupProbe",
      30,
    ],
    ["pod killed: the probe's does not count", 30, undefined, probe(10), "PodKilled", 30],
  ])("%s", (_title, ofPod, deletion, probes, reason, seconds) => {
    const pod = makePod({
      spec: ofPod === undefined ? {} : { terminationGracePeriodSeconds: ofPod },
      metadata: deletion === undefined ? {} : { deletionGracePeriodSeconds: deletion },
    });
    expect(computeGracePeriod(pod, probes, reason)).toBe(seconds);
  });
});

// kubelet: TestShouldContainerBeRestarted
describe("shouldContainerBeRestarted", () => {
  const pod = makePod();
  const on = (restartPolicy: "Always" | "OnFailure" | "Never"): typeof pod =>
    makePod({ spec: { restartPolicy } });
  const one = container("foo1");
  it.each([
    ["no record", on("Never"), undefined, true],
    ["running", pod, record(pod, "foo1"), false],
    ["unknown", on("Never"), record(pod, "foo1", { state: "unknown" }), true],
    ["failed, OnFailure", on("OnFailure"), record(pod, "foo1", exited(1)), true],
    ["succeeded, OnFailure", on("OnFailure"), record(pod, "foo1", exited(0)), false],
    ["failed, Never", on("Never"), record(pod, "foo1", exited(1)), false],
    ["succeeded, Always", pod, record(pod, "foo1", exited(0)), true],
  ])("%s", (_title, of, found, expected) =>
    expect(shouldContainerBeRestarted(one, of, found)).toBe(expected),
  );
});

describe("termination message", () => {
  const files = new MemoryFiles();
  files.contents.set("/file", "last words");
  files.contents.set("/empty", "");
  files.contents.set(
    "/log",
    "2026-01-01T00:00:00Z stdout F one\n2026-01-01T00:00:00Z stderr P tw\n2026-01-01T00:00:00Z stderr F o\n",
  );
  const base = { message: "", exitCode: 1, reason: "Error", policy: "File", file: "/file", logFile: "/log" };
  it.each([
    ["the file", {}, "last words"],
    ["the runtime's message comes first", { message: "oom" }, "oom: last words"],
    ["empty file", { file: "/empty" }, ""],
    ["missing file", { file: "/none" }, ""],
    ["falls back to logs", { file: "/empty", policy: "FallbackToLogsOnError" }, "one\ntwo\n"],
    ["not when it has a message", { policy: "FallbackToLogsOnError" }, "last words"],
    ["not on success", { file: "/empty", policy: "FallbackToLogsOnError", exitCode: 0 }, ""],
    [
      "not when it never ran",
      { file: "/empty", policy: "FallbackToLogsOnError", reason: "ContainerCannotRun" },
      "",
    ],
  ])("%s", async (_title, more, text) =>
    expect(await readTerminationMessage(files, { ...base, ...more })).toBe(text),
  );
  it("is bounded by lines and by bytes", () => {
    const line = (text: string): string => `2026-01-01T00:00:00Z stdout F ${text}\n`;
    expect(lastLogLines(line("x").repeat(200)).split("\n")).toHaveLength(81);
    expect(lastLogLines(line("y".repeat(500)).repeat(80))).toHaveLength(2048);
    expect(lastLogLines("torn line\n")).toBe("");
  });
});
