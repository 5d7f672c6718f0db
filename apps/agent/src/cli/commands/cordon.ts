// SPDX-License-Identifier: Apache-2.0

import { userInfo } from "node:os";
import type { PodObject } from "../../api/types.ts";
import type { Command, CommandContext } from "../command.ts";
import { CommandError } from "../command.ts";
import { podPath } from "../pod-name.ts";

const options = {
  namespace: { type: "string", short: "n", value: "NS", help: "namespace of NAME" },
} as const;

const ANSWER_MS = 15_000;

/** `holdfast cordon pod NAME`. */
export const cordonCommand: Command = {
  name: "cordon",
  summary: "take a pod out of traffic without ending it",
  usage: "holdfast cordon pod NAME [-n NS]",
  details: [
    "Its condition Ready becomes False with the reason Cordoned, over restarts of the agent too; its spec and its containers are not touched.",
    "Probes go on, and readiness says what it finds in ContainersReady; but a failing liveness or startup probe kills nothing meanwhile.",
    "`holdfast uncordon pod NAME` gives it back.",
  ],
  options,
  run: (context) => change(context, "cordon"),
};

/** `holdfast uncordon pod NAME`. */
export const uncordonCommand: Command = {
  name: "uncordon",
  summary: "give a cordoned pod back to traffic",
  usage: "holdfast uncordon pod NAME [-n NS]",
  details: ["It is ready again when its readiness probes say so."],
  options,
  run: (context) => change(context, "uncordon"),
};

async function change(context: CommandContext, action: "cordon" | "uncordon"): Promise<number> {
  const [kind, name, ...more] = context.args;
  if (kind === undefined || !["pod", "pods", "po"].includes(kind) || name === undefined || more.length > 0)
    throw new CommandError(`which pod? holdfast ${action} pod NAME`, { exitCode: 2 });
  // Who really asks, also through sudo.
  const by = process.env["SUDO_USER"] ?? userInfo().username;
  const pod = await context.client.post<PodObject>(
    `${await podPath(context, name)}/${action}`,
    { by },
    ANSWER_MS,
  );
  const ready = pod.status.conditions?.find(({ type }) => type === "Ready");
  context.terminal.out(
    `pod/${pod.metadata.name} ${action}ed: Ready is ${ready?.status ?? "Unknown"}${ready?.reason === undefined ? "" : ` (${ready.reason})`}\n`,
  );
  return 0;
}
