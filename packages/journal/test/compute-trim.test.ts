// SPDX-License-Identifier: Apache-2.0
import { computeTrim } from "@holdfast/journal";
import { expect, test } from "vitest";
import { Bench } from "./builders.ts";

const limits = { maxEvents: 100, maxBytes: 1000, maxAgeMs: 60_000 };
const extent = { rows: 10, bytes: 10, oldestAt: 0, only: false };

test.each([
  ["nothing is over", {}, 60_000, undefined],
  ["too many", { rows: 101 }, 0, "events"],
  ["too many in one segment", { rows: 101, only: true }, 0, "events"],
  ["too large", { bytes: 1001 }, 0, "bytes"],
  ["too large with one segment: the rest is the ledger", { bytes: 1001, only: true }, 0, undefined],
  ["too old", {}, 60_001, "age"],
  ["too old by a clock that went ahead, and all there is", { only: true }, 1e12, undefined],
  ["from the future by a clock that went back", {}, -1e12, undefined],
  ["empty", { oldestAt: undefined, rows: 0 }, 1e12, undefined],
] as const)("%s", (_name, over, now, expected) => {
  expect(computeTrim({ ...extent, ...over }, limits, now)).toBe(expected);
});

test("the file's pages in use stay within the bound", async () => {
  const maxBytes = 1024 * 1024;
  await using bench = new Bench({ maxBytes });
  await bench.journal.start();
  const fill = "x".repeat(400);
  for (let index = 0; index < 20_000; index++) {
    bench.publish("pod/X", { index, fill });
    if (index % 200 === 0) bench.journal.flush();
  }
  bench.journal.flush();
  const [pages] = bench.store.all<{ page_count: number }>("PRAGMA page_count");
  // Between two looks at the bound sixteen batches come in.
  expect((pages?.page_count ?? 0) * 4096).toBeLessThan(maxBytes + 16 * 256 * 600);
  expect(bench.journal.events({ limit: 1 })[0]?.data).toMatchObject({ index: 19_999 });
});
