// SPDX-License-Identifier: Apache-2.0

/** Whether two values of JSON are the same, whatever the order of their keys; a key without a value, or with `null`, is no key. */
export function equalJson(a: unknown, b: unknown): boolean {
  if (a === b || (a ?? undefined) === (b ?? undefined)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b))
    return (
      Array.isArray(a) &&
      Array.isArray(b) &&
      a.length === b.length &&
      a.every((one, index) => equalJson(one, b[index]))
    );
  const left = a as Readonly<Record<string, unknown>>;
  const right = b as Readonly<Record<string, unknown>>;
  for (const key in left) if (!equalJson(left[key], right[key])) return false;
  for (const key in right) if (!(key in left) && !equalJson(left[key], right[key])) return false;
  return true;
}
