// SPDX-License-Identifier: Apache-2.0

import type { ApiClient } from "./client.ts";

/** What went wrong, and with it the exit code: 1 failed, 2 wrong usage, 3 the agent cannot be reached. */
export class CommandError extends Error {
  readonly exitCode: number;
  /** What to do about it; printed on a line of its own. */
  readonly next: string | undefined;

  constructor(
    message: string,
    options: { readonly exitCode?: 1 | 2 | 3; readonly next?: string; readonly cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.exitCode = options.exitCode ?? 1;
    this.next = options.next;
  }
}

/** One option of a command, as `util.parseArgs` takes it, with its help. */
export interface CommandOption {
  readonly type: "string" | "boolean";
  readonly short?: string;
  readonly help: string;
  readonly value?: string;
}

/** Where a command prints. */
export interface Terminal {
  out(text: string | Buffer): void;
  err(text: string): void;
  readonly isTty: boolean;
  /** Columns of the terminal; Infinity when it is none. */
  readonly columns: number;
  /** Lines of the terminal; Infinity when it is none. */
  readonly rows: number;
}

/** What a command gets. */
export interface CommandContext {
  readonly options: Readonly<Record<string, string | boolean | undefined>>;
  readonly args: readonly string[];
  /** What stood after `--`. */
  readonly rest: readonly string[];
  readonly terminal: Terminal;
  readonly client: ApiClient;
  /** Aborts at Ctrl-C. */
  readonly signal: AbortSignal;
  /** Wall time in milliseconds. */
  readonly now: () => number;
}

/** One command of `holdfast`. */
export interface Command {
  readonly name: string;
  readonly summary: string;
  readonly usage: string;
  /** Further lines of `--help`: what is printed, examples. */
  readonly details?: readonly string[];
  readonly options: Readonly<Record<string, CommandOption>>;
  /** It talks to no agent, and takes no socket. */
  readonly local?: true;
  /** Returns the exit code. */
  readonly run: (context: CommandContext) => Promise<number>;
}

/** Reads an option that must be text. */
export function textOption(context: CommandContext, name: string): string | undefined {
  const value = context.options[name];
  return typeof value === "string" ? value : undefined;
}

/** Reads an option that must be a whole number of at least 0. */
export function countOption(context: CommandContext, name: string): number | undefined {
  const text = textOption(context, name);
  if (text === undefined) return undefined;
  if (!/^\d{1,9}$/.test(text))
    throw new CommandError(`--${name} takes a whole number, not "${text}"`, { exitCode: 2 });
  return Number(text);
}
