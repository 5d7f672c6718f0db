// SPDX-License-Identifier: Apache-2.0

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { NodeOomCounters } from "../src/node/index.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "oom-counters-"));
});
afterEach(() => rmSync(root, { recursive: true }));

function file(path: string, text: string): void {
  mkdirSync(join(root, path, ".."), { recursive: true });
  writeFileSync(join(root, path), text);
}

test("cgroup v2: memory.events of the container's scope", async () => {
  file("cgroup.controllers", "cpu memory\n");
  const path = "/kubepods.slice/kubepods-pod1.slice/cri-containerd-abc.scope";
  file(`${path}/memory.events`, "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 1\n");
  expect(await new NodeOomCounters(root).read(path)).toBe(2);
});

test("cgroup v1: memory.oom_control below the memory controller", async () => {
  file("memory/kubepods/pod1/abc/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n");
  const counters = new NodeOomCounters(root);
  expect(await counters.read("/kubepods/pod1/abc")).toBe(5);
  // A cgroup that is gone, a kernel before 4.13, and a path that would lead out of the tree.
  expect(await counters.read("/kubepods/pod1/gone")).toBeUndefined();
  file("memory/old/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\n");
  expect(await counters.read("/old")).toBeUndefined();
  file("elsewhere/memory.oom_control", "oom_kill 9\n");
  expect(await counters.read("/../elsewhere")).toBeUndefined();
});
