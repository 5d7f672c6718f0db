// SPDX-License-Identifier: Apache-2.0

import type { ExecAnswer } from "../../api/types.ts";
import type { Command } from "../command.ts";
import { CommandError, countOption, textOption } from "../command.ts";
import { podPath } from "../pod-name.ts";

const DEFAULT_TIMEOUT_SECONDS = 60;

/** `holdfast exec POD -- COMMAND`. */
export const execCommand: Command = {
  name: "exec",
  summary: "run a command in a container",
  usage: "holdfast exec POD [-c CONTAINER] [--timeout SECONDS] -- COMMAND [ARG...]",
  details: [
    "Not interactive: the command gets no input, and its output comes when it has ended.",
    "The exit code is the command's.",
  ],
  options: {
    container: { type: "string", short: "c", value: "NAME", help: "which container; default: the first" },
    timeout: {
      type: "string",
      value: "SECONDS",
      help: `when the command is given up; default ${DEFAULT_TIMEOUT_SECONDS}`,
    },
    namespace: { type: "string", short: "n", value: "NS", help: "namespace of POD" },
  },
  async run(context) {
    const [pod, ...words] = context.args;
    const command = context.rest;
    if (pod !== undefined && words.length > 0)
      throw new CommandError(`"${words[0]}" stands before --: the command comes after it`, {
        exitCode: 2,
        next: `holdfast exec ${pod} -- COMMAND`,
      });
    const timeoutSeconds = countOption(context, "timeout") ?? DEFAULT_TIMEOUT_SECONDS;
    if (pod === undefined || command.length === 0)
      throw new CommandError("run what where? holdfast exec POD -- COMMAND", { exitCode: 2 });
    const container = textOption(context, "container");
    const body = { command, timeoutSeconds, ...(container !== undefined && { container }) };
    const answer = await context.client.post<ExecAnswer>(
      `${await podPath(context, pod)}/exec`,
      body,
      (timeoutSeconds + 30) * 1000,
    );
    context.terminal.out(Buffer.from(answer.stdout, "base64"));
    context.terminal.err(Buffer.from(answer.stderr, "base64").toString("utf8"));
    return answer.exitCode;
  },
};
