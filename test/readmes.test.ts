// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, expect, test } from "vitest";

const packages = join(import.meta.dirname, "..", "packages");
const scratch = mkdtempSync(join(tmpdir(), "holdfast-readmes-"));
let program = "";
afterEach(() => rmSync(program, { force: true }));
afterAll(() => rmSync(scratch, { recursive: true }));

// The others' READMEs are run by tests of their own, which give them a runtime to talk to.
const ALONE = ["bus", "core", "journal", "node", "resource", "status", "store", "volume"];

test.each(ALONE)("the first program in the README of %s runs as pasted", (name) => {
  const text = readFileSync(join(packages, name, "README.md"), "utf8");
  const code = /```ts\n(.*?)```/s.exec(text)?.[1];
  // Beside the package's own files: that is where its imports resolve.
  program = join(packages, name, `readme-program-${process.pid}.ts`);
  const pasted = code ?? "throw new Error('the README has no program')";
  writeFileSync(program, pasted.replaceAll("/tmp/holdfast-demo", scratch));
  const output = execFileSync(process.execPath, ["--conditions=@holdfast/source", program], {
    encoding: "utf8",
    timeout: 15_000,
  });
  expect(output).not.toBe("");
});

test("every package has a README, and a test that runs its first program", () => {
  for (const name of readdirSync(packages)) {
    expect(readFileSync(join(packages, name, "README.md"), "utf8")).toContain(`# @holdfast/${name}`);
    if (!ALONE.includes(name)) expect(readdirSync(join(packages, name, "test"))).toContain("readme.test.ts");
  }
});
