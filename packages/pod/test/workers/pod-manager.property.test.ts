// SPDX-License-Identifier: Apache-2.0

/** Random walks: whatever happens on the way, the node comes to what the sources want and keeps its invariants at each step. */
import { expect, it } from "vitest";
import { seededRandom } from "@holdfast/core/random";
import type { Random } from "@holdfast/core/random";
import { LOGS_DIR, PODS_DIR, staticPod, TestNode } from "./node-harness.ts";

const NAMES = ["web", "db", "job", "api"];
const METHODS = [
  "RunPodSandbox",
  "CreateContainer",
  "StartContainer",
  "StopContainer",
  "RemoveContainer",
  "StopPodSandbox",
  "RemovePodSandbox",
];
const STEPS = 40;

class Walk {
  readonly node: TestNode;
  readonly #random: Random;
  readonly #versions = new Map<string, number>();
  readonly #seen = new Set<string>();
  readonly #log: string[] = [];
  /** What was wrong, with what led to it. */
  readonly problems: string[] = [];

  constructor(seed: number) {
    this.#random = seededRandom(seed);
    this.node = new TestNode({ programs: { app: { exitOnSigtermAfterMs: 700 } } });
  }

  async run(): Promise<void> {
    await this.node.start();
    for (let step = 0; step < STEPS; step++) {
      await this.#step();
      this.#check();
    }
    await this.#converge();
  }

  #pick<T>(of: readonly T[]): T {
    return of[Math.floor(this.#random() * of.length)] as T;
  }

  async #step(): Promise<void> {
    const { node } = this;
    const action = this.#pick([
      this.#edit,
      this.#edit,
      this.#edit,
      this.#kill,
      this.#fail,
      this.#stepClock,
      this.#restart,
      this.#crash,
    ]);
    this.#log.push(action.name);
    await action.call(this);
    await node.advance(Math.floor(this.#random() * 3000), 500);
  }

  /** A manifest is added, changed or removed. */
  async #edit(): Promise<void> {
    const name = this.#pick(NAMES);
    const others = this.node.wanted.filter(({ metadata }) => metadata.name !== name);
    if (this.#random() < 0.35) return this.node.want(...others);
    const version = (this.#versions.get(name) ?? 0) + (this.#random() < 0.7 ? 1 : 0);
    this.#versions.set(name, version);
    const uid = `${name}-v${version}`;
    this.#seen.add(uid);
    await this.node.want(...others, staticPod(name, {}, { uid }));
  }

  async #kill(): Promise<void> {
    const alive = this.node.fake.containers().filter((container) => container.alive);
    if (alive.length > 0) this.node.fake.kill(this.#pick(alive).id);
  }

  async #fail(): Promise<void> {
    const method = this.#pick(METHODS);
    const effect = this.#pick([
      { error: { code: "CRI_INTERNAL" } as const },
      { latencyMs: 2500 },
      // Carried out although whoever asked for it is gone.
      { latencyMs: 15_000, ignoreCancel: true },
      { after: { error: { code: "CRI_INTERNAL" } as const } },
    ]);
    this.node.fake.addFault({ match: { method, times: 1 }, ...effect });
  }

  async #stepClock(): Promise<void> {
    this.node.clock.stepWall(this.#pick([-3_600_000, 3_600_000]));
  }

  async #restart(): Promise<void> {
    await this.node.stop({ politely: this.#random() < 0.5 });
    if (this.#random() < 0.5) await this.node.clock.advance(1000);
    await this.node.start();
  }

  async #crash(): Promise<void> {
    this.node.fake.crash();
    await this.node.advance(500);
    this.node.fake.restart();
    this.node.agent.manager.readinessChanged();
  }

  #check(): void {
    const { fake } = this.node;
    for (const { text } of fake.violations) this.#wrong(text);
    const running = fake.containers().filter(({ alive }) => alive);
    for (const [key, same] of Map.groupBy(running, ({ podUid, name }) => `${podUid}/${name}`))
      if (same.length > 1) this.#wrong(`${same.length} containers ${key} run`);
    for (const [name, containers] of Map.groupBy(running, ({ podName }) => podName))
      if (new Set(containers.map(({ podUid }) => podUid)).size > 1) this.#wrong(`two pods named ${name} run`);
  }

  async #converge(): Promise<void> {
    const { node } = this;
    await node.advance(400_000, 2000);
    const wanted = node.wanted.map(({ metadata }) => metadata.uid).sort();
    this.#same(
      "runs",
      node.running(),
      wanted.map((uid) => `${uid}/app`),
    );
    this.#same(
      "sandboxes",
      node.fake
        .sandboxes()
        .map(({ podUid }) => podUid)
        .sort(),
      wanted,
    );
    this.#same("cgroups", [...node.cgroups].sort(), wanted);
    this.#same("folders", [...(await node.disk.list(PODS_DIR))].sort(), wanted);
    for (const uid of this.#seen) if (!wanted.includes(uid)) this.#same(uid, node.leftovers(uid), []);
    await node.want();
    await node.advance(60_000, 1000);
    for (const uid of this.#seen) this.#same(uid, node.leftovers(uid), []);
    this.#same("logs", await node.disk.list(LOGS_DIR), []);
    await node.stop();
  }

  #same(what: string, is: readonly string[], shouldBe: readonly string[]): void {
    if (is.join() !== shouldBe.join()) this.#wrong(`${what}: ${is.join()} should be ${shouldBe.join()}`);
  }

  #wrong(text: string): void {
    this.problems.push(`${text} after ${this.#log.join(" ")}`);
  }
}

it.each(Array.from({ length: 25 }, (_, index) => index + 1))("seed %i converges", async (seed) => {
  const walk = new Walk(seed);
  await walk.run();
  expect(walk.problems).toEqual([]);
});
