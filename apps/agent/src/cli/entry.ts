// SPDX-License-Identifier: Apache-2.0

import { processTerminal, runCli } from "./main.ts";

/** Entry of the command line's bundle. */
const interrupted = new AbortController();
process.on("SIGINT", () => interrupted.abort(new Error("interrupted")));
process.on("SIGTERM", () => interrupted.abort(new Error("terminated")));
// A closed pipe ("holdfast get pods | head") is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));

async function main(): Promise<void> {
  const code = await runCli(process.argv.slice(2), processTerminal(), interrupted.signal);
  // Whatever still listens must not keep a finished command alive; output is flushed first.
  process.stdout.write("", () => process.exit(code));
}

void main();
