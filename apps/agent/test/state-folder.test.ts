// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "@holdfast/core/log";
import { systemClock } from "@holdfast/core/node";
import { openStateFolder } from "../src/run/state-folder.ts";
import { VERSION } from "../src/version.ts";
import { expect, test } from "vitest";

test("the folder's identity and checkpoints outlive the agent; a second agent is refused; damage costs history only", () => {
  const dir = mkdtempSync(join(tmpdir(), "holdfast-state-"));
  try {
    const first = openStateFolder(dir, systemClock, silentLogger);
    first.checkpoint("pod").set("k", "v");
    expect(() => openStateFolder(dir, systemClock, silentLogger)).toThrow(/process \d+|another/);
    const { instanceId } = first;
    first[Symbol.dispose]();
    expect(statSync(join(dir, "instance-id")).mode & 0o777).toBe(0o600);

    const second = openStateFolder(dir, systemClock, silentLogger);
    expect([second.instanceId, second.checkpoint("pod").get("k")]).toEqual([instanceId, "v"]);
    second[Symbol.dispose]();

    writeFileSync(join(dir, "state.db"), "garbage ".repeat(1000));
    const third = openStateFolder(dir, systemClock, silentLogger);
    expect([third.instanceId, third.checkpoint("pod").get("k")]).toEqual([instanceId, undefined]);
    third[Symbol.dispose]();
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test("the version is the package's", () => {
  const manifest = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  expect(VERSION).toBe(manifest.version);
});
