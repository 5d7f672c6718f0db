// SPDX-License-Identifier: Apache-2.0

/** Errors keep a manifest from being taken up; warnings do not. */
export type ProblemSeverity = "error" | "warning";

/** One thing that is wrong with a manifest. Carries names and short values, never the value of an environment variable. */
export interface ManifestProblem {
  /** The file's path. */
  readonly file: string;
  /** 1-based; 0 when the problem is the file's, not a place's in it. */
  readonly line: number;
  /** 1-based; 0 like {@link ManifestProblem.line}. */
  readonly column: number;
  /** As kubectl prints it: `spec.containers[0].image`. Empty when the whole document or file is meant. */
  readonly fieldPath: string;
  /** What is wrong, in Kubernetes' words where it has some. One line. */
  readonly reason: string;
  readonly severity: ProblemSeverity;
}

/** A place in a file, 1-based. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** How many problems are listed per file; the rest are counted in one last problem. */
export const MAX_PROBLEMS = 50;

/** Collects the problems of one file, bounded. */
export class ProblemList {
  readonly #file: string;
  readonly #problems: ManifestProblem[] = [];
  #left = 0;
  #errors = 0;

  constructor(file: string) {
    this.#file = file;
  }

  add(severity: ProblemSeverity, fieldPath: string, reason: string, at?: Position): void {
    if (severity === "error") this.#errors++;
    if (this.#problems.length >= MAX_PROBLEMS) {
      this.#left++;
      return;
    }
    const { line, column } = at ?? { line: 0, column: 0 };
    this.#problems.push({ file: this.#file, line, column, fieldPath, reason: oneLine(reason), severity });
  }

  /** Whether any error was added, listed or not. */
  get failed(): boolean {
    return this.#errors > 0;
  }

  /** All problems in the order of their places, and a last line for those that found no room. */
  list(): readonly ManifestProblem[] {
    const sorted = this.#problems.toSorted((a, b) => a.line - b.line || a.column - b.column);
    if (this.#left === 0) return sorted;
    return [
      ...sorted,
      {
        file: this.#file,
        line: 0,
        column: 0,
        fieldPath: "",
        reason: `and ${this.#left} more problems`,
        severity: this.failed ? "error" : "warning",
      },
    ];
  }
}

/** `file:line:column: error: spec.x: reason`, as compilers print it, so that editors can jump there. */
export function formatProblem(problem: ManifestProblem): string {
  const place = problem.line === 0 ? problem.file : `${problem.file}:${problem.line}:${problem.column}`;
  const field = problem.fieldPath === "" ? "" : `${problem.fieldPath}: `;
  return `${place}: ${problem.severity}: ${field}${problem.reason}`;
}

const MAX_REASON = 600;

function oneLine(text: string): string {
  // A file's own bytes may stand in a message: nothing in it may move a terminal's cursor.
  const clean = text.replaceAll(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, " ");
  return clean.length > MAX_REASON ? `${clean.slice(0, MAX_REASON)}…` : clean;
}
