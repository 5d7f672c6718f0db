// SPDX-License-Identifier: Apache-2.0

import { computeApiPod } from "@holdfast/status";
import { stringify } from "yaml";
import type { NodeObject, PodList, PodObject, WatchEvent } from "../../api/types.ts";
import type { Command, CommandContext } from "../command.ts";
import { CommandError, textOption } from "../command.ts";
import { formatNode } from "../node-text.ts";
import { formatPodList } from "../pod-rows.ts";
import { podFilter, podPath } from "../pod-name.ts";
import { fitRows } from "../table.ts";
import type { DeviceList } from "../../run/device-side.ts";
import { formatDevices } from "./get-devices.ts";
import { applyWatchEvent, jsonLines } from "../watch-state.ts";

const EMPTY: PodList = { items: [], manifestProblems: [], node: [] };

/** `holdfast get pods|pod NAME|node`, and what the local API answers, as it is. */
export const getCommand: Command = {
  name: "get",
  summary: "list pods or devices, or show one pod, or the node",
  usage:
    "holdfast get pods [NAME] [-o wide|json|yaml|name] [-w] | holdfast get node|devices [-o json|yaml] | holdfast get --raw PATH",
  details: [
    "Problems of manifests, of pods and of the node stand below the table, each with its reason.",
    "With -w on a terminal the table is drawn anew at every change; elsewhere one line is printed for each change.",
    "-o json and yaml print the pods as an API server would; name prints pod/NAME.",
    "--raw prints what the agent's socket answers: /metrics, /metrics/probes, /healthz, /debug/snapshot, /api/v1/….",
  ],
  options: {
    output: { type: "string", short: "o", value: "FORMAT", help: "wide, json, yaml or name" },
    watch: { type: "boolean", short: "w", help: "go on and show changes" },
    raw: { type: "string", value: "PATH", help: "print the answer of this path of the local API as it is" },
    namespace: {
      type: "string",
      short: "n",
      value: "NS",
      help: "only pods of this namespace",
    },
  },
  async run(context) {
    const [kind = "", name] = context.args;
    const raw = textOption(context, "raw");
    if (raw !== undefined) return getRaw(context, raw);
    const output = textOption(context, "output") ?? "table";
    if (!["table", "wide", "json", "yaml", "name"].includes(output))
      throw new CommandError(`unknown output "${output}"; use wide, json, yaml or name`, { exitCode: 2 });
    if (kind === "node" || kind === "nodes") return getNode(context, output);
    if (kind === "devices") return getDevices(context, output);
    if (!["pods", "pod", "po"].includes(kind))
      throw new CommandError(
        kind === ""
          ? "what to get? pods, node or devices"
          : `cannot get "${kind}"; there are pods, node and devices`,
        { exitCode: 2 },
      );
    if (context.options["watch"] === true) {
      if (output === "yaml" || output === "name")
        throw new CommandError(`-w has no output ${output}; use wide or json`, { exitCode: 2 });
      return watchPods(context, name, output);
    }
    return name === undefined ? getPods(context, output) : getPod(context, name, output);
  },
};

/** kubectl get --raw. */
async function getRaw(context: CommandContext, path: string): Promise<number> {
  if (context.args.length > 0 || !/^\/\S*$/.test(path))
    throw new CommandError("--raw takes one path that begins with /, and nothing beside it", { exitCode: 2 });
  for await (const chunk of context.client.stream(path, context.signal)) context.terminal.out(chunk);
  return 0;
}

async function getPods(context: CommandContext, output: string): Promise<number> {
  const list = selected(context, undefined, await context.client.get<PodList>("/api/v1/pods"));
  const items = { apiVersion: "v1", kind: "List", items: list.items.map(apiPod) };
  if (output === "name") for (const pod of list.items) context.terminal.out(`pod/${pod.metadata.name}\n`);
  else printObject(context, output, items, () => table(context, list, output));
  return 0;
}

