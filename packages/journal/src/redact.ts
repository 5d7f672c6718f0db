// SPDX-License-Identifier: Apache-2.0

/**
 * Pure: what of an event's payload may be written down. Values of env never, values under names that say secret never, of outputs the length and the first
 * line (or not even that), of commands the first word, of differences the names. What is left is bounded in depth, breadth and length.
 */
import { rfc3339 } from "@holdfast/core/rfc3339";
import { REDACTED, scrubText } from "./scrub-text.ts";

/** How much is kept. */
export interface RedactionSettings {
  /** Keep the first line of probe output. */
  readonly outputFirstLine: boolean;
  /** Rules by type, before the general ones. A key that ends in `*` is a beginning. */
  readonly rules: ReadonlyMap<string, RedactionRule>;
}

/** Gives what the general rules then see. */
export type RedactionRule = (
  data: Readonly<Record<string, unknown>>,
  settings: RedactionSettings,
) => Readonly<Record<string, unknown>>;

const MAX_TEXT = 1000;
const MAX_FIRST_LINE = 200;
const MAX_ITEMS = 64;
const MAX_DEPTH = 6;
/** Characters of JSON. */
const MAX_JSON = 8192;

const SECRET_KEY =
  /pass(?:wd|word|phrase)?$|secret|token|credential|authorization|cookie|bearer|(?:api|private|access)[-_]?key/i;
const ENV_KEY = /^env(?:s|From|vars?|ironment|ironmentVariables)?$/i;
const OUTPUT_KEY = /^(?:output|stdout|stderr|body|log|logs|lines|lastLines|terminationMessage)$/i;
const FIRST_LINE_KEY = /^(?:firstLine|outputFirstLine)$/i;
const COMMAND_KEY = /^(?:command|cmd|cmdline|args|argv)$/i;
const VALUE_KEY = /^(?:before|after|old|new|oldValue|newValue|from|to|was|is)$/i;
const DIFF_KEY = /^(?:diff|specDiff|changes|differences)$/i;

/** A payload as it is kept: the same as text and as a value. */
export interface Redacted {
  /** "" for none. */
  readonly json: string;
  readonly data: unknown;
}

const NOTHING: Redacted = { json: "", data: {} };

/** What is written for an event's payload. Never throws. */
export function redact(type: string, data: unknown, settings: RedactionSettings): Redacted {
  if (data === undefined || data === null) return NOTHING;
  let kept: unknown;
  try {
    const rule = ruleOf(type, settings);
    const seen = rule !== undefined && isRecord(data) ? rule(data, settings) : data;
    kept = redactValue(seen, settings, 0);
  } catch {
    // A payload with a getter that throws: nothing of it is worth a lost batch.
    kept = { unreadable: true };
  }
  const json = JSON.stringify(kept) ?? "";
  if (json === "{}" || json === "") return NOTHING;
  return json.length <= MAX_JSON ? { json, data: kept } : shortened(kept, json.length);
}

/** The text alone. */
export function redactedJson(type: string, data: unknown, settings: RedactionSettings): string {
  return redact(type, data, settings).json;
}

/** Redacts a payload that has no type's rule. */
export function redactValue(value: unknown, settings: RedactionSettings, depth: number): unknown {
  switch (typeof value) {
    case "string":
      return scrubText(value, MAX_TEXT);
    case "number":
      // What JSON has no word for is null there.
      return Number.isFinite(value) ? value : null;
    case "boolean":
      return value;
    case "bigint":
      return String(value);
    case "object":
      break;
    default:
      return undefined;
  }
  if (value === null) return null;
  if (depth >= MAX_DEPTH) return "…";
  if (value instanceof Error) return scrubText(value.message, MAX_TEXT);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "" : rfc3339(value.getTime());
  if (ArrayBuffer.isView(value)) return { bytes: value.byteLength };
  if (value instanceof Map) return redactRecord(Object.fromEntries(value), settings, depth);
  if (Array.isArray(value) || value instanceof Set) {
    const items = [...value];
    const kept = items.slice(0, MAX_ITEMS).map((item) => redactValue(item, settings, depth + 1) ?? null);
    return items.length > MAX_ITEMS ? [...kept, `… ${items.length - MAX_ITEMS} more`] : kept;
  }
  return redactRecord(value as Record<string, unknown>, settings, depth);
}

function redactRecord(
  record: Readonly<Record<string, unknown>>,
  settings: RedactionSettings,
  depth: number,
): Record<string, unknown> {
  const kept: Record<string, unknown> = {};
  // One entry of a difference: where it is, never what it was.
  const isDifference = typeof record["path"] === "string" || typeof record["field"] === "string";
  let left = MAX_ITEMS;
  for (const [key, value] of Object.entries(record)) {
    if (value === undefined || typeof value === "function") continue;
    if (left-- <= 0) break;
    const named = nameOfKey(key);
    const safe = isDifference && named.isValue ? REDACTED : redactField(named.rule, value, settings, depth);
    if (safe !== undefined) kept[named.name] = safe;
  }
  return kept;
}

function redactField(rule: KeyRule, value: unknown, settings: RedactionSettings, depth: number): unknown {
  switch (rule) {
    case "secret":
      return typeof value === "boolean" || typeof value === "number" ? value : REDACTED;
    case "env":
      return namesOf(value);
    case "firstLine":
      return settings.outputFirstLine ? firstLineOf(String(value)) : undefined;
    case "output":
      return outputFacts(value, settings, depth);
    case "command":
      return firstWord(value);
    case "diff":
      return diffNames(value);
    case "plain":
      return redactValue(value, settings, depth + 1);
    default:
      return rule satisfies never;
  }
}

