// SPDX-License-Identifier: Apache-2.0
import { CAUSE_WORDS, computeCause } from "@holdfast/journal";
import type { CauseClass, Fact, FactAt, TerminationFacts } from "@holdfast/journal";
import fc from "fast-check";
import { expect, test } from "vitest";
import { ABOUT, ended, fact, POD, UID } from "./builders.ts";

const pod = { podUid: UID, pod: POD };
const node = {};

const kill = (reason: string, at = 50, graceSeconds = 30): FactAt =>
  fact({ kind: "kill", reason, message: `because of ${reason}`, graceSeconds, wholeSandbox: false }, at);
const ending = (reason: string): FactAt => fact({ kind: "podEnding", reason, message: "" }, 49, pod);
const oom = (main: boolean | undefined, scope: "container" | "node" = "container", at = 99): FactAt =>
  fact({ kind: "oom", scope, main, text: "process httpd was killed" }, at);
const nodeOom = (at = 99): FactAt =>
  fact({ kind: "oom", scope: "node", main: undefined, text: "System OOM encountered" }, at, node);
const probe = (kind: "liveness" | "startup" | "readiness"): FactAt =>
  fact({ kind: "probe", probe: kind, healthy: false, text: `${kind} said no` }, 48);
const reboot = (at = 60): FactAt => fact({ kind: "reboot", bootId: "b" }, at, node);
const removed = fact({ kind: "podRemoved", source: "file" }, 47, pod);
const added = (uid: string, at = 47): FactAt =>
  fact({ kind: "podAdded", source: "file", changed: ["spec.containers[web].image"] }, at, {
    ...pod,
    podUid: uid,
  });
const device = (at = 90): FactAt => fact({ kind: "deviceLost", text: "device gpu-0 is unhealthy" }, at);
const runtimeDown = fact({ kind: "runtimeDown", text: "no answer" }, 80, node);
const agentStarted = (at: number): FactAt => fact({ kind: "agentStarted", version: "1" }, at, node);

const OOM_KILLED = { reason: "OOMKilled" };

