// SPDX-License-Identifier: Apache-2.0
//
// Which program of a script a container has, and what its execs answer. Pure.

import type { Inside } from "../inside.ts";
import type { ExecAnswer, Program, ProgramQuery, Programs } from "../program.ts";

/** What a program is for. Everything given must hold; in `command` and `image` a `*` at the end stands for anything. */
export interface ProgramMatch {
  readonly container?: string;
  readonly podName?: string;
  readonly podNamespace?: string;
  readonly podUid?: string;
  readonly image?: string;
  /** Command and arguments, with a blank between each. */
  readonly command?: string;
  readonly attempt?: number;
  readonly labels?: Readonly<Record<string, string>>;
  readonly readOnlyRoot?: boolean;
}

/** A program of a script: as the library's, but for the execs. `${…}` in a text that it says is what it finds around itself. */
export interface ScriptProgram extends Omit<Program, "exec"> {
  readonly match?: ProgramMatch;
  /** The first whose `command` fits; without one: any. */
  readonly exec?: readonly (ExecAnswer & { readonly command?: string })[];
}

const NO_SUCH_COMMAND: ExecAnswer = { exitCode: 127, stderr: "not found\n" };

/** The first program that fits; a container that none is for runs until it is stopped. */
export function programOf(programs: readonly ScriptProgram[]): Programs {
  return (container) => {
    const found = programs.find(({ match = {} }) => isFor(match, container));
    if (found === undefined) return {};
    const { match: _match, exec, output, ...program } = found;
    const said = (text: string): string => filledIn(text, container.inside);
    return {
      ...program,
      ...(output === undefined ? {} : { output: output.map((line) => ({ ...line, text: said(line.text) })) }),
      ...(exec === undefined
        ? {}
        : {
            exec: (command) => {
              const { stdout = "", stderr = "", ...rest } = answerOf(exec, command);
              return { ...rest, stdout: said(stdout), stderr: said(stderr) };
            },
          }),
    };
  };
}

/** `${hostname}`, `${groups}`, `${sysctls.kernel.shm_rmid_forced}` and the like; what there is not is empty. */
function filledIn(text: string, inside: Inside): string {
  return text.replaceAll(/\$\{(\w+)(?:\.([^}]*))?\}/g, (_all, name: string, key: string | undefined) => {
    const value = Object.hasOwn(inside, name) ? inside[name as keyof Inside] : "";
    if (Array.isArray(value)) return value.join(" ");
    if (typeof value !== "object") return String(value);
    return String((value as Readonly<Record<string, string>>)[key ?? ""] ?? "");
  });
}

function isFor(match: ProgramMatch, container: ProgramQuery): boolean {
  const { command, image, labels = {} } = match;
  const same = (["podName", "podNamespace", "podUid", "attempt"] as const).every(
    (field) => match[field] === undefined || match[field] === container[field],
  );
  return (
    same &&
    (match.readOnlyRoot === undefined || match.readOnlyRoot === container.inside.readOnlyRoot) &&
    (match.container === undefined || match.container === container.name) &&
    (command === undefined || fits(command, [...container.command, ...container.args].join(" "))) &&
    (image === undefined || fits(image, container.image)) &&
    Object.entries(labels).every(([key, value]) => container.labels[key] === value)
  );
}

function answerOf(
  answers: readonly (ExecAnswer & { readonly command?: string })[],
  command: readonly string[],
): ExecAnswer {
  const said = command.join(" ");
  return answers.find((one) => one.command === undefined || fits(one.command, said)) ?? NO_SUCH_COMMAND;
}

function fits(pattern: string, text: string): boolean {
  return pattern.endsWith("*") ? text.startsWith(pattern.slice(0, -1)) : text === pattern;
}
