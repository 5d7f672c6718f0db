// SPDX-License-Identifier: Apache-2.0

import {
  allLogs,
  DEFAULT_LOG_RETENTION_POLICY,
  logTargetsOf,
  planLogRetention,
  planLogRotation,
  resolveLogRotationPolicy,
} from "@holdfast/gc";
import type { LogRetentionPolicy, LogRotationFacts } from "@holdfast/gc";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

const NOW = Date.UTC(2026, 0, 2, 3, 4, 5);
const POLICY = { maxSizeBytes: 100, maxFiles: 5 };

function facts(names: readonly string[], other: Partial<LogRotationFacts> = {}): LogRotationFacts {
  const files = ["0.log", ...names].map((name) => ({ name, bytes: 10 }));
  return { log: "0.log", bytes: 100, files, busy: new Set(), now: NOW, ...other };
}

function removals(given: LogRotationFacts, policy = POLICY): string[] {
  return planLogRotation(given, policy).removals.map(({ name, rule }) => `${name} ${rule}`);
}

const day = (number: number): string => `0.log.2026010${number}-000000`;

describe("rotation", () => {
  it.each([
    // kubelet: TestRotateLogs
    { bytes: 99, max: 100, rotate: false },
    { bytes: 100, max: 100, rotate: true },
    { bytes: 1e12, max: -1, rotate: false },
    { bytes: 0, max: 0, rotate: true },
  ])("$bytes bytes with a limit of $max", ({ bytes, max, rotate }) => {
    const plan = planLogRotation(facts([], { bytes }), { ...POLICY, maxSizeBytes: max });
    expect(plan.rotate).toBe(rotate);
    expect(plan.reason).not.toBe("");
  });

  it("the log gets the time as its ending, in UTC", () => {
    expect(planLogRotation(facts([]), POLICY).rotatedTo).toBe("0.log.20260102-030405");
  });

  it("two rotations in one second are two files", () => {
    const first = "0.log.20260102-030405";
    expect(planLogRotation(facts([first]), POLICY).rotatedTo).toBe(`${first}_000002`);
    expect(planLogRotation(facts([`${first}.gz`, `${first}_000002.gz`]), POLICY).rotatedTo).toBe(
      `${first}_000003`,
    );
  });

  it("a clock that was set back does not make the newest file look oldest", () => {
    expect(planLogRotation(facts([`${day(1)}.gz`, day(9)]), POLICY).rotatedTo).toBe(`${day(9)}_000002`);
  });

  it("left-overs of compressions and doubles go", () => {
    // kubelet: TestCleanupUnusedLog
    const names = [day(1), `${day(1)}.gz`, `${day(2)}.tmp`, day(3)];
    expect(removals(facts(names))).toEqual([`${day(1)} duplicate`, `${day(2)}.tmp temporary`]);
  });

  it.each([
    // kubelet: TestRemoveExcessLog
    { count: 2, removed: 0 },
    { count: 3, removed: 0 },
    { count: 5, removed: 2 },
  ])("of $count rotated files $removed go with 5 in all", ({ count, removed }) => {
    const names = Array.from({ length: count }, (_, index) => `${day(index + 1)}.gz`);
    expect(removals(facts(names))).toEqual(names.slice(0, removed).map((name) => `${name} excess`));
  });

  it("with two files only the one rotated last stays", () => {
    expect(removals(facts([day(1)]), { ...POLICY, maxFiles: 2 })).toEqual([`${day(1)} excess`]);
  });

  it("what stays and is not compressed is compressed, the one just rotated is not", () => {
    // kubelet: TestCompressLog
    expect(planLogRotation(facts([`${day(1)}.gz`, day(2), day(3)]), POLICY).compress).toEqual([
      day(2),
      day(3),
    ]);
  });

  it("what is being compressed is left alone, and counts", () => {
    const busy = new Set([day(1), `${day(1)}.tmp`, `${day(1)}.gz`]);
    const plan = planLogRotation(facts([day(1), `${day(1)}.tmp`, day(2), day(3)], { busy }), POLICY);
    expect([plan.removals, plan.compress]).toEqual([[], [day(2), day(3)]]);
  });

  it("logs of other attempts are not touched", () => {
    expect(removals(facts(["10.log.20260101-000000.tmp", "00.log.x.tmp", "0.logs.tmp"]))).toEqual([]);
  });

  it("all logs, oldest first and the current one last", () => {
    // kubelet: TestGetAllLogs
    const names = ["0.log", day(3), `${day(1)}.gz`, day(2), `${day(2)}.gz`, `${day(4)}.tmp`, "1.log"];
    expect(allLogs("0.log", names)).toEqual([`${day(1)}.gz`, `${day(2)}.gz`, day(3), "0.log"]);
  });

  it("refuses fewer than two files", () => {
    expect(() => resolveLogRotationPolicy({ maxFiles: 1 })).toThrow("invalid MaxFiles 1, must be > 1");
  });

  it("never leaves more files than allowed, and never removes the newest", () => {
    const name = fc
      .tuple(fc.integer({ min: 1, max: 9 }), fc.constantFrom("", ".gz", ".tmp"))
      .map(([number, ending]) => day(number) + ending);
    fc.assert(
      fc.property(fc.uniqueArray(name), fc.integer({ min: 2, max: 6 }), (names, maxFiles) => {
        const plan = planLogRotation(facts(names), { ...POLICY, maxFiles });
        const gone = new Set(plan.removals.map(({ name: one }) => one));
        const left = allLogs("0.log", [...names.filter((one) => !gone.has(one)), plan.rotatedTo, "0.log"]);
        expect(left.length).toBeLessThanOrEqual(maxFiles);
        const sound = allLogs("0.log", names);
        expect(left.slice(0, -2)).toEqual(sound.slice(Math.max(sound.length - (maxFiles - 2), 0)));
      }),
    );
  });
});