// The whole truth in one table: if two classes were swapped, two rows fail.
const TABLE: readonly (readonly [string, CauseClass, TerminationFacts])[] = [
  ["exit 0", "Finished", ended(0)],
  ["exit 0 under Always, with a record", "Finished", ended(0, [], {})],
  ["exit 0 after a child was killed", "Finished", ended(0, [oom(false)], OOM_KILLED)],
  ["exit 1", "ApplicationError", ended(1)],
  ["a segmentation fault", "ApplicationError", ended(139)],
  ["an abort", "ApplicationError", ended(134, [], {})],
  ["an exit after a child was killed", "ApplicationError", ended(1, [oom(false)], OOM_KILLED)],
  ["exit 1 while a readiness probe failed", "ApplicationError", ended(1, [probe("readiness")])],
  ["a process that could not be started", "ApplicationError", ended(128, [], { reason: "StartError" })],
  ["an exit long after a device was lost", "ApplicationError", ended(1, [device(20)])],
  ["liveness", "LivenessProbe", ended(143, [probe("liveness"), kill("LivenessProbe")])],
  ["liveness, and it exits 0", "LivenessProbe", ended(0, [kill("LivenessProbe")])],
  ["liveness, and it ignores SIGTERM", "LivenessProbe", ended(137, [kill("LivenessProbe")])],
  [
    "liveness, and a pod that is removed meanwhile",
    "LivenessProbe",
    ended(143, [kill("LivenessProbe"), kill("Removed", 60)]),
  ],
  [
    "a hook that failed, before the runtime told of the start",
    "PostStartHook",
    ended(137, [kill("FailedPostStartHook", 50), fact({ kind: "started", restartCount: undefined }, 60)]),
  ],
  ["startup", "StartupProbe", ended(143, [probe("startup"), kill("StartupProbe")])],
  [
    "removed, and it ignores SIGTERM",
    "GracePeriodExceeded",
    ended(137, [removed, ending("Removed"), kill("Removed")]),
  ],
  [
    "completed pod, and a helper ignores SIGTERM",
    "GracePeriodExceeded",
    ended(137, [ending("Completed"), kill("PodKilled")]),
  ],
  [
    "removed by an agent that is gone",
    "GracePeriodExceeded",
    ended(137, [kill("Removed", 99), agentStarted(99.5)]),
  ],
  ["removed", "Removed", ended(143, [removed, ending("Removed"), kill("Removed")])],
  ["removed, killed long before its grace was over", "Removed", ended(137, [kill("Removed", 95)])],
  ["removed, and added again later", "Removed", ended(143, [kill("Removed"), removed, added("uid-2", 110)])],
  ["an orphan", "Removed", ended(143, [kill("Orphan")])],
  ["the sandbox stopped with its pod", "Removed", ended(143, [sandboxStop("Removed")])],
  ["the kernel's record", "MemoryLimit", ended(137, [oom(true)])],
  ["the kernel's record comes after the end", "MemoryLimit", ended(137, [oom(true, "container", 101)])],
  ["the kernel does not say which process", "MemoryLimit", ended(137, [oom(undefined)])],
  ["the runtime alone knows", "MemoryLimit", ended(137, [], OOM_KILLED)],
  [
    "the kernel was faster than the grace period",
    "MemoryLimit",
    ended(137, [kill("LivenessProbe", 80), oom(true)]),
  ],
  ["the machine was short", "NodeOOM", ended(137, [oom(true, "node")])],
  ["the machine was short, the runtime tells of this one", "NodeOOM", ended(137, [nodeOom()], OOM_KILLED)],
  ["an earlier shortage of the machine", "MemoryLimit", ended(137, [nodeOom(50)], OOM_KILLED)],
  ["the machine was short, somebody killed this one", "Outside", ended(137, [nodeOom()])],
  ["evicted", "Evicted", ended(143, [ending("Evicted"), kill("Evicted")])],
  ["evicted, by the pod's reason", "Evicted", ended(137, [ending("Evicted"), kill("PodKilled")])],
  ["a changed image", "SpecChanged", ended(143, [kill("SpecChanged")])],
  ["a changed image of one that ignores SIGTERM", "SpecChanged", ended(137, [kill("SpecChanged")])],
  [
    "a changed manifest: another UID",
    "SpecChanged",
    ended(137, [removed, added("uid-2"), ending("Removed"), kill("Removed")]),
  ],
  [
    "another pod of another name",
    "Removed",
    ended(143, [
      removed,
      fact({ kind: "podAdded", source: "file", changed: [] }, 47, { podUid: "x", pod: "default/x" }),
      kill("Removed"),
    ]),
  ],
  ["a device goes, and the process fails", "DeviceLost", ended(1, [device()])],
  ["a device goes, and we stop it", "DeviceLost", ended(143, [device(), kill("DeviceUnhealthy", 91)])],
  ["a reboot", "RuntimeOrReboot", ended(255, [reboot()], { reason: "Unknown" })],
  ["a reboot that let it end well", "RuntimeOrReboot", ended(0, [reboot()])],
  ["a reboot that killed it", "RuntimeOrReboot", ended(137, [reboot()])],
  ["a reboot while it was being removed", "RuntimeOrReboot", ended(255, [kill("Removed"), reboot()])],
  ["a reboot before its time", "ApplicationError", ended(1, [reboot(5)])],
  ["the runtime lost it", "RuntimeOrReboot", ended(255, [], { reason: "Unknown" })],
  ["it vanished with the runtime", "RuntimeOrReboot", ended(undefined, [runtimeDown])],
  ["its sandbox was lost", "RuntimeOrReboot", ended(137, [kill("SandboxChanged")])],
  ["it vanished", "Outside", ended(undefined)],
  ["kill -9", "Outside", ended(137)],
  ["kill -9, with a record", "Outside", ended(137, [], {})],
  ["kill", "Outside", ended(143)],
  ["kill -9, and a child was killed before", "Outside", ended(137, [oom(false)], {})],
  ["kill -9 in an earlier life's kill", "Outside", ended(137, [kill("LivenessProbe", 5)])],
  ["the kill of another container", "Outside", ended(137, [ofOther(kill("LivenessProbe"))])],
  ["the OOM of another container", "Outside", ended(137, [ofOther(oom(true))])],
  [
    "the pod's time is over",
    "DeadlineExceeded",
    ended(137, [ending("DeadlineExceeded"), kill("DeadlineExceeded")]),
  ],
  ["postStart", "PostStartHook", ended(143, [kill("FailedPostStartHook")])],
];

function ofOther(one: FactAt): FactAt {
  return { ...one, subject: { ...ABOUT, container: "other", containerId: "d".repeat(64) } };
}

function sandboxStop(reason: string): FactAt {
  const stop: Fact = { kind: "kill", reason, message: "", graceSeconds: undefined, wholeSandbox: true };
  return fact(stop, 50, pod);
}

test.each(TABLE)("%s: %s", (_name, cause, known) => {
  expect(computeCause(known).cause).toBe(cause);
});

test("every class is in the table, and has words", () => {
  const told = new Set(TABLE.map(([, cause]) => cause));
  expect([...told].sort()).toStrictEqual(Object.keys(CAUSE_WORDS).sort());
});

test("a stop that failed does not hide the next one", () => {
  const failed = fact({ kind: "killed", error: "deadline" }, 55);
  const known = ended(143, [kill("LivenessProbe"), failed, kill("Removed", 60)]);
  expect(computeCause(known).cause).toBe("Removed");
  expect(computeCause(ended(143, [kill("LivenessProbe"), failed])).cause).toBe("LivenessProbe");
});

test.each([
  ["the grace was over", kill("LivenessProbe", 69), 137, true],
  ["the grace was not over", kill("LivenessProbe", 72), 137, false],
  ["it ended by itself", kill("LivenessProbe", 69), 143, false],
])("forced: %s", (_name, intent, exitCode, forced) => {
  expect(computeCause(ended(exitCode, [intent])).forced).toBe(forced);
});

