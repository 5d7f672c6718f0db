// SPDX-License-Identifier: Apache-2.0

import { userInfo } from "node:os";
import type { RetryAnswer } from "../../api/types.ts";
import type { Command } from "../command.ts";
import { CommandError, textOption } from "../command.ts";
import { podPath } from "../pod-name.ts";

const ANSWER_MS = 15_000;

/** `holdfast retry POD [CONTAINER]`. */
export const retryCommand: Command = {
  name: "retry",
  summary: "start a pod's waiting containers now",
  usage: "holdfast retry POD [CONTAINER] [-n NS]",
  details: [
    "Ends the waits of containers in CrashLoopBackOff and ImagePullBackOff, and of a pod whose last step failed. Should they fail again, their waits",
    "begin anew with the shortest. Containers that run are not touched; with nothing that waits, nothing happens.",
  ],
  options: {
    namespace: { type: "string", short: "n", value: "NS", help: "namespace of POD" },
    container: { type: "string", short: "c", value: "NAME", help: "only this container" },
  },
  async run(context) {
    const [name, second, ...more] = context.args;
    if (name === undefined || more.length > 0)
      throw new CommandError("which pod? holdfast retry POD", { exitCode: 2 });
    const container = second ?? textOption(context, "container");
    // Who really asks, also through sudo.
    const by = process.env["SUDO_USER"] ?? userInfo().username;
    const path = `${await podPath(context, name)}/retry`;
    const body = { by, ...(container !== undefined && { container }) };
    const { retried } = await context.client.post<RetryAnswer>(path, body, ANSWER_MS);
    const what = container === undefined ? `pod/${name}` : `container ${container} of pod/${name}`;
    if (retried === null) context.terminal.out(`${what}: nothing waits\n`);
    else context.terminal.out(`pod/${name}: trying ${retried.join(", ") || "again"} now\n`);
    return 0;
  },
};
