// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const folder = join(import.meta.dirname, "..");

test("the README opens with a program that runs", () => {
  const file = join(folder, "test", `readme-${process.pid}.program.ts`);
  const readme = readFileSync(join(folder, "README.md"), "utf8");
  writeFileSync(file, /```ts\n([\s\S]*?)```/.exec(readme)?.[1] ?? "");
  try {
    const said = execFileSync(process.execPath, ["--conditions=@holdfast/source", file], {
      encoding: "utf8",
      timeout: 60_000,
    });
    expect(said).toContain("ErrImagePull");
    expect(said).toContain('"reason": "Cordoned"');
  } finally {
    rmSync(file, { force: true });
  }
});
