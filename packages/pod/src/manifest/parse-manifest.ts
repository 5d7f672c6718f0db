// SPDX-License-Identifier: Apache-2.0

import { LineCounter, parseAllDocuments } from "yaml";
import type { Document } from "yaml";
import { MAX_DEPTH, nestsTooDeep } from "./nesting.ts";
import type { Position, ProblemList } from "./problem.ts";
import { readNode, UnreadableNode } from "./read-node.ts";
import type { Json, JsonObject } from "./read-node.ts";
import { kubectlSchema } from "./yaml-schema.ts";

/** The largest manifest that is read. kubelet: 10 MiB; a pod has a few KiB. */
export const DEFAULT_MAX_MANIFEST_BYTES: number = 256 * 1024;
/** How many pods one file may hold. */
const MAX_DOCUMENTS = 500;

/** One object of a manifest: a document, or an item of a List. */
export interface ManifestDocument {
  readonly value: JsonObject;
  /** What stands before every field path: empty, or `items[2]` in a List. */
  readonly prefix: string;
  /** Where a field stands; a field that is absent has the place of what should hold it. Takes paths with the prefix. */
  readonly locate: (fieldPath: string) => Position;
}

/** Decodes a manifest's bytes; a binary file is a problem, not a pod. A byte order mark is dropped. */
export function decodeManifest(bytes: Uint8Array, problems: ProblemList): string | undefined {
  if (bytes.includes(0)) {
    problems.add("error", "", "the file is binary (it holds a NUL byte), not YAML or JSON");
    return undefined;
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    problems.add("error", "", "the file is not valid UTF-8");
    return undefined;
  }
}

/**
 * Reads all objects of a YAML (1.1, as kubectl reads it) or JSON text: several documents, and the items of `List` and `PodList`.
 * What cannot be read is added to `problems`; then the result is not the whole file.
 */
export function parseManifest(text: string, problems: ProblemList): readonly ManifestDocument[] {
  const lineCounter = new LineCounter();
  const at = (offset: number): Position => {
    const { line, col } = lineCounter.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const result: ManifestDocument[] = [];
  const language = /^\s*[{[]/.test(text) ? "JSON" : "YAML";
  for (const document of compose(text, lineCounter, problems)) {
    if (document.contents === null) continue;
    const syntax = [...document.errors, ...document.warnings];
    for (const error of syntax)
      problems.add("error", "", `invalid ${language}: ${withoutSource(error.message)}`, at(error.pos[0]));
    if (syntax.length > 0) continue;
    const read = readDocument(document, at, problems);
    if (read !== undefined) result.push(...read);
  }
  if (result.length > MAX_DOCUMENTS) {
    problems.add("error", "", `the file holds ${result.length} objects, at most ${MAX_DOCUMENTS} are read`);
    return [];
  }
  return result;
}

function compose(text: string, lineCounter: LineCounter, problems: ProblemList): readonly Document.Parsed[] {
  if (nestsTooDeep(text)) {
    problems.add("error", "", `values are nested more than ${MAX_DEPTH} deep`);
    return [];
  }
  // Keys that are set twice are found while reading: the composer's own check is quadratic.
  const documents = parseAllDocuments(text, {
    version: "1.1",
    schema: kubectlSchema,
    uniqueKeys: false,
    prettyErrors: false,
    logLevel: "silent",
    lineCounter,
  });
  return "empty" in documents ? [] : documents;
}

function readDocument(
  document: Document.Parsed,
  at: (offset: number) => Position,
  problems: ProblemList,
): ManifestDocument[] | undefined {
  const offsets = new Map<string, number>();
  let value: Json;
  try {
    value = readNode(document, offsets);
  } catch (error) {
    if (!(error instanceof UnreadableNode)) throw error;
    problems.add("error", error.fieldPath, error.message, at(error.offset));
    return undefined;
  }
  const locate = (fieldPath: string): Position => {
    for (let path = fieldPath; path !== ""; path = parentPath(path)) {
      const offset = offsets.get(path);
      if (offset !== undefined) return at(offset);
    }
    return at(offsets.get("") ?? 0);
  };
  if (value === null) return [];
  if (!isObject(value)) {
    problems.add("error", "", "the document is no object: a Pod begins with apiVersion and kind", locate(""));
    return undefined;
  }
  return isList(value) ? listItems(value, locate, problems) : [{ value, prefix: "", locate }];
}

/** The parser's messages may end in a piece of the text, which may be a secret. */
function withoutSource(message: string): string {
  return message.replace(/: ".*$/s, "");
}

/** `a.b[2].c` -> `a.b[2]` -> `a.b` -> `a` -> "". */
function parentPath(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf("."), path.lastIndexOf("["), 0));
}

/** Whether a value is a JSON object. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isList(value: JsonObject): boolean {
  return value["apiVersion"] === "v1" && (value["kind"] === "List" || value["kind"] === "PodList");
}

function listItems(
  list: JsonObject,
  locate: (fieldPath: string) => Position,
  problems: ProblemList,
): ManifestDocument[] {
  const items = list["items"] ?? [];
  if (!Array.isArray(items)) {
    problems.add("error", "items", "must be a list", locate("items"));
    return [];
  }
  return items.flatMap((item, index) => {
    const prefix = `items[${index}]`;
    if (!isObject(item)) {
      problems.add("error", prefix, "must be an object", locate(prefix));
      return [];
    }
    // The API leaves apiVersion and kind out of a PodList's items.
    const value = list["kind"] === "PodList" ? { apiVersion: "v1", kind: "Pod", ...item } : item;
    return [{ value, prefix, locate }];
  });
}
