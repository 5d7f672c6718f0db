// SPDX-License-Identifier: Apache-2.0

import fc from "fast-check";
import { describe, expect, it } from "vitest";

import {
  allowedThenTimeout,
  clampDeadline,
  DEFAULT_DEADLINES,
  endless,
  execTimeout,
  imagePull,
  MAX_DEADLINE_MS,
  requestTimeout,
  sandboxStart,
} from "../src/deadlines.ts";

describe("deadlines", () => {
  it.each([
    ["most calls", requestTimeout, {}, 120_000],
    ["RunPodSandbox", sandboxStart, {}, 240_000],
    ["StopContainer without grace", allowedThenTimeout, { timeout: 0n }, 120_000],
    ["StopContainer with 30 s", allowedThenTimeout, { timeout: 30n }, 150_000],
    ["StopContainer with a negative grace", allowedThenTimeout, { timeout: -5 }, 120_000],
    ["ExecSync with 3 s", execTimeout, { timeout: "3" }, 123_000],
    ["ExecSync without a timeout", execTimeout, {}, 600_000],
    ["PullImage", imagePull, {}, 1_800_000],
    ["an absurd grace", allowedThenTimeout, { timeout: 2n ** 62n }, MAX_DEADLINE_MS],
    ["events", endless, {}, Number.POSITIVE_INFINITY],
  ] as const)("%s", (_name, rule, request, expected) => {
    expect((rule as typeof execTimeout)(request, DEFAULT_DEADLINES)).toBe(expected);
  });

  it("are always within bounds", () => {
    fc.assert(
      fc.property(fc.oneof(fc.double(), fc.bigInt().map(Number)), (ms) => {
        const deadline = clampDeadline(ms);
        expect(deadline).toBeGreaterThanOrEqual(0);
        expect(deadline).toBeLessThanOrEqual(MAX_DEADLINE_MS);
      }),
    );
  });
});
