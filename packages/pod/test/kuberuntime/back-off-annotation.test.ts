// SPDX-License-Identifier: Apache-2.0

import { ManualClock } from "@holdfast/core/manual-clock";
import { BACKOFF_ANNOTATION } from "@holdfast/core/names";
import type { Pod } from "@holdfast/core/pod-types";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CrashLoopBackOff } from "../../src/kuberuntime/crash-loop-back-off.ts";
import { curveFor, parseBackOff } from "../../src/kuberuntime/parse-back-off.ts";
import { container, exited, makePod, record } from "./fixtures.ts";
import { MemoryCheckpoint } from "./memory-ports.ts";

const one = container("foo1");
const USUAL = { initialMs: 10_000, factor: 2, maxMs: 300_000, resetMs: 600_000 };

function podWith(text: string): Pod {
  return makePod({ metadata: { annotations: { [BACKOFF_ANNOTATION]: text } } });
}

/** The waits, in seconds, of a container that ends at once each time. */
async function waitsOf(pod: Pod, codes: readonly number[]): Promise<number[]> {
  const clock = new ManualClock();
  const backoff = new CrashLoopBackOff({ clock, checkpoint: new MemoryCheckpoint() });
  const waits: number[] = [];
  for (const [index, code] of codes.entries()) {
    const exit = record(pod, "foo1", { ...exited(code), id: `c${index}`, finishedAt: clock.now() });
    const waiting = backoff.waiting(pod, one, exit);
    waits.push((waiting?.delayMs ?? 0) / 1000);
    await clock.advance(waiting?.delayMs ?? 0);
    expect(backoff.waiting(pod, one, exit)).toBeUndefined();
    backoff.starting(pod, one, exit)();
  }
  return waits;
}

describe("a back-off that people set", () => {
  it.each([
    ["initial=1s", [1, 1, 1, 1], [0, 1, 2, 4]],
    ["initial=1s, factor=1.5, max=2s", [1, 1, 1, 1, 1], [0, 1, 1.5, 2, 2]],
    ["factor=1", [1, 1, 1], [0, 10, 10]],
    ["max=15s", [1, 1, 1], [0, 10, 15]],
    ["initial=0s", [1, 1, 1], [0, 0, 0]],
    ["initial=400s, max=1h", [1, 1, 1], [0, 400, 800]],
    // Without a maximum of its own the node's counts.
    ["initial=400s", [1, 1], [0, 300]],
    // A clean end has waits of its own, and makes those after a crash no longer.
    ["exit 0: initial=1s", [0, 0, 0, 1, 1, 0, 1], [0, 1, 2, 0, 10, 4, 20]],
    ["exit 3,64-78: initial=60s; initial=1s", [3, 70, 1, 1], [0, 60, 0, 1]],
    ["initial=1s; foo1: initial=5s; foo2: initial=7s", [1, 1, 1], [0, 5, 10]],
    [
      "foo1 exit 7: initial=2s; exit 7: initial=3s, factor=3; foo1: initial=9s",
      [7, 7, 7, 1, 1],
      [0, 2, 6, 0, 9],
    ],
  ])("%s: ends with %j wait %j s", async (text, codes, waits) => {
    expect(await waitsOf(podWith(text), codes)).toEqual(waits);
  });

  it("begins anew after its own reset time, also when a wait is longer than that", async () => {
    const pod = podWith("initial=60s, reset=5s");
    const clock = new ManualClock();
    const checkpoint = new MemoryCheckpoint();
    const backoff = new CrashLoopBackOff({ clock, checkpoint });
    const end = (id: string): ReturnType<typeof record> =>
      record(pod, "foo1", { ...exited(1), id, finishedAt: clock.now() });
    backoff.starting(pod, one, end("a"))();
    const exit = end("b");
    await clock.advance(30_000);
    backoff.gc();
    expect(backoff.waiting(pod, one, exit)?.delayMs).toBe(60_000);
    await clock.advance(30_000);
    backoff.starting(pod, one, exit)();
    await clock.advance(5001);
    expect(backoff.waiting(pod, one, end("c"))).toBeUndefined();
    await clock.advance(60_000 * 2);
    backoff.gc();
    expect(checkpoint.values.size).toBe(0);
  });

  it("is kept over an agent's restart, each kind of end for itself", async () => {
    const pod = podWith("initial=600s, max=2h; exit 0: initial=30s");
    const clock = new ManualClock();
    const checkpoint = new MemoryCheckpoint();
    const before = new CrashLoopBackOff({ clock, checkpoint });
    const end = (id: string, code: number): ReturnType<typeof record> =>
      record(pod, "foo1", { ...exited(code), id, finishedAt: clock.now() });
    before.starting(pod, one, end("a", 1))();
    before.starting(pod, one, end("b", 0))();
    const [crash, clean] = [end("c", 1), end("d", 0)];
    await clock.advance(10_000);
    const after = new CrashLoopBackOff({ clock, checkpoint });
    expect(after.waiting(pod, one, crash)?.until).toBe(clock.monotonic() + 590_000);
    expect(after.waiting(pod, one, clean)?.until).toBe(clock.monotonic() + 20_000);
  });

  it("retry ends the waits of one container, also those in the checkpoint", () => {
    const pod = podWith("exit 0: initial=30s");
    const clock = new ManualClock();
    const checkpoint = new MemoryCheckpoint();
    const backoff = new CrashLoopBackOff({ clock, checkpoint });
    const two = container("foo2");
    const end = (name: string, code: number): ReturnType<typeof record> =>
      record(pod, name, { ...exited(code), finishedAt: clock.now() });
    for (const code of [0, 1]) backoff.starting(pod, one, end("foo1", code))();
    backoff.starting(pod, two, end("foo2", 1))();
    expect(backoff.retry(pod, one)).toBe(true);
    expect(backoff.retry(pod, one)).toBe(false);
    for (const code of [0, 1]) expect(backoff.waiting(pod, one, end("foo1", code))).toBeUndefined();
    expect(backoff.waiting(pod, two, end("foo2", 1))?.delayMs).toBe(10_000);
    expect(checkpoint.values.size).toBe(1);
  });
});

