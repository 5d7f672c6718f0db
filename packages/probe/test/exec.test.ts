// SPDX-License-Identifier: Apache-2.0

import { describe, expect, test } from "vitest";
import { HoldfastError } from "@holdfast/core/errors";
import { ManualClock } from "@holdfast/core/manual-clock";
import type { Pod } from "@holdfast/core/pod-types";
import { FakeRuntime } from "@holdfast/cri-fake";
import type { ExecAnswer, FakeRuntimeOptions } from "@holdfast/cri-fake";
import { ExecProber } from "@holdfast/probe";
import type { ProbeOutcome, ProbeRuntime } from "@holdfast/probe";
import { Environment, podOf } from "./environment.ts";

interface Running {
  readonly clock: ManualClock;
  readonly fake: FakeRuntime;
  readonly id: string;
  readonly left: string[];
  /** Runs one command; virtual time goes on until there is an outcome. */
  readonly run: (command?: string[], timeoutMs?: number) => Promise<ProbeOutcome>;
}

/** One container on a fake runtime, whose commands answer as told. */
async function container(
  exec: (command: readonly string[]) => ExecAnswer,
  options: Partial<FakeRuntimeOptions> = {},
): Promise<Running> {
  const clock = new ManualClock();
  const fake = new FakeRuntime({ clock, programs: () => ({ exec }), ...options });
  const config = { metadata: { name: "pod", namespace: "default", uid: "uid-1", attempt: 0 } };
  const { podSandboxId } = await fake.runPodSandbox({ config });
  const { containerId: id } = await fake.createContainer({
    podSandboxId,
    config: { metadata: { name: "app" }, image: { image: "holdfast.local/busybox:1" } },
  });
  await fake.startContainer({ containerId: id });
  const left: string[] = [];
  const prober = new ExecProber({
    runtime: fake,
    clock,
    answerGraceMs: 10_000,
    onLeftBehind: (one) => left.push(one),
  });
  const run = async (command = ["check"], timeoutMs = 1000): Promise<ProbeOutcome> => {
    const outcomes: ProbeOutcome[] = [];
    const request = { handler: "exec", containerId: id, command, timeoutMs } as const;
    prober.start(request, (outcome) => void outcomes.push(outcome));
    await clock.settle(6);
    for (let second = 0; second < 60 && outcomes.length === 0; second++) await clock.advance(1000);
    const [outcome] = outcomes;
    if (outcome === undefined) throw new Error("no outcome within a minute");
    return outcome;
  };
  return { clock, fake, id, left, run };
}

// kubelet: TestExec
describe("a command", () => {
  test("that succeeds: stdout, then stderr", async () => {
    const { run } = await container(() => ({ stdout: "out", stderr: "err" }));
    expect(await run()).toMatchObject({ result: "success", output: "outerr" });
  });

  test("that fails", async () => {
    const { run } = await container(() => ({ exitCode: 2, stdout: "no such file\n" }));
    expect(await run()).toMatchObject({ result: "failure", output: "no such file\n" });
  });

  // kubelet: TestNewExecInContainer
  test.each([
    [11_000, 0],
    [4000, 9000],
    [0, 11_000],
    [10_240, 5],
  ])("that writes %i and %i bytes: 10 KiB of them are kept", async (out, err) => {
    const { run } = await container(() => ({ stdout: "o".repeat(out), stderr: "e".repeat(err) }));
    expect((await run()).output).toBe(("o".repeat(out) + "e".repeat(err)).slice(0, 10_240));
  });

  test("that takes longer than its timeout: the runtime ends it, and it has failed", async () => {
    const { run, clock, left } = await container(() => ({ afterMs: 60_000 }));
    const before = clock.monotonic();
    expect(await run(["sleep", "60"], 2000)).toMatchObject({
      result: "failure",
      output: 'command timed out: "sleep 60" timed out after 2s',
    });
    expect(clock.monotonic() - before).toBe(2000);
    expect(left).toEqual([]);
  });

  test("has whole seconds only: less is rounded up", async () => {
    const { run } = await container(() => ({ afterMs: 700 }));
    expect((await run(["x"], 200)).result).toBe("success");
  });
});

