// SPDX-License-Identifier: Apache-2.0

/**
 * Checks a document against the field table, types strictly, and returns a copy that holds only fields with the right type, so that
 * the checks of meaning that follow can trust what they find. Null is absence, as in the API.
 */
import { HoldfastError } from "@holdfast/core/errors";
import { nearestName } from "@holdfast/core/nearest-name";
import { parseQuantity } from "@holdfast/core/quantity";
import type { Field, FieldType } from "./field-table.ts";
import { isObject } from "./parse-manifest.ts";
import { childPath } from "./read-node.ts";
import type { Json, JsonObject } from "./read-node.ts";
import { forbidden, invalidValue, requiredValue, unsupportedValue } from "./validation-text.ts";

/** Where the checks say what they found. */
export interface Report {
  error(fieldPath: string, reason: string): void;
  warning(fieldPath: string, reason: string): void;
}

/** The copy, or undefined when the value is absent, wrong or refused. */
export function checkField(
  value: Json | undefined,
  field: Field,
  path: string,
  report: Report,
): Json | undefined {
  if (value === undefined || value === null) {
    if (field.required) report.error(path, requiredValue());
    return undefined;
  }
  if (field.status !== "honoured" && !isInert(value, field)) {
    if (field.status === "refused") {
      report.error(path, forbidden(`not supported by Holdfast: ${field.reason ?? ""}`));
      return undefined;
    }
    report.warning(path, `has no effect: ${field.reason ?? ""}`);
  } else if (field.status === "refused") return undefined;
  return checkValue(value, field, path, report);
}

function isInert(value: Json, field: Field): boolean {
  const text = JSON.stringify(value);
  return field.inert?.some((inert) => JSON.stringify(inert) === text) ?? false;
}

function checkValue(value: Json, field: Field, path: string, report: Report): Json | undefined {
  switch (field.type) {
    case "object":
      return checkObject(value, field, path, report);
    case "list":
      return checkList(value, field, path, report);
    case "stringMap":
    case "quantityMap":
      return checkMap(value, field.type === "stringMap" ? "string" : "quantity", path, report);
    case "any":
      return value;
    default:
      return checkScalar(value, field, path, report);
  }
}

function checkObject(value: Json, field: Field, path: string, report: Report): Json | undefined {
  if (!isObject(value)) return wrongType(value, "an object", path, report);
  const fields = field.fields ?? {};
  const result: JsonObject = {};
  for (const key of Object.keys(value)) {
    if (Object.hasOwn(fields, key)) continue;
    const nearest = nearestName(key, Object.keys(fields));
    const hint = nearest === undefined ? "" : `; did you mean "${nearest}"?`;
    report.error(childPath(path, key), `unknown field ${JSON.stringify(childPath(path, key))}${hint}`);
  }
  for (const [key, child] of Object.entries(fields)) {
    const given = Object.hasOwn(value, key) ? value[key] : undefined;
    const checked = checkField(given, child, childPath(path, key), report);
    if (checked !== undefined) result[key] = checked;
  }
  return result;
}

function checkList(value: Json, field: Field, path: string, report: Report): Json | undefined {
  if (!Array.isArray(value)) return wrongType(value, "a list", path, report);
  if (field.required && value.length === 0) report.error(path, requiredValue());
  const { items } = field;
  if (items === undefined) return value;
  // A wrong element keeps its place, so that later messages name the right index.
  return value.map((item, index) => {
    const at = `${path}[${index}]`;
    if (item === null) {
      wrongType(item, items.type === "object" ? "an object" : "a value", at, report);
      return placeholder(items.type);
    }
    return checkField(item, items, at, report) ?? placeholder(items.type);
  });
}

function placeholder(type: FieldType): Json {
  return type === "object" ? {} : type === "string" ? "" : 0;
}

function checkMap(value: Json, type: "string" | "quantity", path: string, report: Report): Json | undefined {
  if (!isObject(value)) return wrongType(value, "an object", path, report);
  const result: JsonObject = {};
  for (const [key, item] of Object.entries(value)) {
    const checked = checkField(item, { type, status: "honoured" }, childPath(path, key), report);
    if (checked !== undefined) Object.defineProperty(result, key, { value: checked, enumerable: true });
  }
  return result;
}

const INT_RANGE = { int32: 2 ** 31, int64: Number.MAX_SAFE_INTEGER } as const;

function checkScalar(value: Json, field: Field, path: string, report: Report): Json | undefined {
  switch (field.type) {
    case "string":
      if (typeof value !== "string") return wrongType(value, "a string", path, report);
      return checkString(value, field, path, report);
    case "bool":
      return typeof value === "boolean" ? value : wrongType(value, "true or false", path, report);
    case "intOrString":
      if (typeof value === "string") return value;
      return typeof value === "number" && Number.isInteger(value)
        ? value
        : wrongType(value, "an integer or a string", path, report);
    case "quantity":
      return checkQuantity(value, path, report);
    default: {
      if (typeof value !== "number" || !Number.isInteger(value))
        return wrongType(value, "an integer", path, report);
      const range = INT_RANGE[field.type as keyof typeof INT_RANGE];
      if (value >= range || value < -range) {
        report.error(
          path,
          invalidValue(value, `must be a ${field.type === "int32" ? "32" : "64"}-bit integer`),
        );
        return undefined;
      }
      return checkRange(value, field, path, report);
    }
  }
}

function checkString(value: string, field: Field, path: string, report: Report): Json | undefined {
  if (field.required && value === "") {
    report.error(path, requiredValue());
    return undefined;
  }
  if (field.values !== undefined && !field.values.includes(value)) {
    if (value === "") return undefined; // as if absent: the default applies
    report.error(path, unsupportedValue(value, field.values));
    return undefined;
  }
  return value;
}

function checkRange(value: number, field: Field, path: string, report: Report): Json | undefined {
  const { min, max } = field;
  if ((min === undefined || value >= min) && (max === undefined || value <= max)) return value;
  const detail =
    max === undefined || (min === 0 && value < 0)
      ? `must be greater than or equal to ${min}`
      : `must be between ${min} and ${max}, inclusive`;
  report.error(path, invalidValue(value, detail));
  return undefined;
}

function checkQuantity(value: Json, path: string, report: Report): Json | undefined {
  if (typeof value !== "string" && typeof value !== "number")
    return wrongType(value, "a quantity like 500m, 64Mi or 2", path, report);
  try {
    parseQuantity(value);
    return value;
  } catch (error) {
    if (!HoldfastError.is(error)) throw error;
    report.error(path, invalidValue(value, "must be a quantity like 500m, 64Mi or 2"));
    return undefined;
  }
}

/** Says what type was found, never the value: it may be a secret. */
function wrongType(value: Json, expected: string, path: string, report: Report): undefined {
  const found =
    value === null
      ? "null"
      : Array.isArray(value)
        ? "a list"
        : isObject(value)
          ? "an object"
          : typeName(value);
  report.error(path, `must be ${expected}, not ${found}${expected === "a string" ? quoteHint(value) : ""}`);
  return undefined;
}

function typeName(value: boolean | number | string): string {
  return typeof value === "string" ? "a string" : typeof value === "number" ? "a number" : "a boolean";
}

function quoteHint(value: Json): string {
  if (typeof value === "boolean")
    return " (YAML reads yes, no, on, off, y and n as booleans: put quotes around it)";
  return typeof value === "number" ? " (put quotes around it)" : "";
}
