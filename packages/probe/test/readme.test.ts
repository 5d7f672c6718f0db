// SPDX-License-Identifier: Apache-2.0
import { execFile } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const folder = join(import.meta.dirname, "..");
const readme = readFileSync(join(folder, "README.md"), "utf8");
const programs = [...readme.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code = ""]) => code);

async function run(name: string, program: string): Promise<string> {
  const file = join(folder, "test", `readme-${name}-${process.pid}.program.ts`);
  writeFileSync(file, program);
  try {
    const options = { timeout: 60_000 };
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ["--conditions=@holdfast/source", file],
      options,
    );
    return stdout;
  } finally {
    rmSync(file, { force: true });
  }
}

test("the README opens with a program that runs", async () => {
  const said = await run("first", programs[0] ?? "");
  expect(said).toMatch(/result: 'success', output: 'state\\n'/);
  expect(said).toContain("failure -> success: state");
  expect(said).toContain("success -> failure: HTTP probe failed with statuscode: 500");
});

test("its handful of lines watches any address", async () => {
  await using server = createServer((_request, response) => void response.end("well"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const code = programs[1] ?? "";
  expect(code.trim().split("\n").length).toBeLessThanOrEqual(5);
  // To its end at the first change.
  const program = code
    .replace("8080", String(port))
    .replace(/`\),/, "`) ?? setImmediate(() => watch.stop()),");
  expect(await run("lines", program)).toContain("failure -> success: well");
});