/** What a field's name says about its value. */
type KeyRule = "secret" | "env" | "firstLine" | "output" | "command" | "diff" | "plain";

interface NamedKey {
  /** As it is written down. */
  readonly name: string;
  readonly rule: KeyRule;
  /** In an entry of a difference: one of its two values. */
  readonly isValue: boolean;
}

const KEY_RULES: readonly (readonly [RegExp, KeyRule])[] = [
  [SECRET_KEY, "secret"],
  [ENV_KEY, "env"],
  [FIRST_LINE_KEY, "firstLine"],
  [OUTPUT_KEY, "output"],
  [COMMAND_KEY, "command"],
  [DIFF_KEY, "diff"],
];
/** Payloads have the same few names again and again, and eight patterns to each would be half of what redaction costs. Names beyond these are judged each time. */
const MAX_KEYS = 512;
const MAX_KEY_LENGTH = 64;
const KEYS = new Map<string, NamedKey>();

function nameOfKey(key: string): NamedKey {
  const known = KEYS.get(key);
  if (known !== undefined) return known;
  const rule = KEY_RULES.find(([pattern]) => pattern.test(key))?.[1] ?? "plain";
  const named = { name: scrubText(key, MAX_FIRST_LINE), rule, isValue: VALUE_KEY.test(key) };
  if (KEYS.size < MAX_KEYS && key.length <= MAX_KEY_LENGTH) KEYS.set(key, named);
  return named;
}

/** Names of variables, without values. */
function namesOf(value: unknown): readonly string[] | string {
  const nameOf = (item: unknown): string => {
    if (isRecord(item)) return typeof item["name"] === "string" ? item["name"] : "";
    // `NAME=value`, as an OCI spec has it.
    return typeof item === "string" && item.includes("=") ? item.slice(0, item.indexOf("=")) : "";
  };
  const names = Array.isArray(value) ? value.map(nameOf) : isRecord(value) ? Object.keys(value) : [];
  return names.filter((name) => /^[\w.-]{1,200}$/.test(name)).slice(0, MAX_ITEMS);
}

function outputFacts(value: unknown, settings: RedactionSettings, depth: number): unknown {
  const text = Array.isArray(value) ? value.map(String).join("\n") : value;
  if (ArrayBuffer.isView(value)) return { bytes: value.byteLength };
  if (typeof text !== "string") return redactValue(value, settings, depth + 1);
  const bytes = new TextEncoder().encode(text).length;
  return settings.outputFirstLine && text !== "" ? { bytes, firstLine: firstLineOf(text) } : { bytes };
}

/** The first line that says something, without secrets; `most` characters of it. */
export function firstLineOf(text: string, most: number = MAX_FIRST_LINE): string {
  const line = text.split("\n", 20).find((one) => one.trim() !== "") ?? "";
  return scrubText(line.trim(), most);
}

function firstWord(value: unknown): string {
  const [first = "", ...rest] = Array.isArray(value) ? value.map(String) : String(value).split(/\s+/);
  const word = scrubText(first.split(/\s/, 1)[0] ?? "", MAX_FIRST_LINE);
  return rest.length === 0 ? word : `${word} (+${rest.length})`;
}

/** Of differences only where they are. */
function diffNames(value: unknown): readonly string[] {
  const nameOf = (item: unknown): string => {
    if (typeof item === "string") return scrubText(item, MAX_FIRST_LINE);
    if (!isRecord(item)) return "";
    const name = item["path"] ?? item["field"] ?? item["name"];
    return typeof name === "string" ? scrubText(name, MAX_FIRST_LINE) : "";
  };
  const names = Array.isArray(value) ? value.map(nameOf) : isRecord(value) ? Object.keys(value) : [];
  return names.filter((name) => name !== "").slice(0, MAX_ITEMS);
}

function ruleOf(type: string, { rules }: RedactionSettings): RedactionRule | undefined {
  const exact = rules.get(type);
  if (exact !== undefined) return exact;
  const slash = type.indexOf("/");
  return slash < 0 ? undefined : rules.get(`${type.slice(0, slash)}/*`);
}

function shortened(kept: unknown, length: number): Redacted {
  const record = isRecord(kept) ? kept : {};
  const short: Record<string, unknown> = { truncated: length };
  for (const [key, value] of Object.entries(record)) {
    if (typeof value === "object" || Object.keys(short).length > 20) continue;
    short[key] = typeof value === "string" ? value.slice(0, MAX_FIRST_LINE) : value;
  }
  return { json: JSON.stringify(short), data: short };
}

/** Whether a value has named fields. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** `Liveness probe failed: OUTPUT` keeps what it says and the first line of the output. */
const PROBE_MESSAGE =
  /^([\w ]{1,40}probe (?:failed|warning)|[\w ]{1,40}probe errored[\w ]{0,60}): ([\s\S]*)$/;

/** A probe's event: its message ends in the probe's output. */
export const probeRule: RedactionRule = (data, settings) => {
  const message = data["message"];
  const match = typeof message === "string" ? PROBE_MESSAGE.exec(message) : null;
  if (match === null) return data;
  const [, said = "", output = ""] = match;
  const rest = new TextEncoder().encode(output).length;
  const line = settings.outputFirstLine ? firstLineOf(output) : `${rest} bytes`;
  return { ...data, message: `${said}: ${line}` };
};

/** Rules by type that every journal has. */
export const DEFAULT_RULES: ReadonlyMap<string, RedactionRule> = new Map([["probe/*", probeRule]]);
