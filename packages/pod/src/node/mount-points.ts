// SPDX-License-Identifier: Apache-2.0

/** Mount points at `path` or below it, in the text of /proc/self/mountinfo. Pure. Also bind mounts of the same file system, which `st_dev` does not show. */
export function mountPointsIn(mountInfo: string, path: string): readonly string[] {
  const found: string[] = [];
  for (const line of mountInfo.split("\n")) {
    const point = line.split(" ", 5)[4];
    if (point === undefined) continue;
    const plain = point.includes("\\") ? unescape(point) : point;
    if (plain === path || plain.startsWith(`${path}/`)) found.push(plain);
  }
  return found;
}

/** Space, tab, newline and backslash stand as three octal digits. */
function unescape(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_all, digits: string) =>
    String.fromCodePoint(Number.parseInt(digits, 8)),
  );
}
