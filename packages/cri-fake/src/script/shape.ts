// SPDX-License-Identifier: Apache-2.0
//
// What a script may hold, as data: shapes, and the reading of YAML nodes by them. Pure; every problem at once, each with its line and field.

import { isMap, isScalar, isSeq } from "yaml";
import type { Node, YAMLMap } from "yaml";

import { parseQuantity } from "@holdfast/core/quantity";

/** What a value must be. */
export type Shape =
  | { readonly kind: "text"; readonly oneOf?: readonly string[]; readonly filled?: boolean }
  | { readonly kind: "flag" }
  /** `.inf` only with `endless`. */
  | {
      readonly kind: "number";
      readonly least: number;
      readonly most?: number;
      readonly whole?: boolean;
      readonly endless?: boolean;
    }
  /** A number of bytes, or a quantity as Kubernetes writes them: `64Mi`. */
  | { readonly kind: "bytes" }
  | { readonly kind: "list"; readonly of: Shape }
  | { readonly kind: "map"; readonly of: Shape }
  | {
      readonly kind: "object";
      readonly fields: Readonly<Record<string, Shape>>;
      readonly required?: readonly string[];
    }
  /** One of them: the list when it is a list, else the other. */
  | { readonly kind: "one-or-list"; readonly of: Shape };

/** Where problems go. */
export interface ShapeProblems {
  add(node: Node | undefined, field: string, text: string): void;
}

/** Reads a node. What does not fit is a problem, and undefined. */
export function readShape(node: unknown, shape: Shape, field: string, problems: ShapeProblems): unknown {
  const at = node as Node | undefined;
  switch (shape.kind) {
    case "object":
      if (isMap(node)) return readObject(node, shape, field, problems);
      return problems.add(at, field, `must be a mapping, is ${said(node)}`);
    case "map":
      if (!isMap(node)) return problems.add(at, field, `must be a mapping, is ${said(node)}`);
      return Object.fromEntries(
        node.items.map(({ key, value }) => [
          String(key),
          readShape(value ?? key, shape.of, join(field, String(key)), problems),
        ]),
      );
    case "list":
      if (!isSeq(node)) return problems.add(at, field, `must be a list, is ${said(node)}`);
      return node.items.map((item, index) => readShape(item, shape.of, `${field}[${index}]`, problems));
    case "one-or-list":
      return readShape(node, isSeq(node) ? { kind: "list", of: shape.of } : shape.of, field, problems);
    default:
      return readScalar(node, shape, field, problems);
  }
}

function readObject(
  map: YAMLMap,
  { fields, required = [] }: Extract<Shape, { kind: "object" }>,
  field: string,
  problems: ShapeProblems,
): Record<string, unknown> {
  const read: Record<string, unknown> = {};
  for (const { key, value } of map.items) {
    const name = String(key);
    const shape = Object.hasOwn(fields, name) ? fields[name] : undefined;
    const at = key as Node;
    if (shape === undefined) {
      const near = Object.keys(fields).find((other) => isNear(name, other));
      const known =
        near === undefined ? `known are ${Object.keys(fields).join(", ")}` : `did you mean ${near}?`;
      problems.add(at, join(field, name), `is not known; ${known}`);
    } else if (value === null || (isScalar(value) && value.value === null)) {
      problems.add(at, join(field, name), "has no value");
    } else {
      const got = readShape(value, shape, join(field, name), problems);
      if (got !== undefined) read[name] = got;
    }
  }
  for (const name of required)
    if (!map.has(name)) problems.add(map as Node, join(field, name), "is required");
  return read;
}

function readScalar(
  node: unknown,
  shape: Extract<Shape, { kind: "text" | "flag" | "number" | "bytes" }>,
  field: string,
  problems: ShapeProblems,
): unknown {
  const value = isScalar(node) ? node.value : undefined;
  const refuse = (rule: string): undefined => {
    problems.add(node as Node, field, `must be ${rule}, is ${said(node)}`);
    return undefined;
  };
  switch (shape.kind) {
    case "flag":
      return typeof value === "boolean" ? value : refuse("true or false");
    case "text":
      if (typeof value !== "string") return refuse("a text (in quotes when it looks like a number)");
      if (shape.oneOf !== undefined && !shape.oneOf.includes(value))
        return refuse(`one of ${shape.oneOf.join(", ")}`);
      return shape.filled && value === "" ? refuse("a text that is not empty") : value;
    case "bytes":
      return readBytes(value) ?? refuse("a number of bytes, such as 67108864 or 64Mi");
    case "number": {
      const { least, most = Number.POSITIVE_INFINITY, whole = false, endless = false } = shape;
      const fits =
        typeof value === "number" &&
        value >= least &&
        value <= most &&
        (Number.isFinite(value) || endless) &&
        (!whole || Number.isInteger(value));
      const upTo = Number.isFinite(most) ? ` to ${most}` : " or more";
      return fits ? value : refuse(`a ${whole ? "whole " : ""}number of ${least}${upTo}`);
    }
  }
}

function readBytes(value: unknown): number | undefined {
  if (typeof value !== "string" && typeof value !== "number") return undefined;
  try {
    const bytes = parseQuantity(value);
    return Number.isSafeInteger(bytes) && bytes >= 0 ? bytes : undefined;
  } catch {
    return undefined;
  }
}

function said(node: unknown): string {
  if (isMap(node)) return "a mapping";
  if (isSeq(node)) return "a list";
  if (isScalar(node)) return JSON.stringify(node.value)?.slice(0, MAX_SHOWN) ?? "nothing";
  return "an alias, which is not read";
}

const MAX_SHOWN = 60;

function join(field: string, name: string): string {
  return field === "" ? name : `${field}.${name}`;
}

/** The same letters but for case, one that is missing, too many, or another. */
function isNear(a: string, b: string): boolean {
  const [one, other] = [a.toLowerCase(), b.toLowerCase()];
  if (Math.abs(one.length - other.length) > 1) return false;
  let start = 0;
  while (start < one.length && one[start] === other[start]) start++;
  let end = 0;
  while (end < Math.min(one.length, other.length) - start && one.at(-1 - end) === other.at(-1 - end)) end++;
  return Math.max(one.length, other.length) - start - end <= 1;
}