describe("logs of a pod", () => {
  const container = {
    id: "c1",
    name: "app",
    sandboxId: "s1",
    attempt: 3,
    createdAt: 0,
    startedAt: 0,
    finishedAt: 0,
    exitCode: 0,
    reason: "",
    message: "",
    image: "",
    imageRef: "",
    hash: "",
    restartCount: 3,
  };
  const status = { uid: "u1", name: "web", namespace: "default", ips: [], sandboxes: [] };

  it("are found by what the PLEG's cache has of it", () => {
    const containers = [{ ...container, state: "running" as const }];
    expect(logTargetsOf({ ...status, containers }, "/logs")).toEqual([
      {
        containerId: "c1",
        running: true,
        podUid: "u1",
        pod: "default/web",
        container: "app",
        attempt: 3,
        folder: "/logs/default_web_u1/app",
        log: "3.log",
      },
    ]);
    expect(logTargetsOf({ ...status, name: "", containers }, "/logs")).toEqual([]);
  });
});

describe("retention", () => {
  const rules = (
    files: Readonly<Record<string, number>>,
    attempts: readonly number[],
    policy: Partial<LogRetentionPolicy> = {},
  ): string[] =>
    planLogRetention(
      {
        files: Object.entries(files).map(([name, bytes]) => ({ name, bytes })),
        attempts: new Set(attempts),
      },
      { ...DEFAULT_LOG_RETENTION_POLICY, ...policy },
    ).map(({ attempt, rule, names }) => `${attempt}: ${names.length} ${rule}`);

  const LOGS = { "0.log": 10, "1.log": 10, "1.log.20260101-000000.gz": 10, "2.log": 10, "3.log": 10 };

  it("keeps the newest attempts beside those with a container", () => {
    expect(rules(LOGS, [3], { keepAttempts: 1 })).toEqual([
      "3: 1 container",
      "2: 1 kept",
      "1: 2 attempts",
      "0: 1 attempts",
    ]);
  });

  it("keeps so many bytes, without holes, and the newest whatever its size", () => {
    expect(rules({ ...LOGS, "2.log": 90 }, [3], { maxBytesPerContainer: 50 })).toEqual([
      "3: 1 container",
      "2: 1 kept",
      "1: 2 bytes",
      "0: 1 bytes",
    ]);
    expect(rules({ "7.log": 1e9 }, [], { maxBytesPerContainer: 1, keepAttempts: 0 })).toEqual([
      "7: 1 newest",
    ]);
  });

  it("without limits all stay; what is no log is not touched", () => {
    expect(rules(LOGS, [], { keepAttempts: -1, maxBytesPerContainer: -1 })).toEqual([
      "3: 1 newest",
      "2: 1 kept",
      "1: 2 kept",
      "0: 1 kept",
    ]);
    expect(rules({ "notes.txt": 5, "1.logs": 5, "a.log": 5 }, [])).toEqual([]);
  });

  it("never removes what a container has, nor the newest", () => {
    const attempt = fc.integer({ min: 0, max: 20 });
    const policy = fc.record({
      keepAttempts: fc.integer({ min: -1, max: 5 }),
      maxBytesPerContainer: fc.integer({ min: -1, max: 100 }),
    });
    fc.assert(
      fc.property(fc.uniqueArray(attempt), fc.uniqueArray(attempt), policy, (logs, alive, limits) => {
        const files = logs.map((number) => ({ name: `${number}.log`, bytes: number }));
        const entries = planLogRetention({ files, attempts: new Set(alive) }, limits);
        expect(entries.map((entry) => entry.attempt)).toEqual(logs.toSorted((a, b) => b - a));
        for (const { attempt: one, verdict } of entries)
          if (alive.includes(one) || one === Math.max(...logs)) expect(verdict).toBe("keep");
      }),
    );
  });
});
