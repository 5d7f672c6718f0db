// SPDX-License-Identifier: Apache-2.0

import { userInfo } from "node:os";
import {
  CONTAINER_GC_PLAN_COLUMNS,
  containerGcPlanRows,
  containerGcPlanSummary,
  formatBytes,
  IMAGE_GC_PLAN_COLUMNS,
  imageGcPlanRows,
  imageGcPlanSummary,
  LOG_RETENTION_COLUMNS,
  logRetentionRows,
  logRetentionSummary,
} from "@holdfast/gc";
import type {
  ContainerGcAnswer,
  ContainerGcPlanAnswer,
  ImageGcLine,
  ImageGcPlanAnswer,
  LogPruneAnswer,
  LogRetentionAnswer,
} from "../../api/gc-routes.ts";
import type { Command, CommandContext } from "../command.ts";
import { CommandError, countOption, textOption } from "../command.ts";
import { formatTable } from "../table.ts";
import { jsonLines } from "../watch-state.ts";

/** A pass over containers or logs. */
const PASS_MS = 10 * 60_000;

/** `holdfast gc images|containers|logs`. */
export const gcCommand: Command = {
  name: "gc",
  summary: "show what garbage would go and why, or remove it now",
  usage:
    "holdfast gc images [--dry-run] [--target-percent N | --unused] [-o json] | holdfast gc containers|logs [--dry-run] [-o json]",
  details: [
    "Each image is shown with its size, last use, who uses it, by which rule it goes or stays, and what its removal frees; layers that images share count once.",
    "The plan is printed before anything is removed, then what became of each image. With --dry-run it is only printed.",
    "An image that somebody begins to use meanwhile stays. Rules to keep images: imageGCKeep in the configuration.",
    "containers: dead containers and sandboxes of this agent, within its limits. logs: of restarts whose container is gone.",
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
    const wish = wishOf(context);
    const json = isJson(context);
    if (more.length > 0) throw wrongKind(context.args.join(" "));
    if (kind === "containers" || kind === "logs") {
      if (Object.keys(wish).length > 0)
        throw new CommandError("--target-percent and --unused are for images", { exitCode: 2 });
      return kind === "logs" ? collectLogs(context, json) : collectContainers(context, json);
    }
    if (kind !== "images") throw wrongKind(kind);
    if (context.options["dry-run"] !== true) return collect(context, wish, json);
    const query = new URLSearchParams(
      Object.entries(wish).map(([key, value]): [string, string] => [key, String(value)]),
    );
    const plan = await context.client.get<ImageGcPlanAnswer>(`/api/v1/gc/images?${query}`);
    context.terminal.out(json ? asJson(plan) : planText(context, plan));
    return 0;
  },
};

function wrongKind(kind: string): CommandError {
  return new CommandError(
    kind === "" ? "what to collect? images, containers or logs" : `cannot collect "${kind}"`,
    { exitCode: 2, next: "holdfast gc images --dry-run" },
  );
}

/** The plan first, then what came of it: made anew, for what has changed meanwhile. */
async function collectContainers(context: CommandContext, json: boolean): Promise<number> {
  const { client, terminal } = context;
  const path = "/api/v1/gc/containers";
  const isDry = context.options["dry-run"] === true;
  if (isDry || !json) {
    const plan = await client.get<ContainerGcPlanAnswer>(path);
    const rows = containerGcPlanRows(plan, context.now());
    if (json) terminal.out(asJson(plan));
    else terminal.out(tableOf(context, CONTAINER_GC_PLAN_COLUMNS, rows, containerGcPlanSummary(plan)));
    if (isDry) return 0;
  }
  const answer = await client.post<ContainerGcAnswer>(path, {}, PASS_MS);
  const { containers, sandboxes, logFolders, error } = answer;
  if (json) terminal.out(asJson(answer));
  else
    terminal.out(
      `\n${containers.length} containers, ${sandboxes.length} sandboxes and ${logFolders.length} log folders removed\n`,
    );
  if (error === undefined) return 0;
  if (!json) terminal.err(`holdfast: ${error}\n`);
  return 1;
}

async function collectLogs(context: CommandContext, json: boolean): Promise<number> {
  const { client, terminal } = context;
  const path = "/api/v1/gc/logs";
  const isDry = context.options["dry-run"] === true;
  if (isDry || !json) {
    const plans = await client.get<LogRetentionAnswer>(path);
    if (json) terminal.out(asJson(plans));
    else
      terminal.out(
        tableOf(context, LOG_RETENTION_COLUMNS, logRetentionRows(plans), logRetentionSummary(plans)),
      );
    if (isDry) return 0;
  }
  const answer = await client.post<LogPruneAnswer>(path, {}, PASS_MS);
  terminal.out(json ? asJson(answer) : `\n${formatBytes(answer.freedBytes)} freed\n`);
  return 0;
}

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
  return tableOf(context, IMAGE_GC_PLAN_COLUMNS, imageGcPlanRows(plan), imageGcPlanSummary(plan));
}

function tableOf(
  context: CommandContext,
  heads: readonly string[],
  rows: readonly (readonly string[])[],
  summary: string,
): string {
  const columns = heads.map((head) => ({
    head,
    shrinks: ["IMAGE", "NAME", "LOGS", "USED BY", "WHY"].includes(head),
  }));
  return `${formatTable(columns, rows, context.terminal.columns)}\n${summary}\n`;
}

function asJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
