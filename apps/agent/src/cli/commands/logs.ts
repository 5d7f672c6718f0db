// SPDX-License-Identifier: Apache-2.0

import { parseDuration } from "@holdfast/core/duration";
import { errorText } from "@holdfast/core/errors";
import type { Command } from "../command.ts";
import { CommandError, countOption, textOption } from "../command.ts";
import { podPath } from "../pod-name.ts";

/** `holdfast logs POD [CONTAINER]`. */
export const logsCommand: Command = {
  name: "logs",
  summary: "print a container's log",
  usage: "holdfast logs POD [CONTAINER] [-f] [--previous] [--tail N] [--since DURATION] [--timestamps]",
  details: ["The container may be left out where the pod has only one."],
  options: {
    follow: { type: "boolean", short: "f", help: "go on as the log grows" },
    previous: { type: "boolean", short: "p", help: "the container before the last restart" },
    tail: { type: "string", value: "N", help: "only the last N lines" },
    since: { type: "string", value: "DURATION", help: "only lines younger than this, like 10m" },
    timestamps: { type: "boolean", help: "time before each line" },
    container: { type: "string", short: "c", value: "NAME", help: "which container" },
    namespace: { type: "string", short: "n", value: "NS", help: "namespace of POD" },
  },
  async run(context) {
    const [pod, container = textOption(context, "container")] = context.args;
    if (pod === undefined)
      throw new CommandError("whose logs? holdfast logs POD [CONTAINER]", { exitCode: 2 });
    const query = new URLSearchParams();
    if (container !== undefined) query.set("container", container);
    for (const flag of ["follow", "previous", "timestamps"])
      if (context.options[flag] === true) query.set(flag, "true");
    const tail = countOption(context, "tail");
    if (tail !== undefined) query.set("tailLines", String(tail));
    const since = textOption(context, "since");
    if (since !== undefined) query.set("sinceSeconds", String(sinceSeconds(since)));
    for await (const chunk of context.client.stream(
      `${await podPath(context, pod)}/log?${query}`,
      context.signal,
    ))
      context.terminal.out(chunk);
    return 0;
  },
};

function sinceSeconds(text: string): number {
  try {
    return parseDuration(text) / 1000;
  } catch (error) {
    throw new CommandError(`--since: ${errorText(error)}`, { exitCode: 2 });
  }
}
