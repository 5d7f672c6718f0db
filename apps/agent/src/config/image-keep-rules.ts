// SPDX-License-Identifier: Apache-2.0

/** Pure: reads `imageGCKeep`, the rules by which images always stay. */
import { errorText } from "@holdfast/core/errors";
import { wholeValue } from "@holdfast/core/quantity";
import type { ImageKeepRule } from "@holdfast/gc";
import { nearestName } from "@holdfast/core/nearest-name";

/** One rule per line of a configuration file is enough for any machine; each is tried on each image. */
const MAX_RULES = 1000;
const TEXTS = ["reference", "digest", "label", "why"] as const;
const SIZES = { minSize: "minSizeBytes", maxSize: "maxSizeBytes" } as const;
const KEYS: readonly string[] = [...TEXTS, ...Object.keys(SIZES)];

/** The rules of a list like `[{ reference: "docker.io/library/postgres:*" }, { label: keep=yes, minSize: 1Gi }]`; a text when it is none. */
export function readImageKeepRules(value: unknown): readonly ImageKeepRule[] | string {
  if (!Array.isArray(value)) return "must be a list of rules";
  if (value.length > MAX_RULES) return `must have at most ${MAX_RULES} rules`;
  const rules: ImageKeepRule[] = [];
  for (const [index, item] of value.entries()) {
    const rule = readRule(item);
    if (typeof rule === "string") return `rule ${index + 1} ${rule}`;
    rules.push(rule);
  }
  return rules;
}

function readRule(item: unknown): ImageKeepRule | string {
  if (typeof item !== "object" || item === null || Array.isArray(item))
    return `must be a mapping of ${KEYS.join(", ")}`;
  const rule: Record<string, string | number> = {};
  for (const [key, value] of Object.entries(item)) {
    if (TEXTS.some((known) => known === key)) {
      if (typeof value !== "string" || value === "") return `has a ${key} that is no text`;
      rule[key] = value;
    } else if (Object.hasOwn(SIZES, key)) {
      try {
        rule[SIZES[key as keyof typeof SIZES]] = wholeValue(String(value));
      } catch (error) {
        return `has a ${key} that is no size: ${errorText(error)}`;
      }
    } else {
      const near = nearestName(key, KEYS);
      return `has an unknown key "${key}"${near === undefined ? "" : `; did you mean "${near}"?`}`;
    }
  }
  if (!Object.keys(rule).some((key) => key !== "why")) return "says nothing: it would keep every image";
  return rule;
}
