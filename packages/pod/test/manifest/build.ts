// SPDX-License-Identifier: Apache-2.0

import { formatProblem } from "../../src/manifest/problem.ts";
import { readManifest } from "../../src/manifest/read-manifest.ts";
import type { ManifestContent } from "../../src/manifest/read-manifest.ts";

/** Reads a text as the file /m/web.yaml of node "n1". */
export function read(text: string | Uint8Array): ManifestContent {
  const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
  return readManifest(bytes, { path: "/m/web.yaml", nodeName: "n1" });
}

/** The problems as `line: severity: field: reason`. */
export function problemsOf(text: string | Uint8Array): readonly string[] {
  return read(text).problems.map((problem) =>
    formatProblem(problem).replace(/^\/m\/web\.yaml:(?:(\d+):\d+:)?\s*/, (_all, line) => `${line ?? 0}: `),
  );
}

/** A pod of one container with more fields in its spec or container, each given as YAML flow text. */
export function podText(parts: { spec?: string; container?: string; metadata?: string } = {}): string {
  return [
    "apiVersion: v1",
    "kind: Pod",
    "metadata:",
    "  name: web",
    ...indent(parts.metadata, 2),
    "spec:",
    "  containers:",
    "  - name: main",
    "    image: busybox:1.36",
    ...indent(parts.container, 4),
    ...indent(parts.spec, 2),
    "",
  ].join("\n");
}

function indent(text: string | undefined, by: number): readonly string[] {
  return text === undefined ? [] : text.split("\n").map((line) => `${" ".repeat(by)}${line}`);
}
