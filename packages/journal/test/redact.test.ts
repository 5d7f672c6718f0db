// SPDX-License-Identifier: Apache-2.0
import { computeSpecDiff, DEFAULT_RULES, REDACTED, redactedJson, scrubText } from "@holdfast/journal";
import type { RedactionSettings } from "@holdfast/journal";
import fc from "fast-check";
import { expect, test } from "vitest";
import { Bench, POD, UID } from "./builders.ts";

const on: RedactionSettings = { outputFirstLine: true, rules: DEFAULT_RULES };
const off: RedactionSettings = { outputFirstLine: false, rules: DEFAULT_RULES };
const kept = (data: unknown, settings = on, type = "x/y"): unknown => {
  const text = redactedJson(type, data, settings);
  return text === "" ? undefined : (JSON.parse(text) as unknown);
};

test.each([
  ["values of env by name", { env: [{ name: "A", value: "s3cret" }] }, { env: ["A"] }],
  ["env as a table", { environment: { A: "s3cret" } }, { environment: ["A"] }],
  ["env as an OCI spec has it", { env: ["A=s3cret", "s3cret"] }, { env: ["A"] }],
  ["fields that say secret", { registryPassword: "s3cret" }, { registryPassword: REDACTED }],
  ["whole objects below such a field", { credentials: { user: "u" } }, { credentials: REDACTED }],
  ["but not a flag", { hasToken: true }, { hasToken: true }],
  ["commands", { command: ["sh", "-c", "echo s3cret"] }, { command: "sh (+2)" }],
  ["output", { output: "first\nsecond" }, { output: { bytes: 12, firstLine: "first" } }],
  ["differences by name", { changes: [{ path: "spec.a", before: "s3cret" }] }, { changes: ["spec.a"] }],
  [
    "one difference",
    { one: { path: "spec.a", before: "s3cret" } },
    { one: { path: "spec.a", before: REDACTED } },
  ],
  ["states", { from: "success", to: "failure" }, { from: "success", to: "failure" }],
  ["undefined and functions", { a: undefined, b: () => 1, c: 2n }, { c: "2" }],
  ["errors", { err: new Error("bad") }, { err: "bad" }],
  ["bytes", { raw: Buffer.from("s3cret") }, { raw: { bytes: 6 } }],
])("kept of %s", (_name, data, expected) => {
  expect(kept(data)).toStrictEqual(expected);
});

test("nothing is written for an empty payload", () => {
  expect([undefined, null, {}, { a: undefined }].map((data) => redactedJson("x/y", data, on))).toStrictEqual([
    "",
    "",
    "",
    "",
  ]);
});

test("without probe output only its length stays", () => {
  const data = {
    message: "Liveness probe failed: first\nsecond",
    firstLine: "first",
    output: "first\nsecond",
  };
  expect(kept(data, on, "probe/ResultChanged")).toMatchObject({ message: "Liveness probe failed: first" });
  expect(kept(data, off, "probe/ResultChanged")).toStrictEqual({
    message: "Liveness probe failed: 12 bytes",
    output: { bytes: 12 },
  });
});

test.each([
  ["http://user:pw@host/x", `http://${REDACTED}@host/x`],
  ["Authorization: Bearer abcdef123456", `Authorization: Bearer ${REDACTED}`],
  ["--password=hunter2 --x=1", `--password=${REDACTED} --x=1`],
  ['{"apiKey": "abc"}', `{"apiKey": ${REDACTED}}`],
  ["-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----", REDACTED],
  ["Container web failed liveness probe", "Container web failed liveness probe"],
  ["http://host/path?a=b", "http://host/path?a=b"],
])("text: %s", (text, expected) => {
  expect(scrubText(text, 1000)).toBe(expected);
});

test("property: a value below env, or under a name that says secret, never gets out", () => {
  const secret = "Zq9!hunter";
  const place = fc.constantFrom("env", "password", "authToken", "clientSecret", "apiKey", "cookie");
  const around = fc.array(fc.constantFrom("a", "spec", "containers", "0"), { maxLength: 4 });
  const shape = fc.constantFrom<(value: string) => unknown>(
    (value) => value,
    (value) => [{ name: "A", value }],
    (value) => ({ A: value }),
    (value) => [value],
    (value) => [`A=${value}`],
  );
  fc.assert(
    fc.property(place, around, shape, (key, path, wrap) => {
      const data = path.reduceRight<unknown>((inner, name) => ({ [name]: inner }), { [key]: wrap(secret) });
      expect(redactedJson("x/y", data, on)).not.toContain(secret);
    }),
  );
});

test("property: what is written is JSON and bounded, whatever was published", () => {
  fc.assert(
    fc.property(fc.anything({ withBigInt: true, withDate: true, withMap: true, withSet: true }), (data) => {
      const text = redactedJson("x/y", data, on);
      expect(text.length).toBeLessThanOrEqual(16_384);
      if (text !== "") JSON.parse(text);
    }),
  );
});

test("a payload that is too large keeps its short fields", () => {
  const data = { reason: "R", list: Array.from({ length: 60 }, () => "x".repeat(900)) };
  expect(kept(data)).toMatchObject({ reason: "R" });
});

test("spec differences name fields, items of lists by name, never values", () => {
  const before = {
    nodeName: "n",
    containers: [
      { name: "web", image: "a:1", env: [{ name: "P", value: "s3cret" }], command: ["a"] },
      { name: "side", image: "b" },
    ],
  };
  const after = {
    nodeName: "n",
    containers: [
      { name: "web", image: "a:2", env: [{ name: "P", value: "other" }], command: ["b", "s3cret"] },
    ],
  };
  expect(computeSpecDiff(before, after)).toStrictEqual([
    "spec.containers[side]",
    "spec.containers[web].command",
    "spec.containers[web].env[P].value",
    "spec.containers[web].image",
  ]);
  expect(computeSpecDiff(before, structuredClone(before))).toStrictEqual([]);
});

test("property: equal specs do not differ, and a difference is told", () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (one, other) => {
      expect(computeSpecDiff(one, structuredClone(one))).toStrictEqual([]);
      const differ = JSON.stringify(one) !== JSON.stringify(other);
      if (!differ) expect(computeSpecDiff(one, other)).toStrictEqual([]);
    }),
  );
});

test("secrets of a manifest do not reach the file", async () => {
  const secret = "Zq9hunter";
  const specs = new Map([[UID, { env: [{ name: "P", value: secret }] }]]);
  await using bench = new Bench({
    specs: {
      get: (uid) => ({
        metadata: { name: "web", namespace: "default", uid },
        spec: { containers: [{ name: "web", image: "i", ...specs.get(uid) }] },
      }),
    },
  });
  await bench.journal.start();
  const pod = { podUid: UID, pod: POD };
  bench.publish("pod/PodAdded", { source: "file" }, pod);
  bench.journal.flush();
  specs.set(UID, { env: [{ name: "P", value: `${secret}2` }] });
  bench.publish("pod/PodUpdated", { source: "file" }, pod);
  bench.publish(
    "pod/X",
    { container: { env: [{ name: "P", value: secret }] }, stderr: `PASSWORD=${secret}` },
    pod,
  );
  const written = JSON.stringify(bench.journal.events());
  expect(written).not.toContain(secret);
  expect(bench.journal.events({ types: ["pod/PodUpdated"] })[0]?.data).toStrictEqual({
    source: "file",
    changed: ["spec.containers[web].env[P].value"],
  });
});
