// SPDX-License-Identifier: Apache-2.0

// Reports that were cut, shuffled, mixed and damaged: no exception, and nobody is blamed who was not.
import fc from "fast-check";
import { expect, test } from "vitest";
import { parseCgroupOwner } from "../src/cgroup-path.ts";
import { parseKmsgRecord } from "../src/kmsg-record.ts";
import { OomAssembler } from "../src/oom-assembler.ts";
import type { OomFact } from "../src/oom-assembler.ts";
import { parseOomLine } from "../src/oom-lines.ts";
import { assemble, FIXTURES, ID_A, ID_B, ID_C, recordsOf } from "./fixtures.ts";

const CORPUS = FIXTURES.map(recordsOf);
// A pair of pid and cgroup says who was blamed. A report cut before its kill line leaves what the kernel's summary names.
const TRUE_PAIRS = new Set(
  CORPUS.flatMap((records) =>
    [...assemble(records), ...records.flatMap((record) => assemble([record]))].map(
      ({ pid, taskCgroup }) => `${pid} ${taskCgroup}`,
    ),
  ),
);

const OWNER_BY_PID = new Map([
  [28_438, ID_A],
  [63_214, ID_B],
  [777, ID_C],
]);

const OWNERS = new Set(OWNER_BY_PID.values());

const renumber = (text: string, index: number): string => text.replace(/^(\d+),\d+/, `$1,${index + 1}`);

/** The kernel numbers its records: what is lost leaves a hole, what is repeated does not count on. */
const edited = fc
  .array(fc.constantFrom(...CORPUS.keys()), { minLength: 1, maxLength: 6 })
  .chain((picks) => {
    const records = picks.flatMap((pick) => CORPUS[pick] ?? []);
    const renumbered = records.map(renumber);
    return fc.tuple(
      fc.constant(renumbered),
      fc.array(fc.nat(records.length - 1), { maxLength: 12 }),
      fc.boolean(),
    );
  })
  .map(([records, places, isDouble]) => {
    const hit = new Set(places);
    return records.flatMap((text, index) => (!hit.has(index) ? [text] : isDouble ? [text, text] : []));
  });

test("records that are lost or come twice blame nobody else", () => {
  fc.assert(
    fc.property(edited, (records) => {
      const blamed = assemble(records).filter(({ taskCgroup }) => taskCgroup !== undefined);
      const wrong = blamed.filter(({ pid, taskCgroup }) => !TRUE_PAIRS.has(`${pid} ${taskCgroup}`));
      expect(wrong).toEqual([]);
    }),
    { numRuns: 1000 },
  );
});

test("foreign lines between a report's lines change nothing", () => {
  const foreign = fc.constantFrom(
    "6,1,1,-;eth0: link up",
    "30,1,1,-;systemd[1]: Started x invoked oom-killer: not.",
    "12,1,1,-;Killed process 1 (init) total-vm:1kB, anon-rss:1kB, file-rss:0kB, shmem-rss:0kB",
    "4,1,1,-; oom_kill_process.cold+0x8/0x8a",
  );
  fc.assert(
    fc.property(
      // A line in pieces may not be interrupted: the kernel ends it then.
      fc.constantFrom(...CORPUS.filter((records) => !records.some((text) => /^[^;]*,\+/.test(text)))),
      fc.array(fc.tuple(fc.nat(100), foreign), { maxLength: 10 }),
      (records, added) => {
        const mixed = [...records];
        for (const [place, line] of added) mixed.splice(place % mixed.length, 0, line);
        const renumbered = mixed.map(renumber);
        const plain = (fact: OomFact): object => ({ ...fact, sequence: 0, timestampUs: 0 });
        expect(assemble(renumbered).map(plain)).toEqual(assemble(records).map(plain));
      },
    ),
  );
});

test("damaged characters raise no exception, and nobody is blamed with another report's cgroup", () => {
  const damage = fc.array(fc.tuple(fc.nat(50_000), fc.string({ maxLength: 3 })), { maxLength: 12 });
  const reports = fc.shuffledSubarray(["linux-3.10-memcg", "linux-5.4-memcg", "linux-4.9-pieces"] as const, {
    minLength: 2,
  });
  fc.assert(
    fc.property(reports, damage, (names, hits) => {
      let text = names.flatMap(recordsOf).map(renumber).join("\n");
      for (const [at, insert] of hits) {
        const place = at % text.length;
        text = text.slice(0, place) + insert + text.slice(place + 1);
      }
      const wrong = assemble(text.split("\n")).filter(({ pid, taskCgroup }) => {
        const owner = taskCgroup === undefined ? undefined : parseCgroupOwner(taskCgroup).containerId;
        const truth = OWNER_BY_PID.get(pid);
        // A damaged pid or id is nobody's; a whole one goes with its own.
        return owner !== undefined && truth !== undefined && OWNERS.has(owner) && owner !== truth;
      });
      expect(wrong).toEqual([]);
    }),
    { numRuns: 3000 },
  );
});

test("any text at all is read without an exception", () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: "binary", maxLength: 300 }), { maxLength: 20 }), (texts) => {
      const assembler = new OomAssembler();
      for (const text of texts) {
        parseOomLine(text);
        const record = parseKmsgRecord(text) ?? parseKmsgRecord(`6,1,1,-;${text}`);
        if (record !== undefined) assembler.push(record);
      }
      expect(assembler.isPending).toBe(false);
    }),
  );
});
