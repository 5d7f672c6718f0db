// SPDX-License-Identifier: Apache-2.0

// Random walks: containers come, run, die and go; events are lost, doubled and late; calls fail and hang. What must hold: in the end the
// cache says what the runtime says, an exit that was entered is never undone, and what was published is a possible story.
import { seededRandom } from "@holdfast/core/random";
import fc from "fast-check";
import { expect, test } from "vitest";
import { Environment } from "./environment.ts";

const STEPS = 60;
const RUNS = 40;
const PODS = ["p0", "p1", "p2"];

/** One pod's containers over time; an exit event may come late, twice or never. */
class Walk {
  readonly env = new Environment({ withEvents: true, statusDeadlineMs: 2000 });
  readonly #random: () => number;
  readonly #entered = new Set<string>();
  readonly #dead = new Set<string>();
  readonly #alive = new Set<string>();
  #next = 0;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
    for (const pod of PODS) this.env.runtime.sandbox(pod);
  }

  #pick<T>(items: readonly T[]): T | undefined {
    return items[Math.floor(this.#random() * items.length)];
  }

  #exitEvent(id: string, code: number): void {
    const times = this.#pick([0, 1, 1, 1, 2]) ?? 1;
    for (let time = 0; time < times; time++) this.env.events.exit(id, code);
  }

  step(): void {
    const { runtime } = this.env;
    const running = [...runtime.containers.values()].filter(({ state }) => state === "running");
    const victim = this.#pick(running);
    const dice = this.#random();
    if (dice < 0.3) {
      const pod = this.#pick(PODS) ?? "p0";
      runtime.container(pod, `c-${this.#next++}`, "running");
      if (this.#random() < 0.5) this.env.pleg.requestRelist(pod);
    } else if (dice < 0.55 && victim !== undefined) {
      // The event runs ahead of the runtime.
      this.#exitEvent(victim.id, 137);
      this.env.clock.timer(this.#random() * 60, () => {
        if (victim.state === "exited") return;
        victim.state = "exited";
        victim.exitCode = 137;
      });
    } else if (dice < 0.65 && victim !== undefined) {
      victim.state = "exited";
      this.#exitEvent(victim.id, 0);
    } else if (dice < 0.75) {
      const dead = this.#pick([...runtime.containers.values()].filter(({ state }) => state === "exited"));
      if (dead !== undefined) runtime.containers.delete(dead.id);
    } else if (dice < 0.85) {
      const until = this.env.clock.monotonic() + this.#random() * 3000;
      const how = this.#pick(["hang", new Error("flaky")] as const) ?? "hang";
      runtime.fault = () => (this.env.clock.monotonic() < until && this.#random() < 0.3 ? how : undefined);
    } else if (dice < 0.9) this.env.events.fail(new Error("stream lost"));
  }

  /** What does not hold. */
  problems(): string[] {
    const problems: string[] = [];
    for (const { type, subject } of this.env.envelopes()) {
      const id = subject.containerId;
      if (id === undefined) continue;
      if (type === "pleg/ContainerStarted") {
        if (this.#alive.has(id) || this.#dead.has(id)) problems.push(`${id} started twice`);
        this.#alive.add(id);
      } else if (type === "pleg/ContainerDied") {
        if (this.#dead.has(id)) problems.push(`${id} died twice`);
        this.#alive.delete(id);
        this.#dead.add(id);
      } else if (type === "pleg/ContainerRemoved" && this.#alive.has(id))
        problems.push(`${id} removed alive`);
    }
    for (const pod of PODS)
      for (const { exitUnconfirmed, id, state } of this.env.pleg.get(pod).status.containers) {
        if (this.#entered.has(id) && state !== "exited") problems.push(`${id} came back to life`);
        if (exitUnconfirmed === true) this.#entered.add(id);
      }
    return problems;
  }

  /** The cache and the runtime, in the same words. */
  compare(): { readonly cache: readonly string[]; readonly runtime: readonly string[] } {
    const line = ({ exitCode, id, state }: { exitCode: number; id: string; state: string }): string =>
      `${id} ${state} ${exitCode}`;
    return {
      cache: PODS.flatMap((pod) => this.env.pleg.get(pod).status.containers.map(line)).toSorted(),
      runtime: [...this.env.runtime.containers.values()].map(line).toSorted(),
    };
  }
}

test("property: random walks with faults converge, and no exit is undone", async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer(), async (seed) => {
      const walk = new Walk(seed);
      await using env = walk.env;
      await env.pleg.start();
      const pause = seededRandom(seed ^ 0x5bd1e995);
      for (let step = 0; step < STEPS; step++) {
        walk.step();
        await env.clock.advance(pause() * 400);
        expect(walk.problems()).toEqual([]);
      }
      env.runtime.fault = () => undefined;
      await env.clock.advance(130_000);
      expect(walk.problems()).toEqual([]);
      const { cache, runtime } = walk.compare();
      expect(cache).toEqual(runtime);
      expect(PODS.map((pod) => env.pleg.get(pod).error)).toEqual([undefined, undefined, undefined]);
      expect(env.pleg.snapshot()).toMatchObject({ quarantined: [], stuckCalls: [], unconfirmedExits: [] });
    }),
    { numRuns: RUNS },
  );
});
