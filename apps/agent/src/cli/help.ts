// SPDX-License-Identifier: Apache-2.0

import type { Command, CommandOption } from "./command.ts";

/** A last column that would be narrower stands below the first. */
const MIN_TEXT = 36;

type Options = Readonly<Record<string, CommandOption>>;

/** What `holdfast --help` prints. */
export function generalHelp(commands: readonly Command[], common: Options, columns: number): string {
  const lines = [
    "Holdfast runs Kubernetes pods on one machine through containerd.",
    "",
    "Usage: holdfast COMMAND [OPTIONS]",
    "",
    "Commands:",
    ...commands.map((command) => `  ${command.name.padEnd(10)} ${command.summary}`),
    "",
    "Options of all that ask the agent:",
    ...optionLines(common),
    "",
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the agent cannot be reached; exec gives the command's own.",
    "More: holdfast COMMAND --help",
    "",
  ];
  return lines.map((line) => wrapLine(line, columns)).join("\n");
}

/** What `holdfast COMMAND --help` prints. */
export function commandHelp(command: Command, common: Options, columns: number): string {
  const lines = [
    `${command.summary[0]?.toUpperCase()}${command.summary.slice(1)}.`,
    "",
    `Usage: ${command.usage}`,
    ...(command.details === undefined ? [] : ["", ...command.details]),
    "",
    "Options:",
    ...optionLines({ ...command.options, ...common }),
    "",
  ];
  return lines.map((line) => wrapLine(line, columns)).join("\n");
}

/** Breaks a line between words. What follows begins where the last column does, or below it where that would be narrow. */
function wrapLine(line: string, columns: number): string {
  if (line.length <= columns) return line;
  const margin = /^ */.exec(line)?.[0].length ?? 0;
  const column = /^ *\S.*?\S {2,}(?=\S)/.exec(line)?.[0].length ?? 0;
  if (column === 0) return wrapWords(line.trimStart(), " ".repeat(margin), " ".repeat(margin + 2), columns);
  const [first, rest] = [line.slice(0, column), line.slice(column)];
  if (column <= columns - MIN_TEXT) return wrapWords(rest, first, " ".repeat(column), columns);
  const below = " ".repeat(margin + 4);
  return `${first.trimEnd()}\n${wrapWords(rest, below, below, columns)}`;
}

function wrapWords(text: string, first: string, indent: string, columns: number): string {
  const rows: string[] = [];
  let row = first;
  let gap = "";
  for (const word of text.split(" ")) {
    if (gap !== "" && row.length + 1 + word.length > columns) {
      rows.push(row);
      [row, gap] = [indent, ""];
    }
    row += gap + word;
    gap = " ";
  }
  return [...rows, row].join("\n");
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
