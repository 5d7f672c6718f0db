// SPDX-License-Identifier: Apache-2.0

/**
 * The restart back-off of a pod's containers, from an annotation. Pure. Not the kubelet's: it has one curve for all.
 *
 *   holdfast.agent/crash-loop-back-off: "initial=1s, factor=1.5, max=1m; exit 0: initial=0s; exit 2,64-78: initial=5m; worker: max=10s; worker exit 0: reset=1m"
 *
 * Rules are separated by `;`. What stands before a colon says whom a rule is for: a container, ends with given exit codes, or both. A rule for a
 * container goes before one for all, and among equals one for exit codes before one for any end; each sets only what it names. What nobody
 * sets is the kubelet's curve. Ends that a rule for exit codes is for have waits of their own: a clean end does not make the next wait after a
 * crash longer.
 */
import { parseDuration } from "@holdfast/core/duration";
import { errorText } from "@holdfast/core/errors";
import { BACKOFF_ANNOTATION } from "@holdfast/core/names";
import { allContainers } from "@holdfast/core/pod";
import type { Pod } from "@holdfast/core/pod-types";

/** What one rule sets. Milliseconds. */
export interface BackOffSettings {
  /** The wait before the second restart in a row; the first comes at once, as in the kubelet. 0: never waits. */
  readonly initialMs?: number;
  /** Each wait is so many times the one before. 1 to 10. */
  readonly factor?: number;
  readonly maxMs?: number;
  /** A container that ran for longer begins anew. */
  readonly resetMs?: number;
}

/** One rule of the annotation. */
export interface BackOffRule {
  /** "" is for all containers. */
  readonly container: string;
  /** As it was written: "0", "2,64-78"; "" is for any end. */
  readonly exits: string;
  readonly ranges: readonly (readonly [from: number, to: number])[];
  readonly settings: BackOffSettings;
}

/** A whole curve, and the name of its waits: ends with the same name make each other's waits longer. */
export interface BackOffCurve extends Required<BackOffSettings> {
  /** "" or the exit codes of the rule, as written. */
  readonly ladder: string;
}

/** The annotation, read. With a problem none of it counts: bad input is never obeyed half. */
export interface BackOffRules {
  readonly rules: readonly BackOffRule[];
  /** Without the annotation's name. */
  readonly problem: string | undefined;
}

const FIELDS: Readonly<Record<string, keyof BackOffSettings>> = {
  initial: "initialMs",
  factor: "factor",
  max: "maxMs",
  reset: "resetMs",
};
/** Nothing waits longer. One day. */
const MAX_MS = 86_400_000;
const MAX_FACTOR = 10;
const MAX_EXIT = 255;
const NONE: BackOffRules = { rules: [], problem: undefined };

/** Reads the annotation's text; `names` are the pod's containers. */
export function parseBackOff(text: string, names: readonly string[]): BackOffRules {
  const rules: BackOffRule[] = [];
  for (const entry of text.split(";")) {
    if (entry.trim() === "") continue;
    const rule = parseRule(entry, names);
    if (typeof rule === "string") return { rules: [], problem: rule };
    if (rules.some(({ container, exits }) => container === rule.container && exits === rule.exits))
      return { rules: [], problem: `two rules are for ${describeRule(rule)}` };
    rules.push(rule);
  }
  return { rules, problem: undefined };
}

const known = new WeakMap<Pod, BackOffRules>();

/** The same of a pod; read once. */
export function backOffRulesOf(pod: Pod): BackOffRules {
  const text = pod.metadata.annotations?.[BACKOFF_ANNOTATION];
  if (text === undefined) return NONE;
  let rules = known.get(pod);
  if (rules === undefined) {
    rules = parseBackOff(
      text,
      allContainers(pod.spec).map(({ name }) => name),
    );
    known.set(pod, rules);
  }
  return rules;
}

