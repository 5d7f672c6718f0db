// SPDX-License-Identifier: Apache-2.0

import { execFile } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { promisify } from "node:util";

import {
  CriError,
  DEFAULT_DEADLINES,
  ERROR_KINDS,
  ListContainersResponse,
  VersionResponse,
} from "@holdfast/cri";
import { describe, expect, it } from "vitest";

import { resolveOptions } from "../src/options.ts";
import { answers, scriptedServer } from "./scripted-server.ts";

const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");

describe("the README", () => {
  it("opens with a program that runs", async () => {
    const program = /```ts\n([\s\S]*?)```/.exec(readme)?.[1] ?? "";
    await using server = await scriptedServer({
      version: answers(() => VersionResponse.create({ runtimeName: "scripted", runtimeVersion: "1.0" })),
      listContainers: answers(() =>
        ListContainersResponse.create({ containers: [{ id: "c1", metadata: { name: "web" } }] }),
      ),
    });
    // Beside the package, so that it finds it by name.
    const file = new URL(`./readme-${process.pid}.program.ts`, import.meta.url).pathname;
    writeFileSync(file, program);
    try {
      const { stdout } = await promisify(execFile)(process.execPath, [
        "--conditions=@holdfast/source",
        file,
        server.endpoint,
      ]);
      expect(stdout).toBe("scripted 1.0\nc1 web\n");
    } finally {
      rmSync(file);
    }
  });

  it("lists every error code with its kind, and no other", () => {
    const listed = Array.from(readme.matchAll(/^\| `(CRI_\w+)` \| ([\w-]+) \|/gm), ([, code, kind]) => [
      code,
      kind,
    ]);
    expect(Object.fromEntries(listed)).toEqual(ERROR_KINDS);
    expect(CriError.name).toBe("CriError");
  });

  it("gives the defaults as they are", () => {
    const { maxReconnectMs, internedStrings, keepaliveMs } = resolveOptions({ endpoint: "/x" });
    const numbers = [...Object.values(DEFAULT_DEADLINES), maxReconnectMs, internedStrings, keepaliveMs];
    const text = readme.replaceAll(" ", "").replaceAll(" ", "");
    for (const value of numbers) expect(text).toContain(`|${value}|`);
  });
});
