// SPDX-License-Identifier: Apache-2.0

import { validateFiles } from "@holdfast/pod";
import type { Command } from "../command.ts";
import { CommandError } from "../command.ts";

/** `holdfast validate FILE...`. */
export const validateCommand: Command = {
  name: "validate",
  summary: "check manifests without running them",
  usage: "holdfast validate FILE... [--strict]",
  details: [
    "Prints FILE:LINE:COLUMN: FIELD: reason for every problem; needs no agent.",
    "Warnings name fields that have no effect yet. Exits with 1 when a manifest would be refused.",
  ],
  options: { strict: { type: "boolean", help: "warnings count as errors" } },
  async run(context) {
    if (context.args.length === 0)
      throw new CommandError("which files? holdfast validate FILE...", { exitCode: 2 });
    const { problems, pods } = await validateFiles(context.args);
    for (const problem of problems) {
      const where = [problem.file, problem.line, problem.column]
        .filter((part) => part !== undefined)
        .join(":");
      const field =
        problem.fieldPath === undefined || problem.fieldPath === "" ? "" : ` ${problem.fieldPath}:`;
      context.terminal.out(
        `${where}:${field} ${problem.severity === "warning" ? "warning: " : ""}${problem.reason}\n`,
      );
    }
    const errors = problems.filter(
      (problem) => problem.severity === "error" || context.options["strict"] === true,
    );
    const count = errors.length;
    context.terminal.err(
      count === 0
        ? `${pods.length} pod${pods.length === 1 ? "" : "s"} valid\n`
        : `${count} error${count === 1 ? "" : "s"}\n`,
    );
    return count === 0 ? 0 : 1;
  },
};
