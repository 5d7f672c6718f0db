// SPDX-License-Identifier: Apache-2.0

import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as eviction from "@holdfast/eviction";
import { afterEach, expect, it } from "vitest";

const folder = join(import.meta.dirname, "..");
const program = join(folder, "test", `readme-${process.pid}.program.ts`);
const readme = readFileSync(join(folder, "README.md"), "utf8");
const sources = readdirSync(join(folder, "src"), { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts"))
  .map((name) => readFileSync(join(folder, "src", name), "utf8"))
  .join("\n");
afterEach(() => rmSync(program, { force: true }));

function all(text: string, pattern: RegExp): string[] {
  return [...new Set(Array.from(text.matchAll(pattern), ([, one = ""]) => one))].sort();
}

it("the program runs as pasted", () => {
  const code = /```ts\n(.*?)```/s.exec(readme)?.[1];
  writeFileSync(program, code ?? "throw new Error('the README has no program')");
  const output = execFileSync(process.execPath, ["--conditions=@holdfast/source", program], {
    encoding: "utf8",
    timeout: 15_000,
  });
  expect(output).toMatch(
    /^ending greedy within 1 s: The node was low on resource: memory\. Threshold quantity: 100Ti, available: \d+\w*\. Container main was using 200Mi/,
  );
  expect(output).toContain("MemoryPressure=True\nDiskPressure=False\nPIDPressure=False");
});

it("lists every event, metric, error code and function", () => {
  const events = all(sources, /"eviction\/(\w+)"/g);
  expect(all(readme, /`eviction\/(\w+)`/g)).toEqual(events);
  expect(Object.keys(eviction)).toEqual(expect.arrayContaining(events));
  expect(all(readme, /`((?:kubelet|holdfast)_\w+)/g)).toEqual(all(sources, /"((?:kubelet|holdfast)_\w+)"/g));
  expect(all(readme, /`(EVICTION_\w+)`/g)).toEqual(all(sources, /"(EVICTION_\w+)"/g));
  const step = /is a pure function: ([\s\S]*?)\n\n/.exec(readme)?.[1] ?? "";
  const functions = all(step, /`(\w+)`/g);
  expect(functions.length).toBeGreaterThan(10);
  expect(Object.keys(eviction)).toEqual(expect.arrayContaining(functions));
});

it("names every option and setting", () => {
  for (const name of ["EvictionManagerOptions", "EvictionSettings"]) {
    const body = new RegExp(`interface ${name} \\{([\\s\\S]*?)\\n\\}`).exec(sources)?.[1] ?? "";
    const options = all(body, /readonly (\w+)\??:/g);
    expect(options.length).toBeGreaterThan(5);
    for (const option of options) expect(readme, option).toContain(`\`${option}\``);
  }
});
