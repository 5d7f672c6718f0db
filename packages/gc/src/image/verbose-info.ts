// SPDX-License-Identifier: Apache-2.0

/** Pure: what containerd puts as JSON into the `info` of verbose answers. Whatever is not as expected is not there. */

/** Names of sandbox images: of Status (`config`.sandboxImage), or of a sandbox's status (`info`.image). */
export function sandboxImagesIn(info: Readonly<Record<string, string>>): readonly string[] {
  const names = new Set<string>();
  for (const text of Object.values(info)) {
    const parsed = parse(text);
    for (const value of [
      member(parsed, "sandboxImage"),
      member(member(parsed, "containerd"), "sandboxImage"),
      member(member(parsed, "pinnedImages"), "sandbox"),
      member(parsed, "image"),
    ])
      if (typeof value === "string" && value !== "") names.add(value);
  }
  return [...names];
}

/** Labels of an image's configuration; undefined when it is not told. */
export function imageLabelsIn(
  info: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> | undefined {
  for (const text of Object.values(info)) {
    const spec = member(parse(text), "imageSpec");
    if (spec === undefined) continue;
    const labels = member(member(spec, "config"), "Labels");
    if (typeof labels !== "object" || labels === null) return {};
    return Object.fromEntries(
      Object.entries(labels).filter((entry): entry is [string, string] => typeof entry[1] === "string"),
    );
  }
  return undefined;
}

/** Digests of an image's layers, lowest first; empty when they are not told. */
export function diffIdsIn(info: Readonly<Record<string, string>>): readonly string[] {
  for (const text of Object.values(info)) {
    const ids = member(member(member(parse(text), "imageSpec"), "rootfs"), "diff_ids");
    if (Array.isArray(ids)) return ids.filter((id): id is string => typeof id === "string");
  }
  return [];
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // a plain text, as some runtimes give
  }
}

function member(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null && Object.hasOwn(value, key)
    ? (value as Readonly<Record<string, unknown>>)[key]
    : undefined;
}
