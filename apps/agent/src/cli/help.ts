// SPDX-License-Identifier: Apache-2.0

import type { Command, CommandOption } from "./command.ts";

type Options = Readonly<Record<string, CommandOption>>;

/** What `holdfast --help` prints. */
export function generalHelp(commands: readonly Command[], common: Options): string {
  return [
    "Holdfast runs Kubernetes pods on one machine through containerd.",
    "",
    "Usage: holdfast COMMAND [OPTIONS]",
    "",
    "Commands:",
    ...commands.map((command) => `  ${command.name.padEnd(10)} ${command.summary}`),
    "",
    "Options of every command:",
    ...optionLines(common),
    "",
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the agent cannot be reached; exec gives the command's own.",
    "More: holdfast COMMAND --help",
    "",
  ].join("\n");
}

/** What `holdfast COMMAND --help` prints. */
export function commandHelp(command: Command, common: Options): string {
  return [
    `${command.summary[0]?.toUpperCase()}${command.summary.slice(1)}.`,
    "",
    `Usage: ${command.usage}`,
    ...(command.details === undefined ? [] : ["", ...command.details]),
    "",
    "Options:",
    ...optionLines({ ...command.options, ...common }),
    "",
  ].join("\n");
}

function optionLines(options: Options): string[] {
  const rows = Object.entries(options).map(([name, option]) => {
    const short = option.short === undefined ? "    " : `-${option.short}, `;
    return [
      `  ${short}--${name}${option.value === undefined ? "" : ` ${option.value}`}`,
      option.help,
    ] as const;
  });
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, help]) => `${left.padEnd(width + 2)}${help}`);
}
