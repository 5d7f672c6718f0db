// SPDX-License-Identifier: Apache-2.0

import { formatProblem, readManifestFile, validateFiles } from "@holdfast/pod";
import type { Command } from "../command.ts";
import { CommandError } from "../command.ts";

/** `holdfast validate FILE...`. */
export const validateCommand: Command = {
  name: "validate",
  summary: "check manifests without running them",
  usage: "holdfast validate FILE... [--strict]",
  details: [
    "Prints FILE:LINE:COLUMN: severity: FIELD: reason for every problem; needs no agent.",
    "Warnings name fields that have no effect yet. Exits with 1 when a manifest would be refused.",
  ],
  options: { strict: { type: "boolean", help: "warnings count as errors" } },
  local: true,
  async run(context) {
    if (context.args.length === 0)
      throw new CommandError("which files? holdfast validate FILE...", { exitCode: 2 });
    const problems = await validateFiles(context.args, { read: (path) => readManifestFile(path) });
    for (const problem of problems) context.terminal.out(`${formatProblem(problem)}\n`);
    const strict = context.options["strict"] === true;
    const count = problems.filter((problem) => problem.severity === "error" || strict).length;
    context.terminal.err(count === 0 ? "valid\n" : `${count} error${count === 1 ? "" : "s"}\n`);
    return count === 0 ? 0 : 1;
  },
};
