// SPDX-License-Identifier: Apache-2.0
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { ManualClock } from "@holdfast/core/manual-clock";
import { openStore } from "@holdfast/store";
import type { Store } from "@holdfast/store";
import { expect, test } from "vitest";
import { childProgram, errorLog, kill9, temporaryFolder } from "./folder.ts";

const MIGRATIONS = [{ owner: "t", version: 1, sql: "CREATE TABLE t (x TEXT) STRICT" }];

/** Overwrites all pages but the first `from` bytes. */
function overwrite(path: string, from: number, length: number): void {
  const file = openSync(path, "r+");
  writeSync(file, Buffer.alloc(length, 0xa5), 0, length, from);
  closeSync(file);
}

function fill(store: Store, values: number): void {
  store.transaction(() => {
    for (let n = 0; n < values; n++) store.set("n", `key-${n}`, "x".repeat(200));
  });
}

const setAsideIn = (folder: string): string[] =>
  readdirSync(folder)
    .filter((name) => name.includes(".corrupt-"))
    .sort();

test.each<[string, (path: string) => void]>([
  ["garbage", (path) => writeFileSync(path, "this is no database, ".repeat(1000))],
  ["overwritten pages", (path) => overwrite(path, 4096, 16_384)],
  ["an overwritten header", (path) => overwrite(path, 0, 4096)],
  ["cut off", (path) => truncateSync(path, 9000)],
])("at open, %s: set aside, logged once, begun afresh", (_name, damage) => {
  using folder = temporaryFolder();
  const path = join(folder.path, "state.db");
  const before = openStore({ path, durability: "full" });
  fill(before, 500);
  before.close();
  damage(path);
  const { logger, errors } = errorLog();
  const clock = new ManualClock(Date.UTC(2026, 10, 21, 5, 38, 54, 7));
  using store = openStore({ path, durability: "full", migrations: MIGRATIONS, logger, clock });
  expect(store.entries("n")).toEqual([]);
  store.set("n", "a", "1");
  store.run("INSERT INTO t VALUES (?)", "x");
  const kept = `${path}.corrupt-20261121T053854007Z`;
  expect(existsSync(kept)).toBe(true);
  expect(store.health()).toEqual({ failures: [], setAside: [kept], memoryOnly: false });
  expect(errors).toEqual(["store was damaged, set aside, and begun afresh"]);
});

/** Damages the file under an open store and makes it forget the pages that it has in memory. */
function damageOpen(store: Store, path: string): void {
  store.all("PRAGMA wal_checkpoint(TRUNCATE)");
  store.run("PRAGMA shrink_memory");
  overwrite(path, 4096, 64 * 4096);
}

test.each<[string, (store: Store) => unknown, unknown]>([
  ["get", (store) => store.get("n", "key-250"), undefined],
  ["set", (store) => store.set("n", "key-250", "new"), undefined],
  ["entries", (store) => store.entries("n"), []],
  ["all", (store) => store.all("SELECT * FROM t"), []],
  [
    "transaction",
    (store) =>
      store.transaction(() => {
        store.set("n", "key-1", "again");
        return store.get("n", "key-1");
      }),
    "again",
  ],
])("while open, %s is answered from a fresh file", (_name, call, answer) => {
  using folder = temporaryFolder();
  const path = join(folder.path, "state.db");
  const { logger, errors } = errorLog();
  using store = openStore({ path, durability: "full", migrations: MIGRATIONS, logger });
  const insert = store.prepare("INSERT INTO t VALUES (?)");
  for (let n = 0; n < 50; n++) insert.run("y".repeat(300));
  fill(store, 1000);
  damageOpen(store, path);
  expect(call(store)).toEqual(answer);
  expect(errors).toEqual(["store was damaged, set aside, and begun afresh"]);
  expect(setAsideIn(folder.path).length).toBe(1);
  expect(insert.run("a statement from before")).toBe(1);
  expect(store.all("SELECT * FROM t").length).toBe(1);
});

test("at most three damaged files are kept, the newest", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "state.db");
  const clock = new ManualClock();
  for (let round = 0; round < 5; round++) {
    writeFileSync(path, `garbage number ${round} `.repeat(100));
    openStore({ path, durability: "disposable", clock }).close();
    clock.stepWall(60_000);
  }
  expect(setAsideIn(folder.path)).toEqual([
    "state.db.corrupt-20260101T000200000Z",
    "state.db.corrupt-20260101T000300000Z",
    "state.db.corrupt-20260101T000400000Z",
  ]);
});

test("several in the same millisecond do not overwrite one another", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "state.db");
  const clock = new ManualClock();
  for (let round = 0; round < 2; round++) {
    writeFileSync(path, "garbage ".repeat(100));
    openStore({ path, durability: "disposable", clock }).close();
  }
  expect(setAsideIn(folder.path).length).toBe(2);
});

test("a file that cannot be opened: refused, or kept in memory and said so", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "state.db");
  mkdirSync(path);
  expect(() => openStore({ path, durability: "full" })).toThrow(/opening .*state\.db/);
  const { logger, errors } = errorLog();
  using store = openStore({ path, durability: "full", migrations: MIGRATIONS, onUnusable: "memory", logger });
  store.set("n", "a", "1");
  expect(store.get("n", "a")).toBe("1");
  expect(store.health().memoryOnly).toBe(true);
  expect(store.health().failures).toEqual([expect.stringMatching(/^kept in memory only/)]);
  expect(errors).toEqual(["store cannot use its file and goes on in memory"]);
});

test("kill -9 loses nothing that set returned from", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "state.db");
  const child = await childProgram(
    `import { openStore } from "@holdfast/store";
     const store = openStore({ path: process.argv[1], durability: "disposable" });
     for (let n = 0; n < 100; n++) store.set("n", String(n), "v");
     process.stdout.write("ready\\n");
     process.stdin.resume();`,
    path,
  );
  expect(() => openStore({ path, durability: "full", busyTimeoutMs: 0 })).toThrow(/another process holds/);
  await kill9(child);
  using store = openStore({ path, durability: "disposable" });
  expect(store.entries("n").length).toBe(100);
  expect(store.health().setAside).toEqual([]);
});
