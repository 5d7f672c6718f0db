// SPDX-License-Identifier: Apache-2.0

import type { Publisher } from "@holdfast/bus";
import type { Logger } from "@holdfast/core/log";
import { formatProblem } from "../manifest/problem.ts";
import type { ManifestProblem } from "../manifest/problem.ts";
import { ManifestProblemChanged } from "./events.ts";

/** Tells of problems when they change, file by file, and when they are gone; never of the same twice. */
export class ProblemTeller {
  readonly #publish: Publisher;
  readonly #logger: Logger;
  #told: ReadonlyMap<string, readonly ManifestProblem[]> = new Map();

  constructor(publish: Publisher, logger: Logger) {
    this.#publish = publish;
    this.#logger = logger;
  }

  /** Compares with what was told last. */
  tell(problems: readonly ManifestProblem[]): void {
    const now = Map.groupBy(problems, ({ file }) => file);
    for (const path of new Set([...this.#told.keys(), ...now.keys()])) {
      const list = now.get(path) ?? [];
      if (sameProblems(list, this.#told.get(path) ?? [])) continue;
      this.#tellOf(path, list);
    }
    this.#told = now;
  }

  #tellOf(path: string, problems: readonly ManifestProblem[]): void {
    const errors = problems.filter(({ severity }) => severity === "error");
    const first = errors[0] ?? problems[0];
    const data = {
      path,
      errors: errors.length,
      warnings: problems.length - errors.length,
      first: first === undefined ? undefined : [first.fieldPath, first.reason].filter(Boolean).join(": "),
    };
    if (first === undefined) this.#logger.info("manifest is well again", { path });
    else if (errors.length > 0)
      this.#logger.error("manifest has errors", { path, errors: errors.length, first: formatProblem(first) });
    else
      this.#logger.warn("manifest has warnings", {
        path,
        warnings: problems.length,
        first: formatProblem(first),
      });
    this.#publish.publish(ManifestProblemChanged, data);
  }
}

function sameProblems(a: readonly ManifestProblem[], b: readonly ManifestProblem[]): boolean {
  return (
    a.length === b.length && a.every((problem, index) => problem === b[index] || same(problem, b[index]))
  );
}

function same(a: ManifestProblem, b: ManifestProblem | undefined): boolean {
  return b !== undefined && formatProblem(a) === formatProblem(b);
}
