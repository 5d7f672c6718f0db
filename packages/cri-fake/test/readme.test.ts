// SPDX-License-Identifier: Apache-2.0

import { execFile } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { promisify } from "node:util";

import { expect, it } from "vitest";

it("the README opens with a program that runs", async () => {
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  const program = /```ts\n([\s\S]*?)```/.exec(readme)?.[1] ?? "";
  // Beside the package, so that it finds it by name.
  const file = new URL(`./readme-${process.pid}.program.ts`, import.meta.url).pathname;
  writeFileSync(file, program);
  try {
    const { stdout } = await promisify(execFile)(process.execPath, ["--conditions=@holdfast/source", file]);
    expect(stdout).toMatch(
      /^Error 3 \[ '10\.88\.0\.2' \]\nContainerStatus of [0-9a-f]{64}: injected fault\n$/,
    );
  } finally {
    rmSync(file);
  }
});
