// SPDX-License-Identifier: Apache-2.0

import { execFileSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";

const folder = join(import.meta.dirname, "..");
const program = join(folder, "test", `readme-${process.pid}.program.ts`);
afterEach(() => rmSync(program, { force: true }));

test("the README's program runs as pasted, also where no runtime answers", () => {
  const code = /```ts\n(.*?)```/s.exec(readFileSync(join(folder, "README.md"), "utf8"))?.[1];
  writeFileSync(program, code ?? "throw new Error('the README has no program')");
  const argv = ["--conditions=@holdfast/source", program];
  const env = { ...process.env, CONTAINER_RUNTIME_ENDPOINT: `unix://${program}.sock` };
  const output = execFileSync(process.execPath, argv, {
    encoding: "utf8",
    timeout: 15_000,
    env,
    stdio: ["ignore", "pipe", "ignore"],
  });
  expect(JSON.parse(output)).toMatchObject({ node: { nodeName: hostname(), fs: {} }, pods: [] });
});
