// SPDX-License-Identifier: Apache-2.0

import type { PodObject } from "../../api/types.ts";
import type { Command } from "../command.ts";
import { CommandError } from "../command.ts";
import { describePod } from "../describe-pod.ts";
import { podPath } from "../pod-name.ts";

/** `holdfast describe pod NAME`. */
export const describeCommand: Command = {
  name: "describe",
  summary: "all that is known about one pod",
  usage: "holdfast describe pod NAME",
  options: { namespace: { type: "string", short: "n", value: "NS", help: "namespace of NAME" } },
  async run(context) {
    const [kind, name] = context.args;
    if ((kind !== "pod" && kind !== "pods" && kind !== "po") || name === undefined)
      throw new CommandError("describe what? holdfast describe pod NAME", { exitCode: 2 });
    const pod = await context.client.get<PodObject>(await podPath(context, name));
    context.terminal.out(`${describePod(pod, context.now())}\n`);
    return 0;
  },
};