async function getPod(context: CommandContext, name: string, output: string): Promise<number> {
  const pod = await context.client.get<PodObject>(await podPath(context, name));
  if (output === "name") context.terminal.out(`pod/${pod.metadata.name}\n`);
  else printObject(context, output, apiPod(pod), () => table(context, { ...EMPTY, items: [pod] }, output));
  return 0;
}

/** As an API server would show it: what Holdfast knows beside it is in the table, and in `describe`. */
function apiPod({ holdfast: _ours, ...pod }: PodObject): unknown {
  return computeApiPod(pod, pod.status);
}

async function getNode(context: CommandContext, output: string): Promise<number> {
  const node = await context.client.get<NodeObject>("/api/v1/node");
  printObject(context, output, node, () => formatNode(node, context.now()));
  return 0;
}

async function getDevices(context: CommandContext, output: string): Promise<number> {
  const list = await context.client.get<DeviceList>("/api/v1/devices");
  printObject(context, output, list, () => formatDevices(list, context.now(), context.terminal.columns));
  return 0;
}

function printObject(context: CommandContext, output: string, value: unknown, asTable: () => string): void {
  if (output === "json") context.terminal.out(`${JSON.stringify(value, null, 2)}\n`);
  else if (output === "yaml")
    context.terminal.out(stringify(value, { aliasDuplicateObjects: false, version: "1.1" }));
  else context.terminal.out(`${asTable()}\n`);
}

function table(context: CommandContext, list: PodList, output: string): string {
  return formatPodList(list, {
    wide: output === "wide",
    now: context.now(),
    width: context.terminal.columns,
  });
}

/** The pods that are meant; what is wrong with manifests and the node only where all are. */
function selected(context: CommandContext, name: string | undefined, list: PodList): PodList {
  const items = list.items.filter(podFilter(context, name));
  return name === undefined ? { ...list, items } : { ...EMPTY, items };
}

/** The pod that an event is about, also of one that went. */
function changedPod(before: PodList, event: WatchEvent): PodObject | undefined {
  if (event.type === "MODIFIED") return event.object;
  return event.type === "DELETED" ? before.items.find((pod) => pod.metadata.uid === event.uid) : undefined;
}

/** What is printed where there is no terminal: the whole table first, then a row for each change. */
function watchLines(
  context: CommandContext,
  event: WatchEvent,
  list: PodList,
  changed: PodObject | undefined,
  output: string,
): string {
  if (event.type === "LIST") return `${table(context, list, output)}\n`;
  if (changed === undefined) {
    const problems = [...list.node.map((text) => `node: ${text}`), ...list.manifestProblems];
    return problems.map((problem) => `! ${problem}\n`).join("");
  }
  if (event.type === "DELETED") return `${changed.metadata.namespace}   ${changed.metadata.name}   is gone\n`;
  return `${table(context, { ...EMPTY, items: [changed] }, output).split("\n")[1] ?? ""}\n`;
}

/** Ages go on between changes: on a terminal the table is drawn anew this often. */
const REDRAW_MS = 1000;

async function watchPods(context: CommandContext, name: string | undefined, output: string): Promise<number> {
  let list = EMPTY;
  const { terminal, signal } = context;
  const chosen = podFilter(context, name);
  const draw = (): void => {
    const text = table(context, selected(context, name, list), output);
    terminal.out(`\u001b[H\u001b[J${fitRows(text, terminal)}\n`);
  };
  const redraw = terminal.isTty && output !== "json" ? setInterval(draw, REDRAW_MS) : undefined;
  try {
    for await (const event of jsonLines<WatchEvent>(
      context.client.stream("/api/v1/pods?watch=true", signal),
    )) {
      const before = list;
      list = applyWatchEvent(list, event);
      const changed = changedPod(before, event);
      if (changed !== undefined && !chosen(changed)) continue;
      if (output === "json") terminal.out(`${JSON.stringify(event)}\n`);
      else if (terminal.isTty) draw();
      else terminal.out(watchLines(context, event, selected(context, name, list), changed, output));
    }
  } finally {
    clearInterval(redraw);
  }
  if (!signal.aborted)
    throw new CommandError("the agent ended the watch", {
      exitCode: 3,
      next: "is it still running? holdfast get node",
    });
  return 0;
}
