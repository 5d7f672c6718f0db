// SPDX-License-Identifier: Apache-2.0
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { HoldfastError } from "@holdfast/core/errors";
import { lockStateFolder } from "@holdfast/store";
import { expect, test } from "vitest";
import { childProgram, kill9, temporaryFolder } from "./folder.ts";

const HOLDER = `import { lockStateFolder } from "@holdfast/store";
  lockStateFolder(process.argv[1]);
  process.stdout.write("ready\\n");
  process.stdin.resume();`;

function refusal(folder: string): HoldfastError {
  try {
    lockStateFolder(folder).release();
  } catch (error) {
    if (HoldfastError.is(error)) return error;
    throw error;
  }
  throw new Error("was not refused");
}

test("a second agent is refused by name of the first, until that one is killed", async () => {
  using folder = temporaryFolder();
  const state = join(folder.path, "state");
  const child = await childProgram(HOLDER, state);
  const error = refusal(state);
  expect([error.code, error.kind, error.details["pid"]]).toEqual(["STORE_LOCKED", "permanent", child.pid]);
  expect(error.message).toContain(`process ${child.pid} already runs on the state folder ${state}`);
  expect(statSync(state).mode & 0o777).toBe(0o700);
  rmSync(join(state, "lock.pid"));
  expect(refusal(state).message).toContain("another process already runs");
  await kill9(child);
  using lock = lockStateFolder(state);
  expect(lock.folder).toBe(state);
  expect(readFileSync(join(state, "lock.pid"), "utf8")).toBe(`${process.pid}\n`);
});

test("the same process is refused too, and release lets go, twice if need be", () => {
  using folder = temporaryFolder();
  const lock = lockStateFolder(folder.path);
  expect(refusal(folder.path).details["pid"]).toBe(process.pid);
  lock.release();
  lock.release();
  expect(existsSync(join(folder.path, "lock.pid"))).toBe(false);
  lockStateFolder(folder.path).release();
});

test("a lock file full of garbage and a stale pid are no obstacle", () => {
  using folder = temporaryFolder();
  writeFileSync(join(folder.path, "lock.db"), "garbage ".repeat(1000));
  writeFileSync(join(folder.path, "lock.pid"), "999999\n");
  using lock = lockStateFolder(folder.path);
  expect(lock.folder).toBe(folder.path);
  expect(refusal(folder.path).details["pid"]).toBe(process.pid);
});
