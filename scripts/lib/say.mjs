// SPDX-License-Identifier: Apache-2.0
/* What set-up says: one line a step, on standard error so that a command's own output stays clean; colours only on a terminal. */

const colours = process.stderr.isTTY && !process.env.NO_COLOR && process.env.TERM !== "dumb";
const paint = (code, text) => (colours ? `\u001b[${code}m${text}\u001b[0m` : text);

/** Something that will take a moment, said before it starts. */
export function step(text) {
  process.stderr.write(`${paint("36", "==>")} ${text}\n`);
}

/** A detail of the step above. */
export function note(text) {
  process.stderr.write(`    ${text}\n`);
}

/** Something that works, but less well than it could. */
export function warn(text) {
  process.stderr.write(`${paint("33", "warning:")} ${text}\n`);
}

/** An error that the user can do something about: what is wrong, and the next step. */
export class SetupError extends Error {
  /**
   * @param {string} message what is wrong
   * @param {string} [next] what to do about it
   * @param {string} [detail] a tool's own output, shown below
   */
  constructor(message, next, detail) {
    super(message);
    this.name = "SetupError";
    this.next = next;
    this.detail = detail;
  }
}

/** Prints an error, its detail and the next step. */
export function explain(error) {
  const what = error instanceof SetupError ? error.message : (error?.stack ?? error);
  process.stderr.write(`${paint("31", "error:")} ${what}\n`);
  if (error?.detail) process.stderr.write(`${String(error.detail).trimEnd().replace(/^/gm, "    | ")}\n`);
  if (error?.next) process.stderr.write(`${paint("32", "next:")} ${error.next}\n`);
}

/** Runs a script's main function; an error is explained and makes exit status 1. */
export async function main(run) {
  try {
    const status = await run();
    if (typeof status === "number") process.exitCode = status;
  } catch (error) {
    explain(error);
    process.exitCode = 1;
  }
}
