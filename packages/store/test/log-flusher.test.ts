// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import { silentLogger } from "@holdfast/core/log";
import type { Logger } from "@holdfast/core/log";
import { ManualClock } from "@holdfast/core/manual-clock";
import { openStore } from "@holdfast/store";
import { expect, test } from "vitest";
import { LogFlusher } from "../src/log-flusher.ts";
import { temporaryFolder } from "./folder.ts";

test("many writes make one flush, a second later, and nothing is armed while nothing is written", async () => {
  using folder = temporaryFolder();
  const clock = new ManualClock();
  const store = openStore({ path: join(folder.path, "state.db"), durability: "soon", clock });
  expect(clock.waiting).toBe(0);
  for (let at = 0; at < 50; at++) store.set("pod", `key-${at}`, "value");
  store.transaction(() => store.set("pod", "one more", "value"));
  expect(clock.waiting).toBe(1);
  await clock.advance(1000);
  expect(clock.waiting).toBe(0);
  store.set("pod", "last", "value");
  store.close();
  expect(clock.waiting).toBe(0);
});

test("a store in memory, and one of another durability, flush nothing", () => {
  using folder = temporaryFolder();
  const clock = new ManualClock();
  for (const options of [
    { path: ":memory:", durability: "soon" },
    { path: join(folder.path, "journal.db"), durability: "disposable" },
    { path: join(folder.path, "full.db"), durability: "full" },
  ] as const) {
    using store = openStore({ ...options, clock });
    store.set("pod", "a", "1");
    expect(clock.waiting).toBe(0);
  }
});

test("what is written during a flush is flushed after it; a log that is gone is told and changes nothing", async () => {
  const told = Promise.withResolvers<string>();
  const logger: Logger = { ...silentLogger, debug: (text) => told.resolve(text) };
  const armed: (() => void)[] = [];
  const clock = {
    timer: (_ms: number, due: () => void) => {
      armed.push(due);
      return { cancel: () => void armed.splice(0) };
    },
  };
  const flusher = new LogFlusher("/nonexistent/state.db-wal", clock, logger);
  flusher.written();
  armed[0]?.();
  flusher.written();
  flusher.written();
  expect(armed).toHaveLength(1);
  expect(await told.promise).toBe("store was not flushed");
  await expect.poll(() => armed.length).toBe(2);
  flusher.close();
  expect(armed).toEqual([]);
});
