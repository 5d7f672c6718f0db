// SPDX-License-Identifier: Apache-2.0

import { expect, test } from "vitest";
import { parseCgroupOwner } from "../src/cgroup-path.ts";
import type { OomFact } from "../src/oom-assembler.ts";
import { assemble, FIXTURES, ID_A, ID_B, ID_C, POD_UID, recordsOf } from "./fixtures.ts";

const KB = 1024;
type Told = readonly [
  process: string,
  pid: number,
  scope: string,
  owner: string,
  memoryKb: number | undefined,
  limitKb: number | undefined,
];

const EXPECTED: Readonly<Record<(typeof FIXTURES)[number], readonly Told[]>> = {
  "linux-3.10-memcg": [["java", 28438, "memcg", `${POD_UID}/${ID_A}`, 479_844, 524_288]],
  "linux-4.4-child-sacrificed": [["worker", 4242, "memcg", `${POD_UID}/${ID_B}`, 96_000, 102_400]],
  "linux-4.9-pieces": [["node", 777, "memcg", `${POD_UID}/${ID_C}`, 65_008, 65_536]],
  "linux-4.14-global": [["mysqld", 1200, "machine", "?", 1_880_000, undefined]],
  "linux-4.19-pod-limit": [["stress", 5151, "memcg", `${POD_UID}/${ID_A}`, 180_000, 204_800]],
  "linux-5.0-child-sacrificed": [["hog", 6001, "memcg", `${POD_UID}/${ID_A}`, 80_004, 102_400]],
  "linux-5.4-memcg": [["uwsgi", 63_214, "memcg", `${POD_UID}/${ID_B}`, 217_260, 262_144]],
  "linux-5.15-global": [["stress-ng", 1811, "machine", `${POD_UID}/${ID_C}`, 40_064, undefined]],
  "linux-6.1-group": [
    ["python3", 9001, "memcg", `${POD_UID}/${ID_A}`, 123_000, 131_072],
    ["sh", 9000, "memcg", `${POD_UID}/${ID_A}`, 1000, 131_072],
    ["helper", 9002, "memcg", `${POD_UID}/${ID_A}`, 1100, 131_072],
  ],
  "linux-6.6-rate-limited": [
    ["hog", 100, "memcg", `${POD_UID}/${ID_A}`, 15_300, 16_384],
    ["hog", 101, "memcg", "?", 15_300, undefined],
  ],
  "linux-6.8-no-victim": [["x,pid=1,uid=0", 4711, "memcg", `${POD_UID}/${ID_B}`, 7300, 8192]],
  "linux-6.18-recorded": [["tail", 27_446, "memcg", `${POD_UID}/${"d".repeat(64)}`, 17_808, 16_384]],
  "forged-by-a-program": [],
};

function told(fact: OomFact): Told {
  const owner = fact.taskCgroup === undefined ? undefined : parseCgroupOwner(fact.taskCgroup);
  return [
    fact.process,
    fact.pid,
    fact.constraint === "CONSTRAINT_MEMCG" ? "memcg" : "machine",
    owner === undefined ? "?" : `${owner.podUid}/${owner.containerId}`,
    fact.memoryBytes === undefined ? undefined : fact.memoryBytes / KB,
    fact.limitBytes === undefined ? undefined : fact.limitBytes / KB,
  ];
}

test.each(FIXTURES)("%s tells who was killed and where", (name) => {
  const kills = assemble(recordsOf(name)).map(told);
  expect(kills).toEqual(EXPECTED[name]);
});

test("the victim's cgroup is told from the one whose limit it was", () => {
  const [fact] = assemble(recordsOf("linux-4.19-pod-limit"));
  expect(fact?.taskCgroup).toBe(`/kubepods/burstable/pod${POD_UID}/${ID_A}`);
  expect(fact?.oomCgroup).toBe(`/kubepods/burstable/pod${POD_UID}`);
});

test("a name with an escape is read as the kernel meant it", () => {
  const [fact] = assemble(recordsOf("linux-6.8-no-victim"));
  expect(fact?.taskCgroup?.endsWith("/a\\x2db.service")).toBe(true);
});

test("where the middle of a report is missing, the kill is told without an owner", () => {
  const records = recordsOf("linux-3.10-memcg");
  const kills = assemble(records.toSpliced(5, 3)).map(told);
  expect(kills).toEqual([["java", 28_438, "memcg", "?", 479_844, undefined]]);
});

test("a summary whose kill line never comes is told as it is", () => {
  const kills = assemble(recordsOf("linux-5.4-memcg").slice(0, 5)).map(told);
  expect(kills).toEqual([["uwsgi", 63_214, "memcg", `${POD_UID}/${ID_B}`, undefined, 262_144]]);
});

test("a kill line from another time is not the open report's, whichever way the time goes", () => {
  const [report, other] = [recordsOf("linux-4.9-pieces"), recordsOf("linux-3.10-memcg")];
  // The first report loses its kill line, the second all but it: the numbers go on, as if nothing were missing.
  const mixed = [...report.slice(0, -1), ...other.slice(-1)].map((text, index) =>
    text.replace(/^(\d+),\d+/, `$1,${index + 1}`),
  );
  expect(assemble(mixed).map(({ pid, taskCgroup }) => [pid, taskCgroup])).toEqual([[28_438, undefined]]);
});
