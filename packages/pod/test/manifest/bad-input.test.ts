// SPDX-License-Identifier: Apache-2.0

import { describe, expect, it } from "vitest";
import { MAX_PROBLEMS } from "../../src/manifest/problem.ts";
import { podText, problemsOf, read } from "./build.ts";

const LABEL = /a lowercase RFC 1123 label must consist of/;

describe("files that cannot be read as manifests", () => {
  it.each<[string, string | Uint8Array, RegExp]>([
    [
      "invalid YAML, with its line",
      "apiVersion: v1\nkind: [Pod\nmetadata: {}\n",
      /^\d: error: invalid YAML: /,
    ],
    ["an unclosed quote", 'a: "x\n', /invalid YAML: Missing closing "quote/],
    ["a tab as indentation", "a:\n\tb: 1\n", /invalid YAML: /],
    ["broken JSON", '{"apiVersion": "v1",\n "kind": ', /^\d: error: invalid JSON: /],
    ["a binary file", new Uint8Array([0x7f, 0x45, 0x4c, 0x46, 0, 1]), /is binary/],
    ["invalid UTF-8", new Uint8Array([0x61, 0xff, 0xfe]), /not valid UTF-8/],
    ["an empty file", "", /holds no pod/],
    ["only a comment", "# nothing\n", /holds no pod/],
    ["a plain text", "hello\n", /the document is no object/],
    ["a list", "- 1\n", /the document is no object/],
    ["a key that is set twice", podText().replace("spec:", "spec: {}\nspec:"), /key "spec" is set twice/],
    ["a key that is set twice in JSON", '{"a":1,"a":2}', /key "a" is set twice/],
    ["a tag of its own", "a: !ruby/object:Foo {}\n", /invalid YAML: Unresolved tag/],
    ["binary data in YAML", "a: !!binary aGk=\n", /invalid YAML: Unresolved tag/],
    ["a merge of what is no mapping", "<<: 3\n", /a merge key/],
    ["100,000 brackets", "[".repeat(100_000), /nested more than 64 deep/],
    ["100,000 list marks", "- ".repeat(100_000), /nested more than 64 deep/],
    ["an anchor that holds itself", "a: &a {b: *a}\n", /nested more than 64 deep/],
    ["an alias without an anchor", "a: *nothing\n", /alias/i],
  ])("%s", (_name, text, expected) => {
    expect(read(text)).toMatchObject({ failed: true, pods: [] });
    expect(problemsOf(text).join("\n")).toMatch(expected);
  });

  it("refuses an alias bomb while it expands", () => {
    const level = (name: string, of: string): string => `${name}: &${name} [${Array(10).fill(of).join(",")}]`;
    const text = [
      level("a", "x"),
      ..."bcdefgh".split("").map((name, index) => level(name, `*${"abcdefg"[index]}`)),
    ];
    expect(problemsOf(text.join("\n")).join()).toMatch(/expands to more than 20000 values/);
  });

  it("lists at most 50 problems and counts the rest", () => {
    const env = Array.from({ length: 80 }, () => "- {name: A, value: 1}").join("\n");
    const { problems } = read(podText({ container: `env:\n${env}` }));
    expect(problems).toHaveLength(MAX_PROBLEMS + 1);
    expect(problems.at(-1)?.reason).toBe("and 30 more problems");
  });

  it("prints neither control characters nor endless values", () => {
    const [problem] = problemsOf(podText({ spec: `hostname: "\\e[2J${"x".repeat(5000)}"` }));
    expect(problem).not.toContain("\u001b");
    expect(problem?.length).toBeLessThan(700);
  });
});

describe("documents that are no valid pods", () => {
  it.each<[string, string, string | RegExp]>([
    [
      "unknown kind",
      "apiVersion: apps/v1\nkind: Deployment\n",
      /^2: error: kind: no kind "Deployment" of version "apps\/v1"/,
    ],
    [
      "unknown apiVersion",
      "apiVersion: v2\nkind: Pod\n",
      /^1: error: apiVersion: no kind "Pod" of version "v2"/,
    ],
    ["no kind", "apiVersion: v1\n", /kind: Required value/],
    [
      "no containers",
      "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {}\n",
      /spec\.containers: Required value/,
    ],
    [
      "an empty list of containers",
      "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: []}\n",
      /spec\.containers: Required value/,
    ],
    ["no name", podText().replace("name: web", "labels: {}"), /metadata\.name: Required value/],
    [
      "no image",
      podText().replace("    image: busybox:1.36\n", ""),
      /^7: error: spec\.containers\[0\]\.image: Required value/,
    ],
    ["an empty image", podText().replace("busybox:1.36", '""'), /image: Required value/],
    [
      "whitespace in an image",
      podText().replace("busybox:1.36", '"busy box"'),
      /must not contain whitespace/,
    ],
    [
      "a name that is no DNS name",
      podText().replace("name: web", "name: Web_1"),
      /metadata\.name: Invalid value: "Web_1": a lowercase RFC 1123 subdomain/,
    ],
    ["a container name that is no DNS label", podText().replace("name: main", "name: a.b"), LABEL],
    [
      "a long container name",
      podText().replace("name: main", `name: ${"a".repeat(64)}`),
      /must be no more than 63 characters/,
    ],
    ["a namespace that is no DNS label", podText({ metadata: "namespace: A" }), LABEL],
    [
      "a uid that could leave its folder",
      podText({ metadata: 'uid: "../../etc"' }),
      /metadata\.uid: Invalid value/,
    ],
    [
      "two containers of one name",
      podText({ spec: "initContainers: [{name: main, image: a:1}]" }),
      /Duplicate value: "main"/,
    ],
    [
      "a port out of range",
      podText({ container: "ports: [{containerPort: 70000}]" }),
      /containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive/,
    ],
    ["port 0", podText({ container: "ports: [{containerPort: 0}]" }), /must be between 1 and 65535/],
    [
      "a negative hostPort",
      podText({ container: "ports: [{containerPort: 1, hostPort: -1}]" }),
      /must be greater than or equal to 0/,
    ],
    [
      "a port name",
      podText({ container: "ports: [{containerPort: 1, name: HTTP}]" }),
      /must contain only alpha-numeric characters/,
    ],
    [
      "two ports of one name",
      podText({ container: "ports: [{containerPort: 1, name: a}, {containerPort: 2, name: a}]" }),
      /Duplicate value: "a"/,
    ],
    [
      "one hostPort twice",
      podText({ container: "ports: [{containerPort: 1, hostPort: 80}, {containerPort: 2, hostPort: 80}]" }),
      /Duplicate value: "TCP\/\/80"/,
    ],
    [
      "another hostPort with hostNetwork",
      podText({ container: "ports: [{containerPort: 1, hostPort: 80}]", spec: "hostNetwork: true" }),
      /must match `containerPort` when `hostNetwork` is true/,
    ],
    [
      "a negative grace period",
      podText({ spec: "terminationGracePeriodSeconds: -1" }),
      /^9: error: spec\.terminationGracePeriodSeconds: Invalid value: -1: must be greater than or equal to 0/,
    ],
    [
      "activeDeadlineSeconds 0",
      podText({ spec: "activeDeadlineSeconds: 0" }),
      /must be between 1 and 2147483647/,
    ],
    [
      "an unknown restart policy",
      podText({ spec: "restartPolicy: Sometimes" }),
      /Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"/,
    ],
    [
      "an unknown field, with a hint",
      podText({ container: "comand: [a]" }),
      /unknown field "spec\.containers\[0\]\.comand"; did you mean "command"\?/,
    ],
    [
      "a number as a label",
      podText({ metadata: "labels: {a: 1}" }),
      /metadata\.labels\.a: must be a string, not a number \(put quotes around it\)/,
    ],
    [
      "the Norway problem",
      podText({ container: "env: [{name: COUNTRY, value: no}]" }),
      /value: must be a string, not a boolean \(YAML reads yes, no/,
    ],
    [
      "a string as a number",
      podText({ spec: 'terminationGracePeriodSeconds: "30"' }),
      /must be an integer, not a string/,
    ],
    ["a fraction", podText({ spec: "terminationGracePeriodSeconds: 1.5" }), /must be an integer/],
    [
      "a string as a boolean",
      podText({ spec: 'hostNetwork: "true"' }),
      /must be true or false, not a string/,
    ],
    ["an object as a list", podText({ container: "args: {a: b}" }), /args: must be a list, not an object/],
    ["a null in a list", podText({ container: "args: [~]" }), /args\[0\]: must be a value, not null/],
    ["no quantity", podText({ container: "resources: {limits: {memory: 64MB}}" }), /must be a quantity like/],
    [
      "a negative quantity",
      podText({ container: "resources: {limits: {cpu: -1}}" }),
      /must be greater than or equal to 0/,
    ],
    [
      "a request above its limit",
      podText({ container: "resources: {limits: {cpu: 500m}, requests: {cpu: 1}}" }),
      /must be less than or equal to cpu limit of 500m/,
    ],
    [
      "a part of a device",
      podText({ container: "resources: {limits: {nvidia.com/gpu: 500m}}" }),
      /must be an integer/,
    ],
    [
      "a device that is requested without a limit",
      podText({ container: "resources: {requests: {nvidia.com/gpu: 1}}" }),
      /limits\[nvidia\.com\/gpu\]: Required value: Limit must be set for non overcommitable resources/,
    ],
    [
      "a request for fewer devices than the limit",
      podText({ container: "resources: {requests: {nvidia.com/gpu: 1}, limits: {nvidia.com/gpu: 2}}" }),
      /must be equal to nvidia\.com\/gpu limit of 2/,
    ],
    [
      "a mount of no volume",
      podText({ container: "volumeMounts: [{name: v, mountPath: /a}]" }),
      /volumeMounts\[0\]\.name: Not found: "v"/,
    ],
    [
      "one mountPath twice",
      podText({
        container: "volumeMounts: [{name: v, mountPath: /a}, {name: v, mountPath: /a/}]",
        spec: "volumes: [{name: v}]",
      }),
      /must be unique/,
    ],
    [
      "a relative mountPath",
      podText({ container: "volumeMounts: [{name: v, mountPath: a}]", spec: "volumes: [{name: v}]" }),
      /must be an absolute path/,
    ],
    [
      "a hostPath that climbs",
      podText({ spec: "volumes: [{name: v, hostPath: {path: /a/../etc}}]" }),
      /must not contain '\.\.'/,
    ],
    ["two volumes of one name", podText({ spec: "volumes: [{name: v}, {name: v}]" }), /Duplicate value: "v"/],
    [
      "two sources of a volume",
      podText({ spec: "volumes: [{name: v, emptyDir: {}, hostPath: {path: /a}}]" }),
      /may not specify more than 1 volume type/,
    ],
    [
      "a hook without a handler",
      podText({ container: "lifecycle: {preStop: {}}" }),
      /must specify a handler type/,
    ],
    [
      "a hook with two handlers",
      podText({ container: "lifecycle: {preStop: {exec: {command: [a]}, sleep: {seconds: 1}}}" }),
      /may not specify more than 1 handler type/,
    ],
    [
      "a sleep beyond the grace period",
      podText({ container: "lifecycle: {preStop: {sleep: {seconds: 31}}}" }),
      /less than or equal to terminationGracePeriodSeconds \(30\)/,
    ],
    [
      "a hook of an init container",
      podText({
        spec: "initContainers: [{name: i, image: a:1, lifecycle: {preStop: {exec: {command: [a]}}}}]",
      }),
      /may not be set for init containers without restartPolicy=Always/,
    ],
    [
      "a restart policy of an init container",
      podText({ spec: "initContainers: [{name: i, image: a:1, restartPolicy: Never}]" }),
      /Unsupported value: "Never": supported values: "Always"/,
    ],
    [
      "dnsPolicy None without nameservers",
      podText({ spec: "dnsPolicy: None" }),
      /must provide at least one DNS nameserver/,
    ],
    [
      "a nameserver that is no address",
      podText({ spec: "dnsConfig: {nameservers: [dns.example]}" }),
      /must be a valid IP address/,
    ],
    [
      "a host alias that is no address",
      podText({ spec: "hostAliases: [{ip: 1.2.3, hostnames: [a]}]" }),
      /must be a valid IP address/,
    ],
    ["a hostname", podText({ spec: "hostname: A" }), LABEL],
    [
      "hostPID with shareProcessNamespace",
      podText({ spec: "hostPID: true\nshareProcessNamespace: true" }),
      /cannot both be enabled/,
    ],
    [
      "runAsUser -1",
      podText({ spec: "securityContext: {runAsUser: -1}" }),
      /must be greater than or equal to 0/,
    ],
    [
      "a capability",
      podText({ container: "securityContext: {capabilities: {add: [net admin]}}" }),
      /must be the name of a capability/,
    ],
    [
      "privileged without escalation",
      podText({ container: "securityContext: {privileged: true, allowPrivilegeEscalation: false}" }),
      /cannot set `allowPrivilegeEscalation` to false and `privileged` to true/,
    ],
    [
      "a probe without a handler",
      podText({ container: "livenessProbe: {periodSeconds: 1}" }),
      /livenessProbe: Required value: must specify a handler type/,
    ],
    [
      "successThreshold of a liveness probe",
      podText({ container: "livenessProbe: {exec: {command: [a]}, successThreshold: 2}" }),
      /successThreshold: Invalid value: 2: must be 1/,
    ],
    [
      "an environment name",
      podText({ container: 'env: [{name: "A=B"}]' }),
      /printable ASCII characters other than '='/,
    ],
    [
      "a downward API path",
      podText({ container: "env: [{name: A, valueFrom: {fieldRef: {fieldPath: spec.image}}}]" }),
      /Unsupported value: "spec\.image"/,
    ],
    ["another node's name", podText({ spec: "nodeName: n2" }), /meant for another node/],
    [
      "a mirror pod",
      podText({ metadata: "annotations: {kubernetes.io/config.mirror: x}" }),
      /mirror of a static pod/,
    ],
    [
      "a back-off that is none, naming the annotation",
      podText({ metadata: 'annotations: {holdfast.agent/crash-loop-back-off: "initial=1s, facter=2"}' }),
      /metadata\.annotations\[holdfast\.agent\/crash-loop-back-off\]: Invalid value: .*"facter" is none of initial, factor, max, reset/,
    ],
  ])("%s", (_name, text, expected) => {
    expect(read(text)).toMatchObject({ failed: true, pods: [] });
    expect(problemsOf(text).join("\n")).toMatch(expected);
  });

  it("says everything at once, in the order of the file", () => {
    const text = podText({
      container: "ports: [{containerPort: 0}]\nstdinn: true",
      spec: "restartPolicy: Maybe\nhostname: A",
    });
    expect(problemsOf(text).map((line) => line.replace(/^(\d+: error: [^:]*).*/s, "$1"))).toEqual([
      "9: error: spec.containers[0].ports[0].containerPort",
      "10: error: spec.containers[0].stdinn",
      "11: error: spec.restartPolicy",
      "12: error: spec.hostname",
    ]);
  });

  it("never prints the value of an environment variable", () => {
    for (const value of ["[hunter2]", "{hunter2: hunter2}", "12345hunter2\n  - }", "123454321"]) {
      const text = podText({
        container: `env:\n- name: PASSWORD\n  value: ${value}\n  valueFrom: {fieldRef: {fieldPath: x}}`,
      });
      expect(problemsOf(text).join("\n")).not.toMatch(/hunter2|123454321/);
    }
  });
});
