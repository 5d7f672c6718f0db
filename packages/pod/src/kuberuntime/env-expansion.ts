// SPDX-License-Identifier: Apache-2.0

/** Pure: `$(NAME)` in environment, command and arguments. kubelet: third_party/forked/golang/expansion. */

/**
 * Replaces `$(NAME)` by its value in one pass; what is not defined stays as it is; `$$` is a literal `$`.
 * `lookup` answers undefined for a name that is not defined.
 */
export function expand(text: string, lookup: (name: string) => string | undefined): string {
  if (!text.includes("$")) return text;
  let result = "";
  let index = 0;
  while (index < text.length) {
    const dollar = text.indexOf("$", index);
    if (dollar < 0 || dollar === text.length - 1) break;
    result += text.slice(index, dollar);
    const next = text[dollar + 1];
    if (next === "$") {
      result += "$";
      index = dollar + 2;
      continue;
    }
    const end = next === "(" ? text.indexOf(")", dollar + 2) : -1;
    if (end < 0) {
      result += "$";
      index = dollar + 1;
      continue;
    }
    const name = text.slice(dollar + 2, end);
    result += lookup(name) ?? `$(${name})`;
    index = end + 1;
  }
  return result + text.slice(index);
}
