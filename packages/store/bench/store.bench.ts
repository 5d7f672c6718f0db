// SPDX-License-Identifier: Apache-2.0
/* What a checkpoint costs: sets with and without fsync, in one transaction, gets, a listing. `--ops N` (default 2000). */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openStore } from "@holdfast/store";

const at = process.argv.indexOf("--ops");
const ops = at === -1 ? 2000 : Number(process.argv[at + 1]);
const folder = mkdtempSync(join(tmpdir(), "holdfast-store-bench-"));
const value = JSON.stringify({ startTime: "2026-01-01T00:00:00Z", note: "x".repeat(60) });
const rows: { case: string; ops: number; microsecondsPerOp: number }[] = [];

function measure(name: string, count: number, work: (index: number) => void): void {
  const begun = performance.now();
  for (let index = 0; index < count; index++) work(index);
  rows.push({
    case: name,
    ops: count,
    microsecondsPerOp: Math.round(((performance.now() - begun) * 1e4) / count) / 10,
  });
}

try {
  for (const durability of ["full", "disposable"] as const) {
    const path = join(folder, `${durability}.db`);
    using store = openStore({ path, durability });
    measure(`set, ${durability}`, ops, (index) => store.set("bench", `key-${index % 500}`, value));
    measure(`100 sets in a transaction, ${durability}`, Math.ceil(ops / 100), () =>
      store.transaction(() => {
        for (let index = 0; index < 100; index++) store.set("bench", `key-${index}`, value);
      }),
    );
    measure(`get, ${durability}`, ops, (index) => void store.get("bench", `key-${index % 500}`));
    measure(`entries of 500, ${durability}`, Math.ceil(ops / 100), () => void store.entries("bench"));
    store.close();
    measure(`open and check, ${durability}`, 5, () => openStore({ path, durability }).close());
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
console.table(rows);
const results = process.env["HOLDFAST_BENCH_RESULTS"];
if (results !== undefined) writeFileSync(results, `${JSON.stringify(rows, undefined, 2)}\n`);