test("evidence: the probe's output, the kernel's record, the names of changed fields, who asked", () => {
  const texts = (known: TerminationFacts): string[] => computeCause(known).evidence.map(({ text }) => text);
  expect(texts(ended(143, [probe("readiness"), probe("liveness"), kill("LivenessProbe")]))).toStrictEqual([
    "liveness probe failed: liveness said no",
    "because of LivenessProbe",
    "exit code 143, SIGTERM",
  ]);
  expect(texts(ended(137, [oom(true)], OOM_KILLED))).toStrictEqual([
    "process httpd was killed",
    "exit code 137, SIGKILL, the runtime says OOMKilled",
  ]);
  const changed = computeCause(ended(137, [removed, added("uid-2"), kill("Removed")]));
  expect(changed.evidence[0]?.text).toContain("spec.containers[web].image");
  expect(changed.askedBy).toBe("whoever changed the manifest (source: file)");
  expect(changed.evidence[1]?.text).toBe("it did not end within its grace period of 30 s and got SIGKILL");
  expect(texts(ended(1, [oom(false)]))).toStrictEqual([
    "exit code 1",
    "process httpd was killed (a child process)",
  ]);
  expect(computeCause(ended(137)).askedBy).toBe("someone outside Holdfast");
});

const anyFact: fc.Arbitrary<FactAt> = fc
  .record({
    kind: fc.oneof(
      fc.record({
        kind: fc.constant("kill" as const),
        reason: fc.constantFrom("LivenessProbe", "Removed", "Evicted", "SpecChanged", "Unknown", ""),
        message: fc.string(),
        graceSeconds: fc.option(fc.nat(60), { nil: undefined }),
        wholeSandbox: fc.boolean(),
      }),
      fc.record({ kind: fc.constant("killed" as const), error: fc.constantFrom("", "deadline") }),
      fc.record({
        kind: fc.constant("oom" as const),
        scope: fc.constantFrom("container" as const, "node" as const),
        main: fc.option(fc.boolean(), { nil: undefined }),
        text: fc.string(),
      }),
      fc.record({ kind: fc.constant("reboot" as const), bootId: fc.string() }),
      fc.record({ kind: fc.constant("agentStarted" as const), version: fc.string() }),
      fc.record({ kind: fc.constant("runtimeDown" as const), text: fc.string() }),
      fc.record({ kind: fc.constant("runtimeUp" as const) }),
      fc.record({ kind: fc.constant("deviceLost" as const), text: fc.string() }),
      fc.record({ kind: fc.constant("podRemoved" as const), source: fc.string() }),
    ),
    seq: fc.integer({ min: 1, max: 200 }).filter((seq) => seq !== 10 && seq !== 100),
    subject: fc.constantFrom(ABOUT, pod, node),
  })
  .map(({ kind, seq, subject }) => fact(kind, seq, subject));
const anyExit = fc.option(fc.integer({ min: 0, max: 255 }), { nil: undefined });
const anyFacts = fc.uniqueArray(anyFact, { selector: ({ seq }) => seq, maxLength: 12 });

test("property: facts of other containers and of other pods change nothing", () => {
  fc.assert(
    fc.property(anyExit, anyFacts, anyFacts, (exitCode, own, foreign) => {
      const taken = new Set(own.map(({ seq }) => seq));
      const others = foreign
        .filter(({ seq, kind }) => !taken.has(seq) && kind !== "reboot" && kind !== "agentStarted")
        .filter(({ kind }) => kind !== "runtimeDown" && kind !== "runtimeUp")
        .map((one) => ({
          ...one,
          subject: { podUid: "o", pod: "default/o", container: "web", containerId: "o" },
        }));
      expect(computeCause(ended(exitCode, [...own, ...others]))).toStrictEqual(
        computeCause(ended(exitCode, own)),
      );
    }),
  );
});

test("property: without a word of ours no end is put down to us", () => {
  const theirs = new Set<CauseClass>([
    "Finished",
    "ApplicationError",
    "Outside",
    "RuntimeOrReboot",
    "MemoryLimit",
    "NodeOOM",
    "DeviceLost",
  ]);
  fc.assert(
    fc.property(anyExit, anyFacts, (exitCode, facts) => {
      const known = ended(
        exitCode,
        facts.filter(({ kind }) => kind !== "kill"),
      );
      expect(theirs.has(computeCause(known).cause)).toBe(true);
    }),
  );
});

test("property: a verdict has a reason, bounded evidence, and does not depend on the wall clock", () => {
  fc.assert(
    fc.property(
      anyExit,
      anyFacts,
      fc.integer({ min: -4_000_000, max: 4_000_000 }),
      (exitCode, facts, step) => {
        const verdict = computeCause(ended(exitCode, facts));
        expect(verdict.askedBy).not.toBe("");
        expect(verdict.evidence.length).toBeGreaterThan(0);
        expect(verdict.evidence.length).toBeLessThanOrEqual(10);
        const stepped = facts.map((one) => ({ ...one, at: one.at + step }));
        expect(computeCause(ended(exitCode, stepped)).cause).toBe(verdict.cause);
      },
    ),
  );
});
