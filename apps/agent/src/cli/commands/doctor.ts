// SPDX-License-Identifier: Apache-2.0

import { hostname } from "node:os";
import { loadConfig } from "../../config/load-config.ts";
import { parseConfig } from "../../config/parse-config.ts";
import { computeFindings } from "../../doctor/compute-findings.ts";
import type { Finding } from "../../doctor/compute-findings.ts";
import { gatherFacts } from "../../doctor/gather-facts.ts";
import type { NodeObject } from "../../api/types.ts";
import type { Command, CommandContext } from "../command.ts";
import { textOption } from "../command.ts";

const MARK: Readonly<Record<Finding["level"], readonly [string, number]>> = {
  ok: ["ok", 32],
  warning: ["warn", 33],
  problem: ["FAIL", 31],
};

/** `holdfast doctor`. */
export const doctorCommand: Command = {
  name: "doctor",
  summary: "say what is missing on this machine, and what mends it",
  usage: "holdfast doctor [--config FILE]",
  details: [
    "Looks only; changes nothing. Exits with 1 when something is in the way of running pods.",
    "Where an agent answers, its own settings are looked at, else the default file's, or those of --config.",
  ],
  options: {
    config: {
      type: "string",
      value: "FILE",
      help: "the agent's configuration; default /etc/holdfast/config.yaml where it exists",
    },
  },
  async run(context) {
    const agent = await askAgent(context);
    const facts = await gatherFacts(
      loadOrError(textOption(context, "config") ?? agent?.agent.configFile),
      parseConfig("", "defaults", hostname()),
      agent,
    );
    const findings = computeFindings(facts);
    for (const finding of findings) context.terminal.out(`${render(finding, context.terminal.isTty)}\n`);
    return findings.some((finding) => finding.level === "problem") ? 1 : 0;
  },
};

function render(finding: Finding, colours: boolean): string {
  const [mark, colour] = MARK[finding.level];
  const shown = colours ? `\u001b[${colour}m${mark.padEnd(5)}\u001b[0m` : mark.padEnd(5);
  return `${shown} ${finding.text}${finding.mend === undefined ? "" : `\n      -> ${finding.mend}`}`;
}

function loadOrError(file: string | undefined): ReturnType<typeof loadConfig> | Error {
  try {
    return loadConfig(file);
  } catch (error) {
    return error as Error;
  }
}

/** Undefined where none runs, which is a finding. */
async function askAgent(context: CommandContext): Promise<NodeObject | undefined> {
  try {
    return await context.client.get<NodeObject>("/api/v1/node");
  } catch {
    return undefined;
  }
}
