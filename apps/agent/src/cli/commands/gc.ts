// SPDX-License-Identifier: Apache-2.0

import { userInfo } from "node:os";
import { formatBytes, IMAGE_GC_PLAN_COLUMNS, imageGcPlanRows, imageGcPlanSummary } from "@holdfast/gc";
import type { ImageGcLine, ImageGcPlanAnswer } from "../../api/gc-routes.ts";
import type { Command, CommandContext } from "../command.ts";
import { CommandError, countOption, textOption } from "../command.ts";
import { formatTable } from "../table.ts";
import { jsonLines } from "../watch-state.ts";

/** `holdfast gc images`. */
export const gcCommand: Command = {
  name: "gc",
  summary: "show which images would go and why, or remove them now",
  usage: "holdfast gc images [--dry-run] [--target-percent N | --unused] [-o json]",
  details: [
    "Each image is shown with its size, last use, who uses it, by which rule it goes or stays, and what its removal frees; layers that images share count once.",
    "The plan is printed before anything is removed, then what became of each image. With --dry-run it is only printed.",
    "An image that somebody begins to use meanwhile stays. Rules to keep images: imageGCKeep in the configuration.",
  ],
  options: {
    "dry-run": { type: "boolean", help: "print the plan, remove nothing" },
    "target-percent": {
      type: "string",
      value: "N",
      help: "down to this use of the images' disk; default: as configured, from the high threshold on down to the low one",
    },
    unused: { type: "boolean", help: "every image that nobody uses and no rule keeps" },
    output: { type: "string", short: "o", value: "FORMAT", help: "json" },
  },
  async run(context) {
    const [kind = "", ...more] = context.args;
    if (!["images", "image"].includes(kind) || more.length > 0)
      throw new CommandError(
        kind === "" ? "what to collect? images" : `cannot collect "${context.args.join(" ")}"`,
        {
          exitCode: 2,
          next: "holdfast gc images --dry-run",
        },
      );
    const wish = wishOf(context);
    const json = isJson(context);
    if (context.options["dry-run"] === true) {
      const query = new URLSearchParams(
        Object.entries(wish).map(([key, value]): [string, string] => [key, String(value)]),
      );
      const plan = await context.client.get<ImageGcPlanAnswer>(`/api/v1/gc/images?${query}`);
      context.terminal.out(json ? asJson(plan) : planText(context, plan));
      return 0;
    }
    return collect(context, wish, json);
  },
};

function wishOf(context: CommandContext): Readonly<Record<string, string | number>> {
  const target = countOption(context, "target-percent");
  const unused = context.options["unused"] === true;
  if (target !== undefined && (target > 100 || unused))
    throw new CommandError(
      unused
        ? "--unused removes all that may go: it takes no --target-percent"
        : "--target-percent takes 0 to 100",
      { exitCode: 2 },
    );
  return { ...(unused && { goal: "unused" }), ...(target !== undefined && { targetPercent: target }) };
}

function isJson(context: CommandContext): boolean {
  const output = textOption(context, "output");
  if (output !== undefined && output !== "json")
    throw new CommandError(`unknown output "${output}"; use json`, { exitCode: 2 });
  return output === "json";
}

async function collect(
  context: CommandContext,
  wish: Readonly<Record<string, string | number>>,
  json: boolean,
): Promise<number> {
  const { client, signal, terminal } = context;
  // Who really asks, also through sudo.
  const by = process.env["SUDO_USER"] ?? userInfo().username;
  const lines: ImageGcLine[] = [];
  const stream = client.postStream("/api/v1/gc/images", { ...wish, by }, signal);
  for await (const line of jsonLines<ImageGcLine>(stream)) {
    lines.push(line);
    if (!json) terminal.out(lineText(context, line));
  }
  const done = lines.at(-1);
  if (done?.kind !== "done")
    throw new CommandError("the agent ended before it was done", { exitCode: signal.aborted ? 1 : 3 });
  if (json) terminal.out(asJson(resultOf(lines)));
  if (done.error === undefined) return 0;
  if (!json) terminal.err(`holdfast: ${done.error}\n`);
  if (!json && done.heldBy !== undefined) terminal.err(`  held by: ${done.heldBy}\n`);
  return 1;
}

function resultOf(lines: readonly ImageGcLine[]): unknown {
  const { kind: _kind, ...done } = lines.find(({ kind }) => kind === "done") ?? { kind: "done" };
  return {
    plan: lines.flatMap((line) => (line.kind === "plan" ? [line.plan] : []))[0] ?? null,
    images: lines.filter(({ kind }) => kind === "removed" || kind === "spared"),
    ...done,
  };
}

function lineText(context: CommandContext, line: ImageGcLine): string {
  switch (line.kind) {
    case "plan":
      return `${planText(context, line.plan)}\n`;
    case "removed":
      return `removed ${line.name}: ${formatBytes(line.freedBytes)}\n`;
    case "spared":
      return `${line.failed ? "could not remove" : "kept"} ${line.name}: ${line.why}\n`;
    case "done":
      return `${line.removed} ${line.removed === 1 ? "image" : "images"} removed, ${formatBytes(line.freedBytes)} freed\n`;
    default:
      return line satisfies never;
  }
}

function planText(context: CommandContext, plan: ImageGcPlanAnswer): string {
  const columns = IMAGE_GC_PLAN_COLUMNS.map((head) => ({
    head,
    shrinks: ["IMAGE", "USED BY", "WHY"].includes(head),
  }));
  const table = formatTable(columns, imageGcPlanRows(plan), context.terminal.columns);
  return `${table}\n${imageGcPlanSummary(plan)}\n`;
}

function asJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
