// SPDX-License-Identifier: Apache-2.0

import { expect, it } from "vitest";
import { computeStuckCalls } from "../src/run/compute-stuck-calls.ts";
import type { CallSubject } from "../src/run/compute-stuck-calls.ts";

const SUBJECTS: Readonly<Record<string, CallSubject>> = {
  c1: { pod: "default/web", container: "main", graceSeconds: 30 },
  s1: { pod: "default/web", container: "", graceSeconds: 30 },
};
const whoIs = (id: string): CallSubject | undefined => SUBJECTS[id];

it.each([
  ["StopContainer", "c1", 39_999, []],
  [
    "StopContainer",
    "c1",
    41_000,
    ['pod default/web: StopContainer of container "main" (c1) has not answered for 41s'],
  ],
  ["StartContainer", "c1", 9999, []],
  [
    "StartContainer",
    "c1",
    10_000,
    ['pod default/web: StartContainer of container "main" (c1) has not answered for 10s'],
  ],
  [
    "CreateContainer",
    "main in s1",
    61_000,
    ["pod default/web: CreateContainer (main in s1) has not answered for 1m1s"],
  ],
  ["RunPodSandbox", "default/new", 12_000, ["RunPodSandbox of default/new has not answered for 12s"]],
  ["PullImage", "busybox", 600_000, []],
  ["ContainerStatus", "c1", 600_000, []],
])("%s of %s after %i ms", (method, target, ageMs, lines) => {
  expect(computeStuckCalls([{ method, target, ageMs }], whoIs)).toEqual(lines);
});

it("names the oldest first, and no more than twenty", () => {
  const calls = Array.from({ length: 25 }, (_, index) => ({
    method: "RunPodSandbox",
    target: `default/p${index}`,
    ageMs: 20_000 + index * 1000,
  }));
  const lines = computeStuckCalls(calls, whoIs);
  expect(lines[0]).toBe("RunPodSandbox of default/p24 has not answered for 44s");
  expect(lines).toHaveLength(21);
  expect(lines.at(-1)).toBe("5 more calls have not answered");
});
