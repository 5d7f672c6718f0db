// SPDX-License-Identifier: Apache-2.0

import type { Report } from "./check-fields.ts";
import type { ManifestDocument } from "./parse-manifest.ts";
import type { ProblemList } from "./problem.ts";

/** Puts places to what the checks of one document find. */
export class DocumentReport implements Report {
  readonly #problems: ProblemList;
  readonly #document: ManifestDocument;
  readonly #errorPaths: string[] = [];
  readonly #evictable: boolean;
  failed = false;

  /** `evictable`: static pods may be evicted here, so that what only eviction heeds has its effect. */
  constructor(problems: ProblemList, document: ManifestDocument, evictable = false) {
    this.#problems = problems;
    this.#document = document;
    this.#evictable = evictable;
  }

  error(fieldPath: string, reason: string): void {
    this.failed = true;
    this.#errorPaths.push(fieldPath);
    this.#add("error", fieldPath, reason);
  }

  warning(fieldPath: string, reason: string): void {
    this.#add("warning", fieldPath, reason);
  }

  /** Of what only eviction heeds, or nearly. */
  warnUnlessEvictable(fieldPath: string, effect = "has no effect"): void {
    if (!this.#evictable)
      this.warning(fieldPath, `${effect} unless evictStaticPods is set: pods of manifests are not evicted`);
  }

  /** Whether something at or below the path is already known to be wrong: then what follows from it is not said again. */
  hasErrorIn(fieldPath: string): boolean {
    return this.#errorPaths.some(
      (path) => path === fieldPath || path.startsWith(`${fieldPath}.`) || path.startsWith(`${fieldPath}[`),
    );
  }

  #add(severity: "error" | "warning", fieldPath: string, reason: string): void {
    const { prefix, locate } = this.#document;
    const path = prefix === "" || fieldPath === "" ? `${prefix}${fieldPath}` : `${prefix}.${fieldPath}`;
    this.#problems.add(severity, path, reason, locate(path));
  }
}
