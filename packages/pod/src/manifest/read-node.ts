// SPDX-License-Identifier: Apache-2.0

/**
 * Turns composed YAML nodes into plain JSON values, keeping where each field stands in the text.
 *
 * Everything that could make a small text large or endless is bounded here: aliases are expanded into a counted budget of values, depth is
 * limited, and a mapping may name a key only once.
 */
import { isAlias, isMap, isPair, isScalar, isSeq } from "yaml";
import type { Alias, Document, Pair, YAMLMap } from "yaml";
import { MAX_DEPTH } from "./nesting.ts";

/** A JSON value. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
/** A JSON object. */
export type JsonObject = { [key: string]: Json };

/** How many values one document may hold, aliases expanded. */
export const MAX_VALUES = 20_000;

/** Something in a document that cannot be read, with the offset in the text where it stands. */
export class UnreadableNode extends Error {
  readonly offset: number;
  readonly fieldPath: string;

  constructor(message: string, offset: number, fieldPath: string) {
    super(message);
    this.offset = offset;
    this.fieldPath = fieldPath;
  }
}

/** Appends a key to a field path: `a.b`, or `a[b/c]` when the key is no plain name. */
export function childPath(parent: string, key: string): string {
  if (!/^[A-Za-z0-9_$-]+$/.test(key)) return `${parent}[${key.slice(0, 80)}]`;
  return parent === "" ? key : `${parent}.${key}`;
}

/** Reads one document. Offsets of keys and values by field path are written into `offsets`. */
export function readNode(document: Document.Parsed, offsets: Map<string, number>): Json {
  return new Reader(document, offsets).read(document.contents, "", 0);
}

class Reader {
  readonly #document: Document.Parsed;
  readonly #offsets: Map<string, number>;
  #values = 0;
  #offset = 0;

  constructor(document: Document.Parsed, offsets: Map<string, number>) {
    this.#document = document;
    this.#offsets = offsets;
  }

  read(node: unknown, path: string, depth: number): Json {
    this.#enter(node, path, depth);
    if (!this.#offsets.has(path)) this.#offsets.set(path, this.#offset);
    if (isAlias(node)) return this.read(this.#resolve(node, path), path, depth + 1);
    if (isMap(node)) return this.#readMap(node, path, depth);
    if (isSeq(node)) return node.items.map((item, index) => this.read(item, `${path}[${index}]`, depth + 1));
    if (isScalar(node)) return this.#readScalar(node.value, path);
    return null;
  }

  /** Counts the value and remembers where it stands, for messages. */
  #enter(node: unknown, path: string, depth: number): void {
    const range = (node as { range?: readonly number[] | null } | null)?.range;
    if (range?.[0] !== undefined) this.#offset = range[0];
    if (++this.#values > MAX_VALUES)
      this.#fail(`the document expands to more than ${MAX_VALUES} values, aliases included`, path);
    if (depth > MAX_DEPTH) this.#fail(`values are nested more than ${MAX_DEPTH} deep`, path);
  }

  #readScalar(value: unknown, path: string): Json {
    if (typeof value === "string" || typeof value === "boolean") return value;
    if (typeof value === "number") {
      if (!Number.isFinite(value)) this.#fail("a number must be finite", path);
      return value;
    }
    return null;
  }

  #readMap(map: YAMLMap, path: string, depth: number): Json {
    const result: JsonObject = {};
    const merged: JsonObject = {};
    for (const pair of map.items) {
      if (!isPair(pair)) continue;
      const key = this.#readKey(pair, path);
      if (key === undefined) {
        this.#merge(pair.value, merged, path, depth);
        continue;
      }
      if (Object.hasOwn(result, key))
        this.#fail(`key "${key.slice(0, 80)}" is set twice`, childPath(path, key));
      const child = childPath(path, key);
      this.#offsets.set(child, this.#offset);
      // defineProperty: a key named __proto__ is a key like any other.
      define(result, key, this.read(pair.value, child, depth + 1));
    }
    for (const [key, value] of Object.entries(merged)) {
      if (!Object.hasOwn(result, key)) define(result, key, value);
    }
    return result;
  }

  /** The key as text, or undefined for the merge key. Keys that are no strings become text as kubectl does it. */
  #readKey(pair: Pair, path: string): string | undefined {
    const node = pair.key;
    const range = (node as { range?: readonly number[] | null } | null)?.range;
    if (range?.[0] !== undefined) this.#offset = range[0];
    if (!isScalar(node)) this.#fail("a key must be a plain value", path);
    const { value } = node;
    if (typeof value === "symbol") return undefined;
    if (value === "<<" && node.type === "PLAIN") return undefined;
    if (typeof value === "string") return value;
    if (typeof value === "boolean" || typeof value === "number") return String(value);
    return this.#fail("a key must be a string", path);
  }

  #merge(value: unknown, into: JsonObject, path: string, depth: number): void {
    const source = this.read(value, path, depth + 1);
    for (const part of Array.isArray(source) ? source : [source]) {
      if (part === null || typeof part !== "object" || Array.isArray(part))
        this.#fail("a merge key (<<) takes a mapping or a list of mappings", path);
      for (const [key, item] of Object.entries(part)) {
        if (!Object.hasOwn(into, key)) define(into, key, item);
      }
    }
  }

  #resolve(alias: Alias, path: string): unknown {
    const target = alias.resolve(this.#document);
    if (target === undefined) this.#fail(`alias "${alias.source.slice(0, 40)}" names no anchor`, path);
    return target;
  }

  #fail(message: string, path: string): never {
    throw new UnreadableNode(message, this.#offset, path);
  }
}

function define(target: JsonObject, key: string, value: Json): void {
  Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
}
