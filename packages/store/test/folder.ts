// SPDX-License-Identifier: Apache-2.0

import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "@holdfast/core/log";
import type { Logger } from "@holdfast/core/log";

/** A folder of the test's own that goes away with it. */
export function temporaryFolder(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), "holdfast-store-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** Keeps the messages of `error` lines. */
export function errorLog(): { readonly logger: Logger; readonly errors: string[] } {
  const errors: string[] = [];
  return { errors, logger: { ...silentLogger, error: (message) => void errors.push(message) } };
}

/** Runs a program in a process of its own and resolves when it prints `ready`. */
export async function childProgram(program: string, ...args: string[]): Promise<ChildProcess> {
  const flags = ["--conditions=@holdfast/source", "--input-type=module-typescript", "--eval", program, "--"];
  const child = spawn(process.execPath, [...flags, ...args], {
    stdio: ["pipe", "pipe", "inherit"],
    cwd: import.meta.dirname,
  });
  await new Promise<void>((resolve, reject) => {
    let text = "";
    child.stdout.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      if (text.includes("ready")) resolve();
    });
    child.on("exit", (code) => reject(new Error(`child ended with ${code}: ${text}`)));
    child.on("error", reject);
  });
  return child;
}

/** kill -9, and waits until it is gone. */
export async function kill9(child: ChildProcess): Promise<void> {
  const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  child.kill("SIGKILL");
  await gone;
}
