// SPDX-License-Identifier: Apache-2.0
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

const script = join(dirname(fileURLToPath(import.meta.url)), "..", "scripts", "check-floors.mjs");
let root = "";

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "floors-"));
  write("package.json", JSON.stringify({ devDependencies: { vitest: "1" } }));
  addPackage("core", 0);
  addPackage("cri", 1, ["@holdfast/core"]);
  addPackage("store", 1, ["@holdfast/core"]);
  addPackage("cri-fake", 2, ["@holdfast/cri"]);
  addPackage("pleg", 2, ["@holdfast/core"], ["@holdfast/cri-fake"]);
  addPackage("pod", 2, ["@holdfast/core"]);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function write(path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

function addPackage(
  name: string,
  floor: number | undefined,
  dependencies: string[] = [],
  dev: string[] = [],
): void {
  const versions = (names: string[]) => Object.fromEntries(names.map((entry) => [entry, "workspace:*"]));
  const manifest = {
    name: `@holdfast/${name}`,
    dependencies: versions(dependencies),
    devDependencies: versions(dev),
    ...(floor === undefined ? {} : { holdfast: { floor } }),
  };
  write(`packages/${name}/package.json`, JSON.stringify(manifest));
}

function check(): Promise<{ status: number; lines: string[] }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [script, "--root", root], (error, stdout) => {
      const lines = stdout.trim().split("\n").slice(0, -1);
      resolve({ status: error ? Number(error.code) : 0, lines });
    });
  });
}

describe("a house in order", () => {
  test("passes", async () => {
    write("packages/pleg/src/index.ts", 'export { relist } from "./relist.ts";\n');
    write(
      "packages/pleg/src/relist.ts",
      'import type { Clock } from "@holdfast/core/clock";\nexport const relist = (c: Clock) => c;\n',
    );
    write(
      "packages/pleg/src/node/socket.ts",
      'import { connect } from "node:net";\nexport const open = () => setTimeout(connect, 1);\n',
    );
    write(
      "packages/pleg/test/relist.test.ts",
      'import { test } from "vitest";\nimport { FakeRuntime } from "@holdfast/cri-fake";\n',
    );
    write(
      "packages/cri/src/client.ts",
      'import net from "node:net";\nexport const now = () => Date.now() + Number(net);\n',
    );
    expect(await check()).toEqual({ status: 0, lines: [] });
  });

  test("names in comments, strings, regular expressions and members are no violations", async () => {
    const text = [
      "// setTimeout(), Date.now() and import x from 'node:fs'",
      "/* console.log(process.env) */",
      'export const text = "Date.now() \\" process.exit";',
      "export const template = `console.log ${'setTimeout(1)'} ${`nested ${1} process.pid`} Date.now()`;",
      "export const pattern = /[/\"']process.exit/;",
      "export const later = (clock: typeof globalThis) => clock.setTimeout(1);",
      "export const info = { process: 1, console: 2 };",
      "export const dated = new Date(0);",
    ];
    write("packages/pod/src/a.ts", text.join("\n"));
    expect(await check()).toEqual({ status: 0, lines: [] });
  });
});

describe("arrows", () => {
  test.each([
    [
      "sideways between managers",
      "packages/pod/src/a.ts",
      'import { x } from "@holdfast/pleg";',
      /points sideways/,
    ],
    [
      "sideways in a test",
      "packages/pod/test/a.test.ts",
      'import { x } from "@holdfast/pleg";',
      /points sideways/,
    ],
    ["up", "packages/core/src/a.ts", 'import type { Cri } from "@holdfast/cri/client";', /points up/],
    [
      "a manager to the store",
      "packages/pod/src/a.ts",
      'import { Store } from "@holdfast/store";',
      /takes a checkpoint port/,
    ],
    ["by export from", "packages/pod/src/a.ts", 'export { x } from "@holdfast/pleg";', /points sideways/],
    [
      "by a dynamic import",
      "packages/pod/src/a.ts",
      'const x = await import("@holdfast/pleg");',
      /points sideways/,
    ],
    [
      "over several lines",
      "packages/pod/src/a.ts",
      'import {\n  x,\n  type y,\n} from "@holdfast/pleg";',
      /points sideways/,
    ],
    [
      "out of the package",
      "packages/pod/src/a.ts",
      'import { x } from "../../pleg/src/x.ts";',
      /leaves the package/,
    ],
    [
      "the fake in sources",
      "packages/pleg/src/a.ts",
      'import { x } from "@holdfast/cri-fake";',
      /points sideways/,
    ],
    [
      "undeclared",
      "packages/pod/src/a.ts",
      'import { parse } from "yaml";',
      /yaml is not in @holdfast\/pod's dependencies/,
    ],
    [
      "undeclared in the workspace",
      "packages/pod/src/a.ts",
      'import { x } from "@holdfast/cri";',
      /@holdfast\/cri is not in/,
    ],
    ["a tool in sources", "packages/pod/src/a.ts", 'import { vi } from "vitest";', /vitest is not in/],
  ])("%s", async (_name, file, text, expected) => {
    write(file, `${text}\n`);
    const { status, lines } = await check();
    expect(status).toBe(1);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(expected);
    expect(lines[0]).toContain(`${file}:1:`);
  });

  test("in a manifest", async () => {
    addPackage("pod", 2, ["@holdfast/pleg"]);
    addPackage("probe", undefined);
    const { lines } = await check();
    expect(lines).toEqual([
      expect.stringMatching(/packages\/pod\/package\.json:1: .*sideways/),
      expect.stringMatching(/packages\/probe\/package\.json:1: .*no "holdfast"/),
    ]);
  });
});

describe("seams and habits", () => {
  test.each([
    ["import { readFileSync } from 'node:fs';", /node:fs outside src\/node/],
    ["import fs from 'fs';", /fs outside src\/node/],
    ["const at = Date.now();", /Clock/],
    ["const at = new Date();", /Clock/],
    ["const at = performance.now();", /Clock/],
    ["setTimeout(() => {}, 1);", /Clock/],
    ["const t = `${setInterval(f, 1)}`;", /Clock/],
    ["const home = process.env.HOME;", /process/],
    ["console.log(1);", /Logger/],
    ['export * from "./b.ts";', /export \*/],
    ["export default 1;", /default/],
  ])("%s", async (text, expected) => {
    write("packages/pod/src/a.ts", `const first = 1;\n${text}\n`);
    const { status, lines } = await check();
    expect(status).toBe(1);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(expected);
    expect(lines[0]).toContain("packages/pod/src/a.ts:2:");
  });

  test("long files, except generated ones", async () => {
    write("packages/pod/src/a.ts", "\n".repeat(451));
    write("packages/pod/src/b.ts", "\n".repeat(450));
    write("packages/pod/src/gen/c.ts", "\n".repeat(9000));
    expect((await check()).lines).toEqual([expect.stringContaining("packages/pod/src/a.ts:450: 451 lines")]);
  });

  test("vague names and tests that do not run", async () => {
    write("packages/pod/src/utils.ts", "export const a = 1;\n");
    write("packages/pod/test/a.test.ts", 'import { test } from "vitest";\ntest.skip("a", () => {});\n');
    const { lines } = await check();
    expect(lines).toHaveLength(2);
  });
});
