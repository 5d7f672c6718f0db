// SPDX-License-Identifier: Apache-2.0
import { execFile } from "node:child_process";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import * as resource from "@holdfast/resource";
import { describe, expect, it } from "vitest";

const folder = new URL("../", import.meta.url).pathname;
const readme = readFileSync(join(folder, "README.md"), "utf8");
const sources = readdirSync(join(folder, "src"), { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts"))
  .map((name) => readFileSync(join(folder, "src", name), "utf8"))
  .join("\n");

describe("the README", () => {
  it("opens with a program that runs", async () => {
    const program = /```ts\n([\s\S]*?)```/.exec(readme)?.[1] ?? "";
    // Beside the package, so that it finds it by name.
    const file = join(folder, "test", `readme-${process.pid}.program.ts`);
    writeFileSync(file, program);
    try {
      const args = ["--conditions=@holdfast/source", file];
      const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 20_000 });
      expect(stdout).toMatch(/^0.* are \d+ sockets, \d+ NUMA nodes\na container .* gets CPU 0\n$/);
    } finally {
      rmSync(file);
    }
  });

  it("names every event and every error there is, and nothing that is not there", () => {
    const all = (pattern: RegExp, text: string): string[] =>
      [...new Set(Array.from(text.matchAll(pattern), ([, one = ""]) => one))].sort();
    expect(all(/`(resource\/\w+)`/g, readme)).toEqual(all(/\("?\s*"(resource\/\w+)"/g, sources));
    const expanded = readme.replaceAll("`…_", "`RESOURCE_");
    expect(all(/`(RESOURCE_\w+)`/g, expanded)).toEqual(all(/"(RESOURCE_[A-Z_]+)"/g, sources));
    const [, table = ""] = /\| part \|([\s\S]*?)\n\n/.exec(readme) ?? [];
    const parts = table
      .split("\n")
      .flatMap((line) => Array.from((line.split("|")[1] ?? "").matchAll(/`(\w+)`/g), ([, one = ""]) => one));
    expect(parts.filter((name) => !(name in resource))).toEqual([]);
  });
});
