// SPDX-License-Identifier: Apache-2.0

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";

const folder = join(import.meta.dirname, "..");
const program = join(folder, "test", `readme-${process.pid}.program.ts`);
const sockets = mkdtempSync(join(tmpdir(), "holdfast-device-"));
afterEach(() => {
  for (const path of [program, sockets]) rmSync(path, { recursive: true, force: true });
});

test("the README's program runs as pasted", () => {
  const code = /```ts\n(.*?)```/s.exec(readFileSync(join(folder, "README.md"), "utf8"))?.[1];
  writeFileSync(program, code ?? "throw new Error('the README has no program')");
  const argv = ["--conditions=@holdfast/source", program, sockets];
  expect(execFileSync(process.execPath, argv, { encoding: "utf8", timeout: 15_000 })).toContain("null-0");
});
