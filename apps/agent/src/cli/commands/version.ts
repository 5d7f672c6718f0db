// SPDX-License-Identifier: Apache-2.0

import type { NodeObject } from "../../api/types.ts";
import { VERSION } from "../../version.ts";
import type { Command } from "../command.ts";

/** `holdfast version`. */
export const versionCommand: Command = {
  name: "version",
  summary: "print versions of this command, the agent and the runtime",
  usage: "holdfast version [--client]",
  options: { client: { type: "boolean", help: "only this command's" } },
  async run(context) {
    context.terminal.out(`holdfast ${VERSION} (node ${process.versions.node})\n`);
    if (context.options["client"] === true) return 0;
    try {
      const node = await context.client.get<NodeObject>("/api/v1/node");
      context.terminal.out(
        `agent    ${node.agent.version}\nruntime  ${node.runtime.name ?? "not connected"} ${node.runtime.version ?? ""}\n`,
      );
    } catch {
      context.terminal.out("agent    not running\n"); // a version is still an answer
    }
    return 0;
  },
};
