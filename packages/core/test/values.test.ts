// SPDX-License-Identifier: Apache-2.0
import { formatAge, formatDuration, parseDuration } from "@holdfast/core/duration";
import { errorText, HoldfastError, isNotFound, isRetryable } from "@holdfast/core/errors";
import type { Container, PodSpec } from "@holdfast/core/pod-types";
import { nearestName } from "@holdfast/core/nearest-name";
import { podQosClass } from "@holdfast/core/pod";
import { formatBytes, formatMilli, milliValue, parseQuantity, wholeValue } from "@holdfast/core/quantity";
import { rfc3339, rfc3339Seconds } from "@holdfast/core/rfc3339";
import fc from "fast-check";
import { expect, test } from "vitest";

test.each([
  ["0", 0],
  ["10s", 10_000],
  ["1m30s", 90_000],
  ["1h0m0s", 3_600_000],
  ["250ms", 250],
  ["1.5s", 1500],
  ["-2s", -2000],
])("duration %s is %i ms", (text, ms) => expect(parseDuration(text)).toBe(ms));

test.each(["", "10", "s", "1x", "1 s", "--1s"])("%j is no duration", (text) =>
  expect(() => parseDuration(text)).toThrow(/no duration/),
);

test.each([
  [10_000, "10s"],
  [160_000, "2m40s"],
  [300_000, "5m0s"],
  [3_600_000, "1h0m0s"],
  [250, "250ms"],
])("%i ms prints as %s", (ms, text) => expect(formatDuration(ms)).toBe(text));

test("property: a printed duration reads back", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 10 ** 9 }), (ms) => {
      expect(parseDuration(formatDuration(ms))).toBeCloseTo(ms, 0);
    }),
  );
});

test.each([
  [45_000, "45s"],
  [119_000, "119s"],
  [192_000, "3m12s"],
  [3_600_000, "60m"],
  [7_500_000, "125m"],
  [18_000_000, "5h"],
  [4 * 86_400_000, "4d"],
])("age %i ms is %s as kubectl prints it", (ms, text) => expect(formatAge(ms)).toBe(text));

test.each([
  ["500m", 0.5],
  ["64Mi", 67_108_864],
  ["1e3", 1000],
  ["2", 2],
  [1.5, 1.5],
  ["100n", 1e-7],
  ["1Ki", 1024],
])("quantity %s is %d", (text, value) => expect(parseQuantity(text)).toBeCloseTo(value, 12));

test.each(["", "1.2.3", "10 Mi", "Mi", "1mm", "0x10"])("%j is no quantity", (text) =>
  expect(() => parseQuantity(text)).toThrow(/no quantity/),
);

test("milli and whole values round up, without the noise of doubles", () => {
  expect([milliValue("0.1"), milliValue("100m"), milliValue("1.1"), milliValue("1n")]).toEqual([
    100, 100, 1100, 1,
  ]);
  expect([wholeValue("1Gi"), wholeValue("1.5"), wholeValue("100m")]).toEqual([1_073_741_824, 2, 1]);
});

test("property: times are written as Date writes them, and what is none is the epoch", () => {
  fc.assert(
    fc.property(fc.double({ min: -8.64e15, max: 8.64e15, noNaN: true }), fc.nat(4e12), (any, usual) => {
      for (const ms of [any, usual, -usual]) {
        expect(rfc3339(ms)).toBe(new Date(ms).toISOString());
        const seconds = new Date(Math.max(Math.floor(ms / 1000) * 1000, -8.64e15));
        expect(rfc3339Seconds(ms)).toBe(seconds.toISOString().replace(".000Z", "Z"));
      }
    }),
  );
  for (const none of [Number.NaN, Infinity, 9e15]) expect(rfc3339(none)).toBe("1970-01-01T00:00:00.000Z");
  expect(rfc3339Seconds(Number.NaN)).toBe("1970-01-01T00:00:00Z");
});

test("property: a printed quantity reads back", () => {
  fc.assert(
    fc.property(fc.nat(2 ** 31), fc.nat(5), (value, power) => {
      const bytes = value * 2 ** (4 * power);
      expect(wholeValue(formatBytes(bytes))).toBe(bytes);
      expect(milliValue(formatMilli(value))).toBe(value);
    }),
  );
  expect([formatBytes(0), formatBytes(2 ** 20), formatBytes(1536), formatBytes(1000)]).toEqual([
    "0",
    "1Mi",
    "1536",
    "1000",
  ]);
  expect([formatMilli(0), formatMilli(1500), formatMilli(2000)]).toEqual(["0", "1500m", "2"]);
});

const container = (requests?: Record<string, string>, limits?: Record<string, string>): Container => ({
  name: "c",
  image: "i",
  resources: { ...(requests && { requests }), ...(limits && { limits }) },
});
const both = { cpu: "1", memory: "1Gi" };

// kubelet: TestComputePodQOS
test.each<[string, PodSpec, string]>([
  ["nothing set", { containers: [container()] }, "BestEffort"],
  ["zero quantities do not count", { containers: [container({ cpu: "0" })] }, "BestEffort"],
  ["all equal", { containers: [container(both, both)] }, "Guaranteed"],
  ["only requests", { containers: [container(both)] }, "Burstable"],
  ["only one resource", { containers: [container({ cpu: "1" }, { cpu: "1" })] }, "Burstable"],
  ["one container without limits", { containers: [container(both, both), container()] }, "Burstable"],
  [
    "an init container counts",
    { containers: [container(both, both)], initContainers: [container()] },
    "Burstable",
  ],
  [
    "same amounts written differently",
    { containers: [container({ cpu: "1000m", memory: "1024Mi" }, both)] },
    "Guaranteed",
  ],
])("QoS: %s", (_name, spec, qos) => expect(podQosClass(spec)).toBe(qos));

test("errors are asked by behaviour, through causes", () => {
  const inner = new HoldfastError("CRI_NOT_FOUND", "not-found", "container x does not exist");
  const outer = new Error("stopping container x", { cause: inner });
  expect([isNotFound(outer), isRetryable(outer)]).toEqual([true, false]);
  expect(errorText(outer)).toBe("stopping container x: container x does not exist");
  const grpc = new Error("2 UNKNOWN: no such image");
  const pull = new HoldfastError("T", "retryable", "pulling: no such image", { cause: grpc });
  expect(errorText(pull)).toBe("pulling: no such image");
  expect(errorText(new HoldfastError("T", "retryable", "pulling", { cause: grpc }))).toBe(
    "pulling: 2 UNKNOWN: no such image",
  );
});

test.each([
  ["gte", "get"],
  ["tpo", "top"],
  ["foo", undefined],
  ["comand", "command"],
  ["Imagepullpolicy", "imagePullPolicy"],
  ["entirely-else", undefined],
  ["x".repeat(10_000), undefined],
  ["", undefined],
])("%.20j was meant to be %j", (typed, meant) =>
  expect(nearestName(typed, ["get", "top", "command", "imagePullPolicy"])).toBe(meant),
);
