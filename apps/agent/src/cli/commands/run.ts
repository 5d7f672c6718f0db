// SPDX-License-Identifier: Apache-2.0

import { formatDuration } from "@holdfast/core/duration";
import type { Command } from "../command.ts";
import { CommandError } from "../command.ts";
import { AGENT_FIELDS, KUBELET_FIELDS } from "../../config/fields.ts";
import type { Field } from "../../config/fields.ts";

/** `holdfast run`: help only. bin/holdfast starts the agent itself, from its own bundle and with its own V8 flags. */
export const runCommand: Command = {
  name: "run",
  summary: "run the agent in the foreground",
  usage: "holdfast run [--config FILE] [--share]",
  details: [
    "Stops at SIGTERM or Ctrl-C without touching a container; started again it takes up its pods as they are.",
    "The file holds up to two YAML documents:",
    "",
    "kind: KubeletConfiguration (apiVersion: kubelet.config.k8s.io/v1beta1)",
    ...KUBELET_FIELDS.map(fieldLine),
    "",
    "kind: AgentConfiguration (apiVersion: holdfast.agent/v1alpha1)",
    ...AGENT_FIELDS.map(fieldLine),
  ],
  options: {
    config: {
      type: "string",
      value: "FILE",
      help: "configuration; default /etc/holdfast/config.yaml where it exists",
    },
    share: { type: "boolean", help: "run although a kubelet's pods live on the runtime" },
  },
  local: true,
  async run() {
    throw new CommandError("the agent is started by bin/holdfast, not from here", {
      next: "bin/holdfast run",
    });
  },
};

function fieldLine(field: Field): string {
  const fallback = fallbackText(field);
  return `  ${field.key.padEnd(44)}  ${field.help}${fallback === "" ? "" : ` (default ${fallback})`}`;
}

/** Nothing for what is unset unless it is given: the help says what that means. */
function fallbackText({ type, fallback }: Field): string {
  if (type === "duration") return formatDuration(Number(fallback));
  if (type === "size") return formatSize(Number(fallback));
  if (typeof fallback === "object") return fallback.length === 0 ? "" : `[${fallback.join(", ")}]`;
  return String(fallback);
}

function formatSize(bytes: number): string {
  const units = ["", "Ki", "Mi", "Gi"];
  const power = units.findLastIndex((_unit, index) => bytes % 1024 ** index === 0);
  return bytes === 0 ? "0" : `${bytes / 1024 ** power}${units[power]}`;
}
