// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LogOwner } from "@holdfast/journal";
import { NodeLogTails, readBootId } from "@holdfast/journal/node";
import { afterAll, expect, test } from "vitest";

const root = mkdtempSync(join(tmpdir(), "journal-logs-"));
afterAll(() => rmSync(root, { recursive: true }));
const tails = new NodeLogTails(root);
const owner = (restartCount: number): LogOwner => ({
  podUid: "u",
  namespace: "default",
  podName: "web",
  container: "c",
  restartCount,
});
const line = (text: string): string => `2026-01-01T00:00:00.000000000Z stdout F ${text}\n`;

function write(restartCount: number, text: string): string {
  const folder = join(root, "default_web_u", "c");
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${restartCount}.log`);
  writeFileSync(file, text);
  return file;
}

async function lines(restartCount: number): Promise<readonly string[] | undefined> {
  const position = await tails.locate(owner(restartCount));
  return position === undefined ? undefined : tails.read(position);
}

test("the last ten lines, without the runtime's prefixes", async () => {
  const file = write(0, Array.from({ length: 30 }, (_, index) => line(`line ${index}`)).join(""));
  expect(await lines(0)).toStrictEqual(Array.from({ length: 10 }, (_, index) => `line ${20 + index}`));
  const position = await tails.locate(owner(0));
  expect(position?.file).toBe(file);
});

test("fewer lines, an empty log, no log, a line without an end", async () => {
  write(1, line("only"));
  expect(await lines(1)).toStrictEqual(["only"]);
  write(2, "");
  expect(await lines(2)).toBeUndefined();
  expect(await lines(3)).toBeUndefined();
  write(4, line("whole") + line("cut").trimEnd());
  expect(await lines(4)).toStrictEqual(["whole", "cut"]);
});

test("long lines: at most 8 KiB, and no half line beside whole ones", async () => {
  write(5, line("x".repeat(20_000)) + line("end"));
  expect(await lines(5)).toStrictEqual(["end"]);
  write(6, line("x".repeat(20_000)));
  expect((await tails.locate(owner(6)))?.length).toBe(8192);
});

test("a file that was rotated or removed since gives nothing", async () => {
  write(7, line("a").repeat(50));
  const position = await tails.locate(owner(7));
  write(7, line("fresh"));
  expect(position === undefined ? "none" : await tails.read(position)).toBeUndefined();
});

test("names lead nowhere else, and nothing outside the folder is read", async () => {
  expect(await tails.locate({ ...owner(0), container: "../../etc" })).toBeUndefined();
  expect(await tails.read({ file: "/etc/hostname", offset: 0, length: 10 })).toBeUndefined();
  expect(await tails.read({ file: `${root}/../x`, offset: 0, length: 10 })).toBeUndefined();
});

test("the boot id", () => {
  expect(readBootId()).toMatch(/^[0-9a-f-]{36}$/);
  expect(readBootId("/nonexistent")).toBe("");
});