describe("parseBackOff", () => {
  it.each([
    ["start=1s", '"start" is none of initial, factor, max, reset'],
    ["initial=fast", 'initial: "fast" is no duration; write it like 10s or 1m30s'],
    ["initial=-1s", "initial: -1s is not between 0s and 24h"],
    ["max=25h", "max: 25h is not between 0s and 24h"],
    ["reset=10ms", "reset: 10ms is not between 1s and 24h"],
    ["factor=0.5", 'factor: "0.5" is no number from 1 to 10'],
    ["factor=1e1", 'factor: "1e1" is no number from 1 to 10'],
    ["initial=10s, max=5s", "initial is longer than max"],
    ["initial=1s, initial=2s", "initial is set twice in one rule"],
    ["bar: initial=1s", 'there is no container "bar"'],
    ["exit 256: initial=1s", 'exit: "256" is neither an exit code from 0 to 255 nor a range like 64-78'],
    ["exit 9-3: initial=1s", 'exit: "9-3" is neither an exit code from 0 to 255 nor a range like 64-78'],
    ["exit 1: max=1s; exit 1: max=2s", "two rules are for all containers, exit 1"],
    ["foo1: max=1s; foo1: max=2s", "two rules are for container foo1"],
    [": max=1s", '"" says not whom the rule is for; write CONTAINER:, exit CODES: or CONTAINER exit CODES:'],
    [
      "foo1 on 3: max=1s",
      '"foo1 on 3" says not whom the rule is for; write CONTAINER:, exit CODES: or CONTAINER exit CODES:',
    ],
  ])("%s: %s", (text, problem) => {
    expect(parseBackOff(text, ["foo1", "foo2"])).toEqual({ rules: [], problem });
  });

  it("takes any text without throwing, and a curve is within its bounds", () => {
    const piece = fc.constantFrom(
      "initial",
      "factor",
      "max",
      "reset",
      "=",
      ",",
      ";",
      ":",
      "exit ",
      "foo1",
      "0",
      "1s",
      "2",
      "24h",
      " ",
      "-",
      "x",
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), fc.nat(255), (pieces, code) => {
        const curve = curveFor(parseBackOff(pieces.join(""), ["foo1"]), "foo1", code, USUAL);
        expect(curve.initialMs).toBeLessThanOrEqual(curve.maxMs);
        expect(curve.maxMs).toBeLessThanOrEqual(86_400_000);
        expect(curve.factor).toBeGreaterThanOrEqual(1);
        expect(curve.resetMs).toBeGreaterThanOrEqual(1000);
      }),
    );
  });
});
