// SPDX-License-Identifier: Apache-2.0

import { formatProblem, listPodFields, readManifestFile, validateFiles } from "@holdfast/pod";
import type { Command } from "../command.ts";
import { CommandError } from "../command.ts";
import { formatTable } from "../table.ts";

/** `holdfast validate FILE...`. */
export const validateCommand: Command = {
  name: "validate",
  summary: "check manifests without running them",
  usage: "holdfast validate FILE... [--strict] | holdfast validate --fields",
  details: [
    "Prints FILE:LINE:COLUMN: severity: FIELD: reason for every problem; needs no agent.",
    "Warnings name fields that have no effect here. Exits with 1 when a manifest would be refused.",
    "--fields prints every field of a pod: whether it is honoured, refused or has no effect, and why.",
  ],
  options: {
    strict: { type: "boolean", help: "warnings count as errors" },
    fields: { type: "boolean", help: "what is done with each field of a pod" },
  },
  local: true,
  async run(context) {
    if (context.options["fields"] === true) {
      const rows = listPodFields()
        .filter(({ hasParts }) => !hasParts)
        .map(({ path, status, reason }) => [status === "warned" ? "no effect" : status, path, reason ?? ""]);
      const columns = [{ head: "STATUS" }, { head: "FIELD" }, { head: "REASON" }];
      context.terminal.out(`${formatTable(columns, rows, context.terminal.columns)}\n`);
      return 0;
    }
    if (context.args.length === 0)
      throw new CommandError("which files? holdfast validate FILE...", { exitCode: 2 });
    const problems = await validateFiles(context.args, { read: (path) => readManifestFile(path) });
    for (const problem of problems) context.terminal.out(`${formatProblem(problem)}\n`);
    const strict = context.options["strict"] === true;
    const count = problems.filter((problem) => problem.severity === "error" || strict).length;
    const files = `${context.args.length} file${context.args.length === 1 ? "" : "s"}`;
    context.terminal.err(
      count === 0 ? `${files}: valid\n` : `${files}: ${count} error${count === 1 ? "" : "s"}\n`,
    );
    return count === 0 ? 0 : 1;
  },
};
