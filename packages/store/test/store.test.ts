// SPDX-License-Identifier: Apache-2.0
import { statSync } from "node:fs";
import { join } from "node:path";
import { HoldfastError } from "@holdfast/core/errors";
import { openStore } from "@holdfast/store";
import type { Migration, Store } from "@holdfast/store";
import fc from "fast-check";
import { expect, test } from "vitest";
import { temporaryFolder } from "./folder.ts";

const memory = (migrations: readonly Migration[] = []): Store =>
  openStore({ path: ":memory:", durability: "disposable", migrations });

/** The code of what `work` throws. */
function codeOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (HoldfastError.is(error)) return `${error.code} ${error.kind}`;
    throw error;
  }
  return "nothing";
}

test("a checkpoint sets, gets, overwrites, deletes, by namespace", () => {
  using store = memory();
  store.set("pod", "a", "1");
  store.set("pod", "a", "2");
  store.set("pleg", "a", "3");
  expect([store.get("pod", "a"), store.get("pleg", "a"), store.get("pod", "b")]).toEqual([
    "2",
    "3",
    undefined,
  ]);
  store.delete("pod", "a");
  store.delete("pod", "never there");
  expect(store.entries("pod")).toEqual([]);
  expect(store.entries("pleg")).toEqual([["a", "3"]]);
});

test("entries by prefix takes % and _ as they are and comes in order of key", () => {
  using store = memory();
  const checkpoint = store.checkpoint("n");
  for (const key of ["b", "a_2", "a%1", "aX3", "a_1", "a", "a_\u{10ffff}"]) checkpoint.set(key, key);
  expect(checkpoint.entries("a_").map(([key]) => key)).toEqual(["a_1", "a_2", "a_\u{10ffff}"]);
  expect(checkpoint.entries("").length).toBe(7);
  expect(checkpoint.entries("c")).toEqual([]);
});

test("property: a checkpoint is a map", () => {
  const key = fc.string({ unit: fc.constantFrom("a", "b", "/", "%", "é"), maxLength: 4 });
  const step = fc.record({ key, value: fc.option(fc.string({ unit: "grapheme", maxLength: 8 })) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), key, (steps, prefix) => {
      using store = memory();
      const model = new Map<string, string>();
      for (const { key: at, value } of steps) {
        if (value === null) {
          store.delete("n", at);
          model.delete(at);
        } else {
          store.set("n", at, value);
          model.set(at, value);
        }
      }
      const wanted = [...model]
        .filter(([at]) => at.startsWith(prefix))
        .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
      expect(store.entries("n", prefix)).toEqual(wanted);
    }),
    { numRuns: 50 },
  );
});

test("a transaction keeps all or nothing, and a nested one joins it", () => {
  using store = memory();
  store.transaction(() => {
    store.set("n", "a", "1");
    store.transaction(() => store.set("n", "b", "2"));
  });
  expect(() =>
    store.transaction(() => {
      store.set("n", "c", "3");
      throw new Error("changed my mind");
    }),
  ).toThrow("changed my mind");
  expect(store.entries("n").map(([key]) => key)).toEqual(["a", "b"]);
  const theirs = Object.assign(new Error("no such file"), { code: "ENOENT", syscall: "open" });
  expect(() =>
    store.transaction(() => {
      throw theirs;
    }),
  ).toThrow(theirs);
  expect(() => store.transaction(async () => store.set("n", "d", "4"))).toThrow(TypeError);
  expect(store.entries("n").length).toBe(2);
});

test("files are 0600, a folder that had to be made is 0700", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "deep", "state.db");
  using store = openStore({ path, durability: "full" });
  store.set("n", "a", "1");
  for (const file of [path, `${path}-wal`]) expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(statSync(join(folder.path, "deep")).mode & 0o777).toBe(0o700);
});

test("a second opener is refused and harms nobody", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "state.db");
  const store = openStore({ path, durability: "full" });
  store.set("n", "a", "1");
  const again = (): Store => openStore({ path, durability: "full", busyTimeoutMs: 0, onUnusable: "memory" });
  expect(codeOf(again)).toBe("STORE_BUSY retryable");
  store.set("n", "b", "2");
  store.close();
  using second = again();
  expect(second.entries("n").length).toBe(2);
});

