// SPDX-License-Identifier: Apache-2.0
/* Running other programs: always with a time limit, never through a shell. */
import { spawn } from "node:child_process";
import { SetupError } from "./say.mjs";

/** How much of a program's output is kept, in characters of each stream; the end is what matters. */
const KEPT = 1024 * 1024;

/**
 * Runs a program and collects what it prints. Never rejects because of the exit status.
 * @param {string} program
 * @param {string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, timeoutMs?: number, show?: boolean, input?: string }} [options]
 *   `show` passes the output through to the user instead of collecting it
 * @returns {Promise<{ status: number, stdout: string, stderr: string, timedOut: boolean }>} status 127 when the program is absent
 */
export function tryRun(program, args, options = {}) {
  const { cwd, env, timeoutMs = 60_000, show = false, input } = options;
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      cwd,
      env,
      stdio: [input === undefined ? "ignore" : "pipe", show ? 2 : "pipe", show ? 2 : "pipe"],
    });
    const result = { status: 1, stdout: "", stderr: "", timedOut: false };
    const timer = setTimeout(() => {
      result.timedOut = true;
      child.kill("SIGTERM");
      setTimeout(() => child.kill("SIGKILL"), 3000).unref();
    }, timeoutMs);
    for (const stream of ["stdout", "stderr"]) {
      child[stream]
        ?.setEncoding("utf8")
        .on("data", (text) => (result[stream] = (result[stream] + text).slice(-KEPT)));
    }
    if (input !== undefined) child.stdin.on("error", () => {}).end(input);
    child.on("error", (error) => {
      clearTimeout(timer);
      resolve({ ...result, status: error.code === "ENOENT" ? 127 : 126, stderr: String(error.message) });
    });
    child.on("close", (code) => {
      clearTimeout(timer);
      resolve({ ...result, status: code ?? 1 });
    });
  });
}

/**
 * Runs a program that must succeed.
 * @param {string} program
 * @param {string[]} args
 * @param {Parameters<typeof tryRun>[2] & { what?: string, next?: string }} [options] `what` names the work in the error
 * @returns {Promise<string>} its standard output
 */
export async function run(program, args, options = {}) {
  const result = await tryRun(program, args, options);
  if (result.status === 0) return result.stdout;
  const how = result.timedOut
    ? `took more than ${(options.timeoutMs ?? 60_000) / 1000} s`
    : `ended with status ${result.status}`;
  const output = `${result.stdout}\n${result.stderr}`.trim().split("\n").slice(-25).join("\n");
  throw new SetupError(
    `${options.what ?? [program, ...args].join(" ").slice(0, 200)}: ${how}`,
    options.next,
    output,
  );
}

/** Waits in steps until `condition` returns something true, or gives up and returns undefined. */
export async function waitFor(condition, timeoutMs, stepMs = 50) {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (performance.now() >= end) return undefined;
    await new Promise((resolve) => setTimeout(resolve, stepMs));
  }
}