describe("the runtime", () => {
  test("cannot spawn it: that says nothing about the target", async () => {
    const text = 'OCI runtime exec failed: exec: "check": executable file not found in $PATH: unknown';
    const { run } = await container(() => ({}), {
      faults: [{ match: { method: "ExecSync" }, error: { code: "CRI_UNKNOWN", message: text } }],
    });
    const outcome = await run();
    expect(outcome).toMatchObject({ result: "unknown", output: "", error: { why: "runtime" } });
    // The same each time: no ids.
    expect(outcome.error?.text).toBe(text);
  });

  test("is not there", async () => {
    const { run, fake } = await container(() => ({}));
    fake.crash();
    expect(await run()).toMatchObject({ result: "unknown", error: { why: "runtime" } });
  });

  test("hangs with everything: nothing is known, and the wait has an end", async () => {
    const { run, left } = await container(() => ({}), {
      faults: [{ match: { method: ["ExecSync", "Version"] }, hang: true }],
    });
    expect(await run()).toMatchObject({ result: "unknown", error: { why: "silent" } });
    expect(left).toEqual([]);
  });

  test("hangs with the command alone, as one that forked and holds the pipes: it timed out, and is counted", async () => {
    const { run, left, id } = await container(() => ({}), {
      faults: [{ match: { method: "ExecSync" }, hang: true }],
    });
    expect(await run(["sh", "-c", "daemon &"])).toMatchObject({
      result: "failure",
      output: 'command timed out: "sh -c daemon &" timed out after 1s',
    });
    expect(left).toEqual([id]);
  });

  test.each([
    ["ends what is surely its own, and the call returns", [7], { counted: 2, ended: 1, at: 1310 }],
    ["ends nothing that it does not know", [], { counted: 2, ended: 0, at: 11_000 }],
  ])("hangs with the command alone, as something holds its pipes: %s", async (_name, sessions, wanted) => {
    const clock = new ManualClock();
    const asked: unknown[] = [];
    const told: number[][] = [];
    let letGo: (error: Error) => void = () => {};
    let living = 2;
    const prober = new ExecProber({
      runtime: {
        execSync: () => new Promise((_resolve, reject) => (letGo = reject)),
        version: async () => ({}),
      },
      clock,
      answerGraceMs: 10_000,
      processes: {
        leftBehind: async () => living,
        sessionsOf: async (...of) => (asked.push([clock.monotonic(), ...of]), sessions),
        endSessions: async () => {
          const ended = living - 1;
          living = 1;
          const late = new HoldfastError("CRI_RUNTIME_DEADLINE", "deadline", "timed out");
          void clock.sleep(10).then(() => letGo(late));
          return ended;
        },
      },
      onLeftBehind: (_id, counted, ended) => told.push([counted, ended]),
    });
    let at = 0;
    let outcome: ProbeOutcome | undefined;
    prober.start({ handler: "exec", containerId: "c", command: ["x", "y"], timeoutMs: 1000 }, (answer) => {
      at = clock.monotonic();
      outcome = answer;
    });
    await clock.advance(1400);
    if (sessions.length === 0) {
      await clock.advance(9600);
      letGo(new HoldfastError("CRI_DEADLINE", "deadline", "no answer"));
      await clock.settle(6);
    }
    expect(outcome).toMatchObject({
      result: "failure",
      output: 'command timed out: "x y" timed out after 1s',
    });
    // Again and again only while nothing is known.
    const more = [900, 1200, ...Array.from({ length: 24 }, (_, index) => 1500 + 400 * index)];
    const times = sessions.length > 0 ? [500] : [500, ...more];
    expect(asked).toEqual(times.map((ms) => [ms, "c", ["x", "y"], ms]));
    await clock.settle(6);
    const sum = (index: number): number => told.reduce((all, one) => all + (one[index] ?? 0), 0);
    expect({ counted: sum(0), ended: sum(1), at }).toEqual(wanted);
    await clock.settle(6);
    expect(clock.waiting).toBe(0);
  });

  test("does not keep deadlines: ours holds", async () => {
    const clock = new ManualClock();
    const runtime: ProbeRuntime = { execSync: () => new Promise(() => {}) };
    const prober = new ExecProber({ runtime, clock, answerGraceMs: 5000, onLeftBehind: () => {} });
    let outcome: ProbeOutcome | undefined;
    prober.start(
      { handler: "exec", containerId: "c", command: ["x"], timeoutMs: 1000 },
      (answer) => (outcome = answer),
    );
    await clock.advance(6000);
    expect(outcome).toBeUndefined();
    await clock.advance(300);
    expect(outcome).toMatchObject({ error: { why: "silent" } });
    expect(clock.waiting).toBe(0);
  });
});

