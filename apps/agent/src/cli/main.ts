// SPDX-License-Identifier: Apache-2.0

/** The `holdfast` command line: finds the command, parses its options, turns errors into a message and an exit code. */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { errorText } from "@holdfast/core/errors";
import { SOCKET_NAME } from "../api/types.ts";
import { nearestName } from "@holdfast/core/nearest-name";
import { createApiClient } from "./client.ts";
import { CommandError } from "./command.ts";
import type { Command, CommandOption, Terminal } from "./command.ts";
import { cordonCommand, uncordonCommand } from "./commands/cordon.ts";
import { describeCommand } from "./commands/describe.ts";
import { diskCommand } from "./commands/disk.ts";
import { doctorCommand } from "./commands/doctor.ts";
import { eventsCommand } from "./commands/events.ts";
import { execCommand } from "./commands/exec.ts";
import { gcCommand } from "./commands/gc.ts";
import { getCommand } from "./commands/get.ts";
import { logsCommand } from "./commands/logs.ts";
import { retryCommand } from "./commands/retry.ts";
import { runCommand } from "./commands/run.ts";
import { topCommand } from "./commands/top.ts";
import { validateCommand } from "./commands/validate.ts";
import { versionCommand } from "./commands/version.ts";
import { whyCommand } from "./commands/why.ts";
import { commandHelp, generalHelp } from "./help.ts";

/** In the order of the help. */
export const COMMANDS: readonly Command[] = [
  runCommand,
  getCommand,
  describeCommand,
  whyCommand,
  eventsCommand,
  topCommand,
  diskCommand,
  logsCommand,
  execCommand,
  retryCommand,
  cordonCommand,
  uncordonCommand,
  gcCommand,
  validateCommand,
  doctorCommand,
  versionCommand,
];

const HELP: Readonly<Record<string, CommandOption>> = {
  help: { type: "boolean", short: "h", help: "show help" },
};
const COMMON: Readonly<Record<string, CommandOption>> = {
  socket: {
    type: "string",
    value: "PATH",
    help: "the agent's socket; default $HOLDFAST_SOCKET, else /run/holdfast/holdfast.sock",
  },
  ...HELP,
};

const commonOf = (command: Command): typeof COMMON => (command.local === true ? HELP : COMMON);

/** Runs one command line (without the program's name) and returns the exit code. */
export async function runCli(
  argv: readonly string[],
  terminal: Terminal,
  signal: AbortSignal,
): Promise<number> {
  const [name, ...words] = argv;
  if (name === undefined || ["help", "--help", "-h"].includes(name)) {
    const about = COMMANDS.find((command) => command.name === words[0]);
    if (about === undefined && words[0] !== undefined && name === "help")
      return fail(unknownCommand(words[0]), terminal);
    const { columns } = terminal;
    terminal.out(
      about === undefined
        ? generalHelp(COMMANDS, COMMON, columns)
        : commandHelp(about, commonOf(about), columns),
    );
    return name === undefined ? 2 : 0;
  }
  if (name === "--version") return runCli(["version", "--client"], terminal, signal);
  try {
    const command = COMMANDS.find((candidate) => candidate.name === name);
    if (command === undefined) throw unknownCommand(name);
    return await runCommandLine(command, words, terminal, signal);
  } catch (error) {
    return signal.aborted ? 130 : fail(error, terminal);
  }
}

/** Says what went wrong and what to do next; returns the exit code. */
function fail(error: unknown, terminal: Terminal): number {
  terminal.err(`holdfast: ${error instanceof CommandError ? error.message : errorText(error)}\n`);
  if (!(error instanceof CommandError)) return 1;
  if (error.next !== undefined) terminal.err(`  next: ${error.next}\n`);
  return error.exitCode;
}

async function runCommandLine(
  command: Command,
  words: readonly string[],
  terminal: Terminal,
  signal: AbortSignal,
): Promise<number> {
  const end = words.indexOf("--");
  const own = end < 0 ? words : words.slice(0, end);
  const { values, positionals } = parse(command, own);
  if (values["help"] === true) {
    terminal.out(commandHelp(command, commonOf(command), terminal.columns));
    return 0;
  }
  const socket =
    typeof values["socket"] === "string"
      ? values["socket"]
      : (process.env["HOLDFAST_SOCKET"] ?? join("/run/holdfast", SOCKET_NAME));
  return command.run({
    options: values,
    args: positionals,
    rest: end < 0 ? [] : words.slice(end + 1),
    terminal,
    client: createApiClient(socket),
    signal,
    now: () => Date.now(),
  });
}

function parse(
  command: Command,
  words: readonly string[],
): { values: Record<string, string | boolean | undefined>; positionals: string[] } {
  const options = Object.fromEntries(
    Object.entries({ ...commonOf(command), ...command.options }).map(([key, { type, short }]) => [
      key,
      short === undefined ? { type } : { type, short },
    ]),
  );
  try {
    const parsed = parseArgs({ args: [...words], options, allowPositionals: true, strict: true });
    return {
      values: parsed.values as Record<string, string | boolean | undefined>,
      positionals: parsed.positionals,
    };
  } catch (cause) {
    throw new CommandError((cause as Error).message.split(". ")[0] ?? "", {
      exitCode: 2,
      next: `holdfast ${command.name} --help`,
      cause,
    });
  }
}

function unknownCommand(name: string): CommandError {
  const near = nearestName(
    name,
    COMMANDS.map((command) => command.name),
  );
  return new CommandError(`there is no command "${name}"`, {
    exitCode: 2,
    next: near === undefined ? "holdfast --help" : `did you mean: holdfast ${near}`,
  });
}

/** The process's own terminal. */
export function processTerminal(): Terminal {
  return {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    isTty: process.stdout.isTTY,
    // Some terminals say 0: then the usual width is meant.
    columns: process.stdout.isTTY ? process.stdout.columns || 80 : Number.POSITIVE_INFINITY,
    rows: process.stdout.isTTY ? process.stdout.rows || 24 : Number.POSITIVE_INFINITY,
  };
}
