// SPDX-License-Identifier: Apache-2.0

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { defaultPullPolicy } from "../../src/manifest/default-pod.ts";
import { parseManifest } from "../../src/manifest/parse-manifest.ts";
import { canonicalJson, fnv128a, staticPodUid } from "../../src/manifest/pod-uid.ts";
import { ProblemList } from "../../src/manifest/problem.ts";
import type { Json } from "../../src/manifest/read-node.ts";
import { readManifest } from "../../src/manifest/read-manifest.ts";
import { validateFiles } from "../../src/manifest/validate-files.ts";
import { podText, problemsOf, read } from "./build.ts";

function parse(text: string): readonly Json[] {
  const problems = new ProblemList("f");
  const documents = parseManifest(text, problems);
  expect(problems.list()).toEqual([]);
  return documents.map(({ value }) => value);
}

describe("YAML as kubectl reads it", () => {
  it.each<[string, Json]>([
    ["yes", true],
    ["No", false],
    ["on", true],
    ["off", false],
    ["y", true],
    ["N", false],
    ["true", true],
    ["0755", 493],
    ["0o17", 15],
    ["0x1F", 31],
    ["0b11", 3],
    ["1_000", 1000],
    ["1e3", 1000],
    [".5", 0.5],
    ["1.0", 1],
    ["1:30", "1:30"],
    ["2001-01-01", "2001-01-01"],
    ["12e", "12e"],
    ["~", null],
    ["null", null],
    ["", null],
    ['"no"', "no"],
    ["'0755'", "0755"],
    ["!!str 1", "1"],
    ["1.36.1", "1.36.1"],
  ])("%s", (text, expected) => {
    expect(parse(`a: ${text}\nb: x\n`)).toEqual([{ a: expected, b: "x" }]);
  });

  it("makes text of keys", () => {
    expect(parse("y: 1\n2: 3\n__proto__: 4\n")).toEqual([JSON.parse('{"true":1,"2":3,"__proto__":4}')]);
  });

  it("merges, and what stands beside the merge key wins", () => {
    expect(parse("base: &b {a: 1, c: 2}\nx:\n  <<: *b\n  a: 3\n")).toEqual([
      { base: { a: 1, c: 2 }, x: { a: 3, c: 2 } },
    ]);
  });

  it("does not let a %YAML directive change the rules", () => {
    expect(parse("%YAML 1.2\n---\na: 0755\nb: no\n")).toEqual([{ a: 493, b: false }]);
  });

  it("reads several documents, lists, and JSON", () => {
    expect(parse("---\na: 1\n---\n# nothing\n---\nb: 2\n")).toEqual([{ a: 1 }, { b: 2 }]);
    expect(parse('{"apiVersion": "v1",\n\t"kind": "List", "items": [{"a": 1}, {"b": 2}]}')).toEqual([
      { a: 1 },
      { b: 2 },
    ]);
    expect(parse("apiVersion: v1\nkind: PodList\nitems: [{metadata: {name: a}}]\n")).toEqual([
      { apiVersion: "v1", kind: "Pod", metadata: { name: "a" } },
    ]);
  });

  it("names the item of a list", () => {
    const text = `apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: a}\n  spec: {containers: [{name: a}]}\n`;
    expect(problemsOf(text)).toEqual(["7: error: items[0].spec.containers[0].image: Required value"]);
  });

  it("reads what was printed, as JSON and as YAML", () => {
    // Keys of a fixed shape: whether printers quote odd keys is their business.
    const key = fc.stringMatching(/^[a-z]{2,6}x$/);
    const { value } = fc.letrec<{ value: Json }>((tie) => ({
      value: fc.oneof(
        { maxDepth: 4 },
        fc.string(),
        fc.integer(),
        fc.boolean(),
        fc.constant(null),
        fc.array(tie("value"), { maxLength: 4 }),
        fc.dictionary(key, tie("value"), { maxKeys: 4 }) as fc.Arbitrary<{ [name: string]: Json }>,
      ),
    }));
    fc.assert(
      fc.property(value, (item) => {
        const object = JSON.parse(JSON.stringify({ item })) as Json;
        for (const text of [
          JSON.stringify(object),
          JSON.stringify(object, null, "\t"),
          stringify(object, { version: "1.1" }),
        ])
          expect(parse(text)).toEqual([object]);
      }),
    );
  });

  it("answers any text with objects or problems", () => {
    const piece = fc.constantFrom(
      "a",
      ":",
      " ",
      "\n",
      "- ",
      "[",
      "]",
      "{",
      "}",
      "&x ",
      "*x",
      "!!",
      "'",
      '"',
      "|",
      "<<",
      "---\n",
      "\t",
      "#",
      "%",
      ",",
      "?",
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
        const content = read(pieces.join(""));
        expect(content.failed).toBe(true);
        expect(content.problems.length).toBeGreaterThan(0);
      }),
    );
  });
});

