// SPDX-License-Identifier: Apache-2.0

/**
 * Random walks of the whole agent. `HOLDFAST_TEST_SEED=7` walks one seed, `HOLDFAST_TEST_SEEDS=500` walks 1 to 500.
 */
import { describe, expect, it } from "vitest";
import { Walk } from "./walk.ts";

const SEEDS = seeds();

function seeds(): readonly number[] {
  const one = Number(process.env["HOLDFAST_TEST_SEED"] ?? 0);
  if (one > 0) return [one];
  return Array.from({ length: Number(process.env["HOLDFAST_TEST_SEEDS"] ?? 10) }, (_, index) => index + 1);
}

describe.each(["none", "calls", "lists"] as const)("faults: %s", (faults) => {
  it.each(SEEDS)(
    "seed %i",
    async (seed) => {
      const walk = new Walk(seed, { faults });
      const problems = await walk.run();
      expect(problems, `HOLDFAST_TEST_SEED=${seed}\n${walk.story()}`).toEqual([]);
    },
    120_000,
  );
});
