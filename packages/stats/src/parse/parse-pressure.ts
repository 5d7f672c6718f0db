// SPDX-License-Identifier: Apache-2.0

import type { PSIData, PSIStats } from "../summary.ts";
import { badFormat, parseCount } from "./parse-count.ts";

const LINE =
  /^(some|full) avg10=(\d{1,3}\.\d{1,4}) avg60=(\d{1,3}\.\d{1,4}) avg300=(\d{1,3}\.\d{1,4}) total=(\d{1,20})$/;
const NONE: PSIData = { total: 0, avg10: 0, avg60: 0, avg300: 0 };
/** What a cgroup says that never waited: nearly all of them. */
const NEVER_LINE = "avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";
const NEVER_TEXT = `some ${NEVER_LINE}full ${NEVER_LINE}`;
const NEVER: PSIStats = { full: NONE, some: NONE };
const NANOS_PER_MICRO = 1000;

/** A pressure file: /proc/pressure/cpu, memory.pressure and their like. Kernels before 5.13 have no `full` line for the CPU: zero, as the later ones say. */
export function parsePressure(text: string, file: string): PSIStats {
  if (text === NEVER_TEXT) return NEVER;
  let some: PSIData | undefined;
  let full: PSIData | undefined;
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const match = LINE.exec(line);
    if (match === null) throw badFormat(file, line);
    const [, kind, avg10, avg60, avg300, total = ""] = match;
    const data = {
      total: parseCount(total, file) * NANOS_PER_MICRO,
      avg10: Number(avg10),
      avg60: Number(avg60),
      avg300: Number(avg300),
    };
    if (kind === "some") some = data;
    else full = data;
  }
  if (some === undefined) throw badFormat(file, text);
  return { full: full ?? NONE, some };
}
