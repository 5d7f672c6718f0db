// SPDX-License-Identifier: Apache-2.0

import { formatStory } from "@holdfast/journal";
import type { WhyAnswer } from "../../api/types.ts";
import type { Command, CommandContext } from "../command.ts";
import { CommandError, textOption } from "../command.ts";
import { podOfHistory } from "../pod-name.ts";

/** `holdfast why POD [CONTAINER]|node|image REF`. */
export const whyCommand: Command = {
  name: "why",
  summary: "why a container ended or does not start, with evidence",
  usage: "holdfast why POD [CONTAINER] [-o json] | holdfast why node | holdfast why image REF",
  details: [
    "Newest first: what the pod waits for, then every end of a container: its cause, who asked for it, what speaks for that, its last lines.",
    "Pods that are gone are remembered by their name, over restarts of the agent. A pod named node is written NAMESPACE/node.",
  ],
  options: {
    output: { type: "string", short: "o", value: "FORMAT", help: "json" },
    container: { type: "string", short: "c", value: "NAME", help: "only this container" },
    namespace: { type: "string", short: "n", value: "NS", help: "namespace of POD" },
  },
  async run(context) {
    const output = textOption(context, "output");
    if (output !== undefined && output !== "json")
      throw new CommandError(`unknown output "${output}"; use json`, { exitCode: 2 });
    const answer = await context.client.get<WhyAnswer>(`/api/v1/journal/why/${await whyPath(context)}`);
    const lastLines = new Map(answer.logs?.map(({ seq, lines }) => [seq, lines]));
    context.terminal.out(
      output === "json"
        ? `${JSON.stringify(answer, null, 2)}\n`
        : `${formatStory(answer.story, { now: context.now(), lastLines })}\n`,
    );
    return 0;
  },
};

async function whyPath(context: CommandContext): Promise<string> {
  const [what, second] = context.args;
  if (what === undefined)
    throw new CommandError("why what? holdfast why POD, holdfast why node or holdfast why image REF", {
      exitCode: 2,
    });
  if (what === "node") return "node";
  if (what === "image") {
    if (second === undefined)
      throw new CommandError("why which image? holdfast why image REF", { exitCode: 2 });
    return `image?${new URLSearchParams({ ref: second })}`;
  }
  const pod = await podOfHistory(context, what);
  const container = second ?? textOption(context, "container");
  const query = container === undefined ? "" : `?${new URLSearchParams({ container })}`;
  return `pods/${pod.split("/").map(encodeURIComponent).join("/")}${query}`;
}