describe("UIDs", () => {
  it.each([
    ["", "6c62272e07bb014262b821756295c58d"],
    ["a", "d228cb696f1a8caf78912b704e4a8964"],
    ["foobar", "343e1662793c64bf6f0d3597ba446f18"],
  ])("FNV-1a of %j is the published one", (text, hash) => {
    expect(fnv128a(new TextEncoder().encode(text))).toBe(hash);
  });

  // These values must never change: a new version of the agent must not restart pods.
  it.each<[string, string, string]>([
    ["as written", podText(), "13b79f31da7b8bc17b2a78b81d3f1512"],
    [
      "other order, comments and nulls",
      `# c\nspec: {hostname: ~, containers: [{image: "busybox:1.36", name: main}]}\nkind: Pod\napiVersion: v1\nmetadata: {name: web}\n`,
      "13b79f31da7b8bc17b2a78b81d3f1512",
    ],
    ["another image", podText().replace("1.36", "1.37"), "cd532feced52c63c8d9746ba722a1af5"],
    ["a warned field counts", podText({ spec: "priority: 5" }), "2150036af479a58ae31ff1f397834423"],
  ])("is pinned: %s", (_name, text, uid) => {
    expect(read(text).pods[0]?.pod.metadata.uid).toBe(uid);
  });

  it("depends on node and path, and not on the order of keys", () => {
    const document = { b: [1, { d: null, c: "é" }], a: "x" };
    const other = { a: "x", b: [1, { c: "é" }] };
    expect(canonicalJson(document)).toBe('{"a":"x","b":[1,{"c":"é"}]}');
    expect(staticPodUid(document, "n", "/p")).toBe(staticPodUid(other, "n", "/p"));
    const uids = [
      staticPodUid(other, "n", "/p"),
      staticPodUid(other, "m", "/p"),
      staticPodUid(other, "n", "/q"),
    ];
    expect(new Set(uids).size).toBe(3);
  });

  it("keeps a given UID", () => {
    expect(read(podText({ metadata: "uid: 1234-abcd" })).pods[0]?.pod.metadata).toMatchObject({
      uid: "1234-abcd",
      annotations: { "kubernetes.io/config.hash": "1234-abcd" },
    });
  });
});

describe("defaults", () => {
  // kubelet: TestReadPodsFromFileExistAlready
  it("are those of the API server and the kubelet's file source", () => {
    const [entry] = read(podText()).pods;
    const uid = entry?.pod.metadata.uid ?? "";
    expect(entry?.pod).toEqual({
      apiVersion: "v1",
      kind: "Pod",
      metadata: {
        name: "web-n1",
        namespace: "default",
        uid,
        annotations: { "kubernetes.io/config.hash": uid },
      },
      spec: {
        nodeName: "n1",
        restartPolicy: "Always",
        terminationGracePeriodSeconds: 30,
        dnsPolicy: "ClusterFirst",
        schedulerName: "default-scheduler",
        enableServiceLinks: true,
        securityContext: {},
        tolerations: [{ operator: "Exists", effect: "NoExecute" }],
        containers: [
          {
            name: "main",
            image: "busybox:1.36",
            imagePullPolicy: "IfNotPresent",
            terminationMessagePath: "/dev/termination-log",
            terminationMessagePolicy: "File",
          },
        ],
      },
      status: { phase: "Pending" },
    });
  });

  it("fill in ports, requests, probes and volumes", () => {
    const text = podText({
      spec: "hostNetwork: true\nvolumes: [{name: a}, {name: b, hostPath: {path: /b}}]",
      container:
        "ports: [{containerPort: 80}]\nresources: {limits: {cpu: 1, memory: 1Gi}, requests: {cpu: 500m}}\nlivenessProbe: {httpGet: {port: 80}}",
    });
    const spec = read(text).pods[0]?.pod.spec;
    expect(spec?.containers[0]).toMatchObject({
      ports: [{ containerPort: 80, hostPort: 80, protocol: "TCP" }],
      resources: { limits: { cpu: 1, memory: "1Gi" }, requests: { cpu: "500m", memory: "1Gi" } },
      livenessProbe: {
        httpGet: { path: "/", port: 80, scheme: "HTTP" },
        timeoutSeconds: 1,
        periodSeconds: 10,
        successThreshold: 1,
        failureThreshold: 3,
      },
    });
    expect(spec?.volumes).toEqual([
      { name: "a", emptyDir: {} },
      { name: "b", hostPath: { path: "/b", type: "" } },
    ]);
  });

  it.each([
    ["busybox", "Always"],
    ["busybox:latest", "Always"],
    ["busybox:1.36", "IfNotPresent"],
    ["registry:5000/busybox", "Always"],
    ["registry:5000/busybox:1", "IfNotPresent"],
    ["busybox@sha256:abc", "IfNotPresent"],
  ])("pull policy of %s is %s", (image, policy) => {
    expect(defaultPullPolicy(image)).toBe(policy);
  });

  // kubelet: TestStaticPodNameGenerate
  it("lower-cases the node's name in the pod's, and keeps it for nodeName", () => {
    const bytes = new TextEncoder().encode(podText());
    const [entry] = readManifest(bytes, { path: "/a", nodeName: "Node-1" }).pods;
    expect(entry?.pod.metadata.name).toBe("web-node-1");
    expect(entry?.pod.spec.nodeName).toBe("Node-1");
  });
});

describe("validateFiles", () => {
  it("answers for every file, and for pods that two files define", async () => {
    const files = new Map([
      ["/a", podText()],
      ["/b", podText()],
      ["/c", podText({ spec: "hostname: A" })],
    ]);
    const problems = await validateFiles([...files.keys(), "/d"], {
      read: async (path) => {
        const text = files.get(path);
        if (text === undefined) throw new Error("no such file");
        return new TextEncoder().encode(text);
      },
    });
    expect(problems.map(({ file, fieldPath, line }) => [file, fieldPath, line])).toEqual([
      ["/b", "metadata.name", 1],
      ["/c", "spec.hostname", 9],
      ["/d", "", 0],
    ]);
  });

  it("refuses a pod that a file defines twice", () => {
    expect(problemsOf(`${podText()}---\n${podText()}`)).toEqual([
      '13: error: metadata.name: Duplicate value: "default/web-n1"',
    ]);
  });
});
