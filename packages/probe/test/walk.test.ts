// SPDX-License-Identifier: Apache-2.0

/** Random lives of a pod: containers come and go, targets answer, fail, hang and cannot be asked, the agent crashes. */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { ProbeKind, ProbeOutcome } from "@holdfast/probe";
import { Environment, ERROR, FAILURE, http, podOf, SUCCESS } from "./environment.ts";

const PORTS: Readonly<Record<number, ProbeKind>> = { 1: "liveness", 2: "readiness", 3: "startup" };
const THRESHOLD = 2;
const pod = podOf({
  livenessProbe: http({ periodSeconds: 1, failureThreshold: THRESHOLD }, 1),
  readinessProbe: http({ periodSeconds: 2, failureThreshold: THRESHOLD }, 2),
  startupProbe: http({ periodSeconds: 1, failureThreshold: THRESHOLD }, 3),
});

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant("pass" as const), ms: fc.integer({ min: 1, max: 4000 }) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("answer" as const),
      port: fc.integer({ min: 1, max: 3 }),
      answer: fc.constantFrom("success", "failure", "error", "hang"),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("start" as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("exit" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("crash" as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("step wall" as const), ms: fc.integer({ min: -4e6, max: 4e6 }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("quiet exit" as const) }) },
);
const OUTCOMES: Readonly<Record<string, ProbeOutcome>> = { success: SUCCESS, failure: FAILURE, error: ERROR };

test("whatever happens, a verdict has its probes behind it", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      await using environment = new Environment();
      const { handlers, clock, containers } = environment;
      // What was answered about the container that ran then, newest last.
      const answered = new Map<string, string[]>();
      let count = 0;
      let current: string | undefined;
      const note = (port: number, what: string): void => {
        const key = `${PORTS[port]} ${current ?? "nobody"}`;
        answered.set(key, [...(answered.get(key) ?? []), what]);
      };
      const set = (port: number, answer: string): void => {
        const outcome = OUTCOMES[answer];
        if (outcome === undefined) handlers.answers.delete(port);
        else
          handlers.answers.set(port, () => {
            note(port, answer);
            return outcome;
          });
      };
      await environment.manager.start();
      environment.manager.addPod(pod);
      for (const one of steps) {
        if (one.do === "pass") await clock.advance(one.ms);
        else if (one.do === "answer") set(one.port, one.answer);
        else if (one.do === "start" && current === undefined) {
          current = `c${++count}`;
          await environment.run(current);
        } else if (one.do === "exit" && current !== undefined) {
          await environment.exit(current);
          current = undefined;
        } else if (one.do === "quiet exit" && current !== undefined) {
          const at = containers.findIndex(({ id }) => id === current);
          const known = containers[at];
          // Nobody told us: the next look must do.
          if (known !== undefined) containers[at] = { ...known, state: "exited", exitCode: 1 };
          current = undefined;
        } else if (one.do === "crash") {
          await environment.crash();
          environment.manager.addPod(pod);
          await environment.manager.start();
        } else if (one.do === "step wall") clock.stepWall(one.ms);
        const { manager } = environment;
        expect(handlers.active).toBeLessThanOrEqual(3);
        expect(manager.snapshot().length).toBe(3);
        if (current === undefined) continue;
        // A hang counts as a failure, and is not noted: only what was answered can have made a success.
        const said = (kind: ProbeKind): readonly string[] => answered.get(`${kind} ${current}`) ?? [];
        if (manager.readiness(current) === "success") expect(said("readiness")).toContain("success");
        if (manager.startup(current) === "success") expect(said("startup")).toContain("success");
        if (manager.startup(current) !== "success")
          expect([...said("liveness"), ...said("readiness")]).toEqual([]);
        const last = said("readiness").slice(-THRESHOLD);
        if (manager.readiness(current) === "failure" && last.length === THRESHOLD && handlers.answers.has(2))
          expect(last.at(-1)).not.toBe("success");
      }
    }),
    { numRuns: 150 },
  );
});

test("readiness follows the truth within one period, over restarts of the agent too, with the settings that the agent has", async () => {
  const change = fc.record({ afterMs: fc.integer({ min: 1, max: 5000 }), crash: fc.boolean() });
  await fc.assert(
    fc.asyncProperty(
      fc.array(change, { maxLength: 12 }),
      fc.integer({ min: 1, max: 3 }),
      async (changes, s) => {
        await using environment = new Environment({ coalesceMs: 100, restartSpreadMs: 1000 });
        const { handlers, clock } = environment;
        const of = podOf({ readinessProbe: http({ periodSeconds: s, failureThreshold: 1 }) });
        // Waking up together may cost a tenth of a period once.
        const periodMs = s * 1000 + 100;
        let truth = false;
        handlers.answers.set(80, () => (truth ? SUCCESS : FAILURE));
        await environment.manager.start();
        environment.manager.addPod(of);
        await environment.run("c1");
        for (const { afterMs, crash } of changes) {
          await clock.advance(afterMs);
          if (crash) {
            await environment.crash();
            environment.manager.addPod(of);
            await environment.manager.start();
          }
          truth = !truth;
          await clock.advance(periodMs);
          expect(environment.manager.readiness("c1")).toBe(truth ? "success" : "failure");
        }
      },
    ),
    { numRuns: 60 },
  );
});
