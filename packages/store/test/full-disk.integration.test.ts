// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ManualClock } from "@holdfast/core/manual-clock";
import { openStore, resilientCheckpoint } from "@holdfast/store";
import { expect, test } from "vitest";
import { temporaryFolder } from "./folder.ts";

/** A real file system of `size`, as root. */
function tmpfs(folder: string, size: string): Disposable & { readonly path: string } {
  execFileSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", folder]);
  return { path: folder, [Symbol.dispose]: () => execFileSync("umount", [folder]) };
}

function fillDisk(folder: string): void {
  expect(() => writeFileSync(join(folder, "filler"), Buffer.alloc(8 << 20))).toThrow(/ENOSPC/);
}

test("a disk that fills up under the store, and is emptied again", async () => {
  using folder = temporaryFolder();
  using disk = tmpfs(folder.path, "1m");
  using store = openStore({ path: join(disk.path, "state.db"), durability: "full" });
  const clock = new ManualClock();
  using checkpoint = resilientCheckpoint({ store, namespace: "n", clock });
  checkpoint.set("before", "1");
  fillDisk(disk.path);
  for (let n = 0; n < 100; n++) checkpoint.set(`k${n}`, "x".repeat(2000));
  expect(checkpoint.waiting).toBeGreaterThan(0);
  expect([checkpoint.get("before"), checkpoint.entries("k").length]).toEqual(["1", 100]);
  rmSync(join(disk.path, "filler"));
  await clock.advance(60_000);
  expect(checkpoint.waiting).toBe(0);
  expect(store.entries("n").length).toBe(101);
  expect(store.health()).toEqual({ failures: [], setAside: [], memoryOnly: false });
});

test("a disk that is full at the start: the store goes on in memory", () => {
  using folder = temporaryFolder();
  using disk = tmpfs(folder.path, "64k");
  fillDisk(disk.path);
  const path = join(disk.path, "state.db");
  expect(() => openStore({ path, durability: "full" })).toThrow(/no space left/);
  using store = openStore({ path, durability: "full", onUnusable: "memory" });
  store.set("n", "a", "1");
  expect([store.get("n", "a"), store.health().memoryOnly]).toEqual(["1", true]);
});