describe("many commands", () => {
  const exec = { exec: { command: ["echo", "$(A)", "$(B)"] }, periodSeconds: 10 };

  /** A runtime whose commands end when the test says so. */
  function handRuntime() {
    const calls: { readonly id: string; readonly cmd: string[]; readonly end: () => void }[] = [];
    let most = 0;
    let active = 0;
    const runtime: ProbeRuntime = {
      execSync: ({ containerId, cmd }) =>
        new Promise((resolve) => {
          active += 1;
          most = Math.max(most, active);
          const end = (): void => {
            active -= 1;
            resolve({ stdout: new Uint8Array(0), stderr: new Uint8Array(0), exitCode: 0 });
          };
          calls.push({ id: containerId, cmd, end });
        }),
    };
    return { runtime, calls, most: () => most };
  }

  const manyContainers = (uid: string, count: number): Pod =>
    podOf(
      {},
      {
        uid,
        spec: {
          containers: Array.from({ length: count }, (_, at) => ({
            name: `c${at}`,
            image: "",
            env: [
              { name: "A", value: "one" },
              { name: "B", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
            ],
            livenessProbe: exec,
          })),
        },
      },
    );

  test("run at most so many at once, by node and by pod, and waiting is no failure", async () => {
    const { runtime, calls, most } = handRuntime();
    await using environment = new Environment({ runtime, parallelExecs: 3, parallelExecsPerPod: 2 });
    const { manager, clock } = environment;
    await manager.start();
    for (let at = 0; at < 4; at++)
      environment.containers.push({
        id: `id-${at}`,
        name: `c${at}`,
        state: "running",
        startedAt: clock.now(),
        exitCode: 0,
      });
    manager.addPod(manyContainers("a", 4));
    manager.addPod(manyContainers("b", 4));
    await clock.settle(4);
    // Two of the first pod, one of the second: the node's three.
    expect(calls.length).toBe(3);
    await clock.advance(5000);
    for (let at = 0; at < 8; at++) {
      calls[at]?.end();
      await clock.settle(4);
    }
    expect([calls.length, most()]).toEqual([8, 3]);
    expect(manager.snapshot().map(({ successful, failed }) => successful - failed)).toEqual(Array(8).fill(1));
    manager.cleanupPods(new Set());
  });

  // kubelet: TestProbe ($(A) expanded, $(B) untouched)
  test("know the container's literal variables", async () => {
    const { runtime, calls } = handRuntime();
    await using environment = new Environment({ runtime });
    const { manager, clock } = environment;
    await manager.start();
    environment.containers.push({
      id: "id-0",
      name: "c0",
      state: "running",
      startedAt: clock.now(),
      exitCode: 0,
    });
    manager.addPod(manyContainers("a", 1));
    await clock.settle(4);
    expect(calls[0]?.cmd).toEqual(["echo", "one", "$(B)"]);
    manager.removePod("a");
  });

  test("on a real fake: exit codes become verdicts", async () => {
    let exitCode = 0;
    const { fake, id, clock } = await container(() => ({ exitCode, stdout: "state\nmore" }));
    await using environment = new Environment({ clock, runtime: fake });
    await environment.manager.start();
    environment.manager.addPod(
      podOf({ readinessProbe: { exec: { command: ["x"] }, periodSeconds: 1, failureThreshold: 2 } }),
    );
    await environment.run(id);
    await clock.advance(1500);
    expect(environment.manager.readiness(id)).toBe("success");
    exitCode = 1;
    await clock.advance(2000);
    expect(environment.manager.readiness(id)).toBe("failure");
    expect(
      environment.published().filter(({ type }) => type === "probe/ResultChanged")[1]?.data,
    ).toMatchObject({ output: "state" });
  });
});
