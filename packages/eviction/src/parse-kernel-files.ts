// SPDX-License-Identifier: Apache-2.0

/** The kernel's files that thresholds stand on. Pure; a file of a wrong form throws, and is then a figure that is not known. */
import type { PressureAverages, PressureFigures } from "./ports.ts";

/** A file that is one number. */
export function parseNumberFile(text: string, file: string): number {
  const trimmed = text.trim();
  if (!/^\d{1,20}$/.test(trimmed)) throw new Error(`${file} has no number: "${trimmed.slice(0, 40)}"`);
  return Number(trimmed);
}

/** The number after a key of memory.stat. */
export function parseMemoryStat(text: string, key: string, file: string): number {
  const at = text.startsWith(`${key} `) ? 0 : text.indexOf(`\n${key} `) + 1;
  if (at === 0 && !text.startsWith(`${key} `)) throw new Error(`${file} has no ${key}`);
  const end = text.indexOf("\n", at);
  return parseNumberFile(text.slice(at + key.length + 1, end < 0 ? undefined : end), file);
}

/** Tasks that there are: the part of /proc/loadavg's fourth field behind the slash. */
export function parseRunningTasks(text: string): number {
  const match = /^\S+ \S+ \S+ \d+\/(\d+) /.exec(text);
  return parseNumberFile(match?.[1] ?? "", "/proc/loadavg");
}

/** A pressure file: /proc/pressure/memory and its like. */
export function parsePressureFile(text: string, file: string): PressureFigures {
  const of = (kind: "some" | "full"): PressureAverages => {
    const match = new RegExp(
      `^${kind} avg10=([\\d.]+) avg60=([\\d.]+) avg300=([\\d.]+) total=\\d+$`,
      "m",
    ).exec(text);
    if (match === null) throw new Error(`${file} has no line "${kind}"`);
    return { avg10: Number(match[1]), avg60: Number(match[2]), avg300: Number(match[3]) };
  };
  return { some: of("some"), full: of("full") };
}
