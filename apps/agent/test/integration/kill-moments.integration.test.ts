// SPDX-License-Identifier: Apache-2.0

// kill -9 of the agent at 50 moments drawn from a seed, while 20 pods start, restart, change and stop.
// HOLDFAST_TEST_SEED=N repeats a run's choices.
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { POD_NAME_LABEL } from "@holdfast/core/names";
import { seededRandom } from "@holdfast/core/random";
import { expect, test } from "vitest";
import { container, pod } from "./harness/manifests.ts";
import { startNode } from "./harness/test-node.ts";
import type { TestNode } from "./harness/test-node.ts";

const MOMENTS = 50;
const SLOTS = Array.from({ length: 20 }, (_, index) => `k${String(index).padStart(2, "0")}`);
/** Longer than the agent's start: some moments fall into it, others into what comes after. */
const LONGEST_LIFE_MS = 2000;

/** What the folder holds, and what is done to it. */
class Folder {
  readonly #node: TestNode;
  readonly #random: () => number;
  readonly versions = new Map<string, number>();
  #lastVersion = 0;

  constructor(node: TestNode, random: () => number) {
    this.#node = node;
    this.#random = random;
  }

  /** New pods in empty places. */
  start(): void {
    for (const name of this.#some(SLOTS.filter((slot) => !this.versions.has(slot)))) this.#put(name);
  }

  /** New content in the files of pods. */
  change(): void {
    for (const name of this.#some([...this.versions.keys()])) this.#put(name);
  }

  stop(): void {
    for (const name of this.#some([...this.versions.keys()])) {
      this.#node.remove(name);
      this.versions.delete(name);
    }
  }

  /** Kills main processes. */
  async restart(): Promise<void> {
    for (const { id } of this.#some(await this.#node.running())) {
      // It may be gone by now: the agent is at work.
      await this.#node.killContainer(id).catch(() => {});
    }
  }

  fill(): void {
    for (const name of SLOTS) if (!this.versions.has(name)) this.#put(name);
  }

  async act(): Promise<void> {
    const kind = Math.floor(this.#random() * 5);
    if (kind <= 1) this.start();
    else if (kind === 2) this.change();
    else if (kind === 3) this.stop();
    else await this.restart();
  }

  #put(name: string): void {
    const version = ++this.#lastVersion;
    const env = [{ name: "VERSION", value: String(version) }];
    this.#node.write(
      pod(name, { containers: [container("main", { env })] }, { labels: { version: String(version) } }),
    );
    this.versions.set(name, version);
  }

  #some<T>(all: readonly T[]): T[] {
    return all.filter(() => this.#random() < 0.4);
  }
}

/** Pods of which more than one container runs: an old and a new version together count as well. */
async function duplicates(node: TestNode): Promise<string[]> {
  const names = (await node.running()).map(({ labels }) => labels[POD_NAME_LABEL] ?? "");
  return names.filter((name, index) => names.indexOf(name) !== index);
}

/** Whether exactly what the folder holds runs: each pod once, in its last version, with one sandbox. */
async function isAsFolderSays(node: TestNode, folder: Folder): Promise<boolean> {
  const [sandboxes, running] = [await node.sandboxes(), await node.running()];
  if (sandboxes.length !== folder.versions.size || running.length !== folder.versions.size) return false;
  return [...folder.versions].every(([name, version]) =>
    sandboxes.some(
      ({ id, labels }) =>
        labels[POD_NAME_LABEL] === `${name}-${node.name}` &&
        labels["version"] === String(version) &&
        running.some(({ podSandboxId }) => podSandboxId === id),
    ),
  );
}

test(
  "kill -9 at 50 seeded moments: no duplicate, no lost pod, nothing leaked",
  { timeout: 300_000 },
  async () => {
    const seed = Number(process.env["HOLDFAST_TEST_SEED"] ?? Date.now() % 1_000_000);
    process.stdout.write(`seed ${seed}: HOLDFAST_TEST_SEED=${seed} draws the same moments\n`);
    const random = seededRandom(seed);
    await using node = await startNode({
      // Killed containers come back soon, so that many moments fall into restarts.
      kubelet: { crashLoopBackOff: { maxContainerRestartPeriod: "1s" } },
    });
    const folder = new Folder(node, random);
    folder.start();
    for (let moment = 0; moment < MOMENTS; moment++) {
      await folder.act();
      // Not a wait for anything: the moment itself.
      await pause(random() * LONGEST_LIFE_MS);
      await node.kill9();
      expect(await duplicates(node), `seed ${seed}, moment ${moment}`).toEqual([]);
      await folder.act();
      await node.start(false);
    }
    folder.fill();
    await node.until(
      () => isAsFolderSays(node, folder),
      `seed ${seed}: the folder's pods run, each once`,
      90_000,
    );
    expect(await duplicates(node)).toEqual([]);
    for (const name of SLOTS) node.remove(name);
    await node.assertNothingLeft(90_000);
  },
);
