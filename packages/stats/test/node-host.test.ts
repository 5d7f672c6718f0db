// SPDX-License-Identifier: Apache-2.0

import { execFileSync } from "node:child_process";
import { linkSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NodeKernelFiles, nodeMeasureTree, nodeStatfs } from "@holdfast/stats/node";
import { afterAll, beforeAll, expect, test } from "vitest";

const signal = new AbortController().signal;
let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "holdfast-stats-"));
  mkdirSync(join(folder, "tree/below/deep"), { recursive: true });
  writeFileSync(join(folder, "tree/a.log"), "x".repeat(10_000));
  writeFileSync(join(folder, "tree/below/b"), "x".repeat(5000));
  writeFileSync(join(folder, "tree/below/deep/c"), "x");
  linkSync(join(folder, "tree/a.log"), join(folder, "tree/below/same"));
  symlinkSync("/usr", join(folder, "tree/usr"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("a folder takes what du says, hard links once, links not followed", async () => {
  const tree = join(folder, "tree");
  const du = (option: string): number =>
    Number(execFileSync("du", ["-sx", ...option.split(" "), tree], { encoding: "utf8" }).split("\t")[0]);
  expect(await nodeMeasureTree(tree, { maxEntries: 1000, signal })).toEqual({
    usedBytes: du("--block-size=1"),
    inodesUsed: du("--inodes"),
    complete: true,
  });
});

test("flat counts the files directly in it", async () => {
  const usage = await nodeMeasureTree(join(folder, "tree"), { maxEntries: 1000, flat: true, signal });
  // The folder itself and a.log.
  expect(usage?.inodesUsed).toBe(2);
});

test("a walk ends at its bound, or at its signal, with a lower bound", async () => {
  const tree = join(folder, "tree");
  expect(await nodeMeasureTree(tree, { maxEntries: 3, signal })).toMatchObject({
    inodesUsed: 3,
    complete: false,
  });
  expect(await nodeMeasureTree(tree, { maxEntries: 1000, signal: AbortSignal.abort() })).toMatchObject({
    complete: false,
  });
});

test("a folder that is not there is undefined", async () => {
  expect(await nodeMeasureTree(join(folder, "none"), { maxEntries: 10, signal })).toBeUndefined();
});

test("a file system has figures that can be true", async () => {
  const disk = await nodeStatfs(folder);
  expect(disk.blocks).toBeGreaterThan(0);
  expect(disk.blocksAvailable).toBeLessThanOrEqual(disk.blocks);
  await expect(nodeStatfs(join(folder, "none"))).rejects.toThrow("ENOENT");
});

test("files below a root; large ones whole; missing ones undefined", () => {
  const long = "line of a long file\n".repeat(5000);
  writeFileSync(join(folder, "long"), long);
  writeFileSync(join(folder, "empty"), "");
  const files = new NodeKernelFiles(`${folder}/`);
  expect(files.read("/long")).toBe(long);
  expect(files.read("/empty")).toBe("");
  expect(files.read("/none")).toBeUndefined();
  expect(files.read("/long/below")).toBeUndefined();
  expect(() => files.read("/tree")).toThrow(expect.objectContaining({ code: "STATS_READ" }));
  expect(files.folders("/tree")).toEqual(["below"]);
  expect(files.folders("/none")).toEqual([]);
  expect(files.link("/tree/usr")).toBe("/usr");
  expect(files.link("/tree")).toBeUndefined();
});

test("a file that is larger than a mebibyte is refused", () => {
  writeFileSync(join(folder, "huge"), "x".repeat(1024 * 1024 + 1));
  expect(() => new NodeKernelFiles(folder).read("/huge")).toThrow("/huge is larger than 1048576 bytes");
});

test("a list that the kernel hands out a page at a time comes whole", () => {
  const names = (text: string): Set<string> => new Set(text.match(/^ *[^\s:]+(?=:)/gm));
  const cat = (): Set<string> => names(execFileSync("cat", ["/proc/self/net/dev"], { encoding: "utf8" }));
  // Others on this machine make and remove interfaces meanwhile.
  const before = cat();
  const read = names(new NodeKernelFiles().read("/proc/self/net/dev") ?? "");
  const after = cat();
  expect(read.size).toBeGreaterThan(0);
  expect([...before].filter((name) => after.has(name) && !read.has(name))).toEqual([]);
});

test("a list that is longer than the first buffer is not cut where a page of it just fits", () => {
  const last = (text: string): string => text.trimEnd().split("\n").at(-1) ?? "";
  const text = new NodeKernelFiles("/", 5000).read("/proc/self/maps") ?? "";
  expect(text.length).toBeGreaterThan(5000);
  // Mappings come and go meanwhile, but the last one is the stack's or the kernel's.
  expect(last(text)).toBe(last(readFileSync("/proc/self/maps", "utf8")));
});
