// SPDX-License-Identifier: Apache-2.0

/** Pure: names of the fields in which two specs differ. Never a value. */
import { isRecord } from "./redact.ts";

const MAX_FIELDS = 32;
const MAX_DEPTH = 6;
/** Below these only the name of the whole is told: their keys may say too much, and their items have no names. */
const OPAQUE = /^(?:data|stringData|command|args)$/;

/** `spec.containers[web].image`, sorted. Items of lists go by their `name`. At most 32; equal specs give none. */
export function computeSpecDiff(before: unknown, after: unknown, root: string = "spec"): readonly string[] {
  const fields = new Set<string>();
  compare(before, after, root, 0, fields);
  return [...fields].sort();
}

function compare(before: unknown, after: unknown, path: string, depth: number, fields: Set<string>): void {
  if (fields.size >= MAX_FIELDS || Object.is(before, after)) return;
  const name = path.slice(path.lastIndexOf(".") + 1);
  const isDeep = depth < MAX_DEPTH && !OPAQUE.test(name);
  if (isDeep && isNamedList(before) && isNamedList(after)) {
    const [olds, news] = [byName(before), byName(after)];
    for (const key of new Set([...olds.keys(), ...news.keys()]))
      compare(olds.get(key), news.get(key), `${path}[${key}]`, depth + 1, fields);
    if ([...olds.keys()].join() !== [...news.keys()].join() && olds.size === news.size && hasSame(olds, news))
      fields.add(path);
    return;
  }
  if (isDeep && isRecord(before) && isRecord(after)) {
    for (const key of new Set([...Object.keys(before), ...Object.keys(after)]))
      compare(before[key], after[key], `${path}.${key}`, depth + 1, fields);
    return;
  }
  if (JSON.stringify(before) !== JSON.stringify(after)) fields.add(path);
}

type Named = readonly { readonly name: string }[];

function isNamedList(value: unknown): value is Named {
  return (
    Array.isArray(value) &&
    value.every((item) => isRecord(item) && typeof item["name"] === "string") &&
    new Set(value.map((item: { name: string }) => item.name)).size === value.length
  );
}

function byName(list: Named): ReadonlyMap<string, unknown> {
  return new Map(list.map((item) => [item.name, item]));
}

function hasSame(olds: ReadonlyMap<string, unknown>, news: ReadonlyMap<string, unknown>): boolean {
  return [...olds.keys()].every((key) => news.has(key));
}
