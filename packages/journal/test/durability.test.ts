// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { mkdtempSync, openSync, rmSync, statSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { JOURNAL_MIGRATIONS } from "@holdfast/journal";
import { openStore } from "@holdfast/store";
import { afterAll, expect, test } from "vitest";
import { ABOUT, Bench, ID, POD, UID } from "./builders.ts";

const folder = mkdtempSync(join(tmpdir(), "journal-"));
afterAll(() => rmSync(folder, { recursive: true }));

const CHILD = `
import { Bus, defineEvent } from "@holdfast/bus";
import { systemClock } from "@holdfast/core/node";
import { Journal, JOURNAL_MIGRATIONS } from "@holdfast/journal";
import { openStore } from "@holdfast/store";
const store = openStore({ path: process.argv[1], durability: "disposable", migrations: JOURNAL_MIGRATIONS });
const bus = new Bus({ clock: systemClock });
const journal = new Journal({ database: store, bus, publish: bus, clock: systemClock });
await journal.start();
const X = defineEvent()("pod/X");
for (let index = 0; index < 1000; index++) bus.publish(X, { index }, { subject: { pod: "default/web", podUid: "u" } });
journal.flush();
process.stdout.write("written\\n");
for (;;) { bus.publish(X, {}); await systemClock.sleep(1); }
`;

test("what was written survives kill -9", async () => {
  const path = join(folder, "killed.db");
  const child = spawn(
    process.execPath,
    ["--conditions=@holdfast/source", "--input-type=module", "-e", CHILD, path],
    { cwd: join(import.meta.dirname, ".."), stdio: ["ignore", "pipe", "inherit"] },
  );
  await new Promise<void>((resolve) => child.stdout.once("data", () => resolve()));
  const exited = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await exited;
  await using bench = new Bench({ path });
  const events = bench.journal.events({ pod: POD, limit: 2000 });
  expect(events).toHaveLength(1000);
  expect(events[0]?.data).toStrictEqual({ index: 999 });
});

test.each([
  ["at the start", 16 << 20],
  ["when it is met", 0],
])("a damaged file is set aside %s, and the journal goes on in a fresh one", async (when, checkBytes) => {
  const path = join(folder, `damaged ${when}.db`);
  const store = openStore({ path, durability: "disposable", migrations: JOURNAL_MIGRATIONS });
  store.close();
  const bench = new Bench({ path });
  await bench.journal.start();
  for (let index = 0; index < 5000; index++) {
    bench.publish("pod/X", { index, fill: "x".repeat(200) });
    if (index % 250 === 0) bench.journal.flush();
  }
  bench.journal.flush();
  await bench.journal.stop();
  bench.store.close();
  const { size } = statSync(path);
  const handle = openSync(path, "r+");
  for (let at = 8192; at < size; at += 4096) writeSync(handle, Buffer.alloc(512, 0x5a), 0, 512, at);
  await using again = new Bench({ path, checkBytes });
  await again.journal.start();
  again.starts(0);
  again.dies(1);
  expect(again.journal.flush()).toBe(true);
  expect(again.journal.health().failures).toStrictEqual([]);
  expect(again.journal.terminations()).toMatchObject([{ cause: "ApplicationError" }]);
  expect(again.store.health().setAside).toHaveLength(1);
});

test("numbers of names that a lost file had are not used in the fresh one", async () => {
  const path = join(folder, "replaced.db");
  await using bench = new Bench({ path });
  await bench.journal.start();
  for (let index = 0; index < 50; index++) bench.publish(`pod/T${index}`);
  bench.journal.flush();
  // As the store does it when damage shows: the same connection's statements, on a file without our rows.
  for (const table of ["event", "segment", "termination", "journal_name", "journal_subject", "journal_meta"])
    bench.store.run(`DELETE FROM ${table}`);
  bench.publish("pod/T40");
  bench.starts(0);
  bench.dies(1);
  expect(bench.journal.events({ types: ["pod/T40"] })).toHaveLength(1);
  expect(bench.journal.events({ pod: POD }).map(({ type }) => type)).toStrictEqual([
    "pleg/ContainerDied",
    "pod/ContainerStarted",
    "pod/ContainerStarting",
    "pod/T40",
  ]);
  expect(bench.journal.terminations()).toHaveLength(1);
});

test("a file of the first version keeps its events and its ledger", async () => {
  const path = join(folder, "first.db");
  const old = openStore({ path, durability: "disposable", migrations: JOURNAL_MIGRATIONS.slice(0, 1) });
  const subject = JSON.stringify(ABOUT);
  const entry = JSON.stringify({ seq: 7, pod: POD, container: "web", containerId: ID, cause: "Outside" });
  old.run(
    "INSERT INTO journal_name (id, text, last) VALUES (1, 'pleg/ContainerDied', 7), (2, ?, 7)",
    `pod ${POD}`,
  );
  old.run("INSERT INTO journal_subject VALUES (3, ?, 7, ?, 'web', ?)", subject, UID, ID);
  old.run("INSERT INTO event VALUES (7, 1000, 1000, 1, 3, 2, NULL, '', '{\"exitCode\":137}')");
  old.run("INSERT INTO segment VALUES (7, 7, 1, 1000, 1000)");
  old.run("INSERT INTO termination VALUES (7, ?, 'web', ?, ?)", POD, ID, entry);
  old.close();
  await using bench = new Bench({ path });
  await bench.journal.start();
  expect(bench.journal.events({ pod: POD })).toMatchObject([
    { seq: 7, type: "pleg/ContainerDied", subject: ABOUT, data: { exitCode: 137 } },
  ]);
  expect(bench.journal.terminations({ pod: POD })).toMatchObject([{ cause: "Outside" }]);
  // Told again by the next run's first list: it is the same end.
  bench.dies(137);
  bench.dies(1, { ...ABOUT, containerId: "another" });
  expect(bench.journal.terminations({ pod: POD }).map(({ containerId }) => containerId)).toStrictEqual([
    "another",
    ID,
  ]);
});