/** The curve for one end of one container. `usual` is what nobody sets: the kubelet's, with the node's maximum. */
export function curveFor(
  { rules }: BackOffRules,
  container: string,
  exitCode: number,
  usual: Required<BackOffSettings>,
): BackOffCurve {
  const fit = rules
    .filter((rule) => rule.container === "" || rule.container === container)
    .filter(({ ranges }) => ranges.length === 0 || ranges.some(([a, b]) => a <= exitCode && exitCode <= b))
    .toSorted((a, b) => weight(a) - weight(b));
  const set: Required<BackOffSettings> = Object.assign({}, usual, ...fit.map(({ settings }) => settings));
  const ladder = fit.findLast(({ exits }) => exits !== "")?.exits ?? "";
  // Where rules are put together, the maximum counts.
  const initialMs = Math.min(set.initialMs, set.maxMs);
  return { ...set, initialMs, ladder };
}

function weight({ container, exits }: BackOffRule): number {
  return (container === "" ? 0 : 2) + (exits === "" ? 0 : 1);
}

/** Whom a rule is for, in words. */
export function describeRule({ container, exits }: Pick<BackOffRule, "container" | "exits">): string {
  const who = container === "" ? "all containers" : `container ${container}`;
  return exits === "" ? who : `${who}, exit ${exits}`;
}

function parseRule(entry: string, names: readonly string[]): BackOffRule | string {
  const colon = entry.indexOf(":");
  const whom = colon === -1 ? "" : entry.slice(0, colon).trim();
  const match = /^(?:(?!exit\s)([^\s]+))?\s*(?:exit\s+([\d\s,-]+))?$/.exec(whom);
  if (match === null || (colon !== -1 && whom === ""))
    return `"${whom.slice(0, 60)}" says not whom the rule is for; write CONTAINER:, exit CODES: or CONTAINER exit CODES:`;
  const [, container = "", codes] = match;
  if (container !== "" && !names.includes(container))
    return `there is no container "${container.slice(0, 63)}"`;
  const ranges = codes === undefined ? [] : parseCodes(codes);
  if (typeof ranges === "string") return ranges;
  const settings = parseSettings(entry.slice(colon + 1));
  if (typeof settings === "string") return settings;
  return { container, exits: codes === undefined ? "" : codes.replaceAll(/\s/g, ""), ranges, settings };
}

function parseCodes(text: string): (readonly [number, number])[] | string {
  const ranges: (readonly [number, number])[] = [];
  for (const part of text.split(",")) {
    const match = /^\s*(\d{1,3})\s*(?:-\s*(\d{1,3}))?\s*$/.exec(part);
    const from = Number(match?.[1]);
    const to = Number(match?.[2] ?? match?.[1]);
    if (match === null || from > to || to > MAX_EXIT)
      return `exit: "${part.trim().slice(0, 20)}" is neither an exit code from 0 to ${MAX_EXIT} nor a range like 64-78`;
    ranges.push([from, to]);
  }
  return ranges;
}

function parseSettings(text: string): BackOffSettings | string {
  const settings: { -readonly [Field in keyof BackOffSettings]: number } = {};
  for (const pair of text.split(",")) {
    const [name = "", value = ""] = pair.split("=", 2).map((part) => part.trim());
    const field = FIELDS[name];
    if (field === undefined) return `"${name.slice(0, 40)}" is none of ${Object.keys(FIELDS).join(", ")}`;
    if (settings[field] !== undefined) return `${name} is set twice in one rule`;
    const read = field === "factor" ? factorOf(value) : durationOf(name, value);
    if (typeof read === "string") return read;
    settings[field] = read;
  }
  const { initialMs, maxMs } = settings;
  if (initialMs !== undefined && maxMs !== undefined && initialMs > maxMs)
    return "initial is longer than max";
  return settings;
}

function factorOf(value: string): number | string {
  const factor = /^\d{1,2}(?:\.\d{1,6})?$/.test(value) ? Number(value) : Number.NaN;
  return factor >= 1 && factor <= MAX_FACTOR
    ? factor
    : `factor: "${value.slice(0, 20)}" is no number from 1 to ${MAX_FACTOR}`;
}

function durationOf(name: string, value: string): number | string {
  let ms: number;
  try {
    ms = parseDuration(value);
  } catch (error) {
    return `${name}: ${errorText(error)}`;
  }
  const least = name === "reset" ? 1000 : 0;
  return ms >= least && ms <= MAX_MS
    ? ms
    : `${name}: ${value} is not between ${least === 0 ? "0s" : "1s"} and 24h`;
}
