// SPDX-License-Identifier: Apache-2.0

import { readFileSync } from "node:fs";
import { OomAssembler } from "../src/oom-assembler.ts";
import type { OomFact } from "../src/oom-assembler.ts";
import { parseKmsgRecord } from "../src/kmsg-record.ts";

/** The corpus: reports as /dev/kmsg gives them, by kernel. `6.18-recorded` is a recording, the others are written from what each kernel prints. */
export const FIXTURES = [
  "linux-3.10-memcg",
  "linux-4.4-child-sacrificed",
  "linux-4.9-pieces",
  "linux-4.14-global",
  "linux-4.19-pod-limit",
  "linux-5.0-child-sacrificed",
  "linux-5.4-memcg",
  "linux-5.15-global",
  "linux-6.1-group",
  "linux-6.6-rate-limited",
  "linux-6.8-no-victim",
  "linux-6.18-recorded",
  "forged-by-a-program",
] as const;

export const [ID_A, ID_B, ID_C] = ["a".repeat(64), "b".repeat(64), "c".repeat(64)] as const;
export const POD_UID = "0f2b7c1e-5d55-4d0c-9d2f-3d5c1f2a9b10";

export function recordsOf(name: (typeof FIXTURES)[number]): readonly string[] {
  const text = readFileSync(new URL(`fixtures/${name}.kmsg`, import.meta.url), "utf8");
  return text.split("\n").filter((line) => line !== "");
}

/** What comes out of records in order. */
export function assemble(records: readonly string[]): readonly OomFact[] {
  const assembler = new OomAssembler();
  const facts = records.flatMap((text) => {
    const record = parseKmsgRecord(text);
    return record === undefined ? assembler.gap() : assembler.push(record);
  });
  return [...facts, ...assembler.flush()];
}