test("wrong SQL, a broken constraint, a huge value and a closed store have codes of their own", () => {
  const store = memory([{ owner: "t", version: 1, sql: "CREATE TABLE t (x INTEGER PRIMARY KEY) STRICT" }]);
  store.run("INSERT INTO t VALUES (?)", 1);
  expect(codeOf(() => store.run("INSERT INTO t VALUES (?)", 1))).toBe("STORE_SQL permanent");
  expect(codeOf(() => store.all("SELECT nonsense"))).toBe("STORE_SQL permanent");
  expect(codeOf(() => store.set("n", "a", "x".repeat((1 << 20) + 1)))).toBe(
    "STORE_VALUE_TOO_LARGE bad-input",
  );
  expect(store.health().failures).toEqual([]);
  store.close();
  store.close();
  expect(codeOf(() => store.get("n", "a"))).toBe("STORE_CLOSED permanent");
  expect(codeOf(() => store.transaction(() => 1))).toBe("STORE_CLOSED permanent");
});

test("more statements by text than the cache holds still work", () => {
  using store = memory();
  for (let n = 0; n < 200; n++) expect(store.all(`SELECT ${n} AS n`)).toEqual([{ n }]);
  expect(store.prepare<{ n: number }>("SELECT ? AS n").get(7)).toEqual({ n: 7 });
});

const STEP_1: Migration = { owner: "pod", version: 1, sql: "CREATE TABLE pod (uid TEXT) STRICT" };
const STEP_2: Migration = { owner: "pod", version: 2, sql: "ALTER TABLE pod ADD COLUMN name TEXT" };

test("migrations are applied once, in order, each owner's own", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "state.db");
  const open = (migrations: readonly Migration[]): Store =>
    openStore({ path, durability: "full", migrations });
  open([STEP_1]).close();
  const store = open([STEP_2, { owner: "pleg", version: 1, sql: "CREATE TABLE pleg (id TEXT)" }, STEP_1]);
  store.run("INSERT INTO pod (uid, name) VALUES (?, ?)", "u", "web");
  store.close();
  // An owner that is not known any more is left alone.
  using last = open([STEP_1, STEP_2]);
  expect(last.all("SELECT * FROM pod")).toEqual([{ uid: "u", name: "web" }]);
  expect(last.all("SELECT owner, version FROM migration")).toEqual([
    { owner: "pleg", version: 1 },
    { owner: "pod", version: 1 },
    { owner: "pod", version: 2 },
    { owner: "store", version: 1 },
  ]);
});

test("a newer file is refused and left as it is", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "state.db");
  const open = (migrations: readonly Migration[]): Store =>
    openStore({ path, durability: "full", migrations, onUnusable: "memory" });
  open([STEP_1, STEP_2]).close();
  expect(codeOf(() => open([STEP_1]))).toBe("STORE_NEWER permanent");
  expect(() => open([STEP_1])).toThrow(/written by a newer version of Holdfast \(pod: 2, known: 1\)/);
  open([STEP_1, STEP_2]).close();
});

test("a migration that fails leaves nothing behind", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "state.db");
  const open = (migrations: readonly Migration[]): Store =>
    openStore({ path, durability: "full", migrations });
  expect(codeOf(() => open([STEP_1, { ...STEP_2, sql: "ALTER TABLE none ADD COLUMN x" }]))).toBe(
    "STORE_MIGRATION permanent",
  );
  expect(codeOf(() => open([STEP_1, { ...STEP_2, sql: "COMMIT" }]))).toBe("STORE_MIGRATION permanent");
  using folder2 = temporaryFolder();
  const other = join(folder2.path, "state.db");
  expect(
    codeOf(() =>
      openStore({ path: other, durability: "full", migrations: [STEP_1, { ...STEP_2, sql: "nonsense" }] }),
    ),
  ).toBe("STORE_MIGRATION permanent");
  using store = openStore({ path: other, durability: "full" });
  expect(store.all("SELECT name FROM sqlite_schema WHERE name = 'pod'")).toEqual([]);
});

test("versions with a gap are a programming error", () => {
  expect(() => memory([STEP_2])).toThrow(TypeError);
  expect(() => memory([STEP_1, STEP_1])).toThrow(TypeError);
});
